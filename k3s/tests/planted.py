"""Faults that must be found: where, what is done to a rendering, and a word of what is to be said about it.
A rule without a fault here is not believed."""

import copy

import flows
import rules
from world import World


def pod_of(world, name):
    return next(pod for pod in world.pods() if pod.name == name)


def first(world, name):
    return pod_of(world, name).spec["containers"][0]


def setting(world, pod, name, value):
    next(one for one in first(world, pod)["env"] if one["name"] == name)["value"] = value


def unset(world, pod, name):
    first(world, pod)["env"] = [one for one in first(world, pod)["env"] if one["name"] != name]


def spec(world, kind, name):
    return world.get(kind, name)["spec"]


def note(world, text):
    conf = next(one for one in world.of("ConfigMap") if "nats.conf" in one["data"])
    conf["data"]["nats.conf"] = text(conf["data"]["nats.conf"])


def drop(world, kind, name):
    world.objects.remove(world.index.pop((kind, name)))


def policy(world, name):
    return spec(world, "NetworkPolicy", name)


# Rendering, rule, what is done, what must be found.
FAULTS = [
    ("base", rules.objects_are_there_once_and_in_the_namespace, lambda w: w.objects.append(w.objects[-1]), "twice"),
    ("base", rules.objects_are_there_once_and_in_the_namespace,
     lambda w: w.get("Service", "nats")["metadata"].update(namespace="default"), "not in the namespace"),
    ("base", rules.objects_are_there_once_and_in_the_namespace,
     lambda w: w.of("Namespace")[0]["metadata"]["labels"].clear(), "restricted"),
    ("base", rules.selectors_mean_what_they_select, lambda w: pod_of(w, "flows").labels.update({"app.kubernetes.io/component": "money"}),
     "money selects the pods of"),
    ("base", rules.selectors_mean_what_they_select, lambda w: pod_of(w, "gateway").labels.clear(), "Service gateway leads to 0"),
    ("base", rules.selectors_mean_what_they_select, lambda w: spec(w, "Service", "nats")["ports"][0].update(targetPort="klient"), "klient"),
    ("base", rules.selectors_mean_what_they_select, lambda w: spec(w, "StatefulSet", "nats").update(serviceName="none"), "names a Service"),
    ("ha", rules.selectors_mean_what_they_select,
     lambda w: spec(w, "PodDisruptionBudget", "money")["selector"].update(matchLabels={"app.kubernetes.io/name": "maru-workers"}),
     "PodDisruptionBudget money means 6"),
    ("base", rules.what_is_referred_to_is_there,
     lambda w: first(w, "views")["env"][2]["valueFrom"]["secretKeyRef"].update(key="pass"), "wants pass of Secret maru-nats"),
    ("base", rules.what_is_referred_to_is_there, lambda w: first(w, "paint-image")["envFrom"][0]["secretRef"].update(name="ai"), "environment"),
    ("base", rules.what_is_referred_to_is_there, lambda w: pod_of(w, "gateway").spec["volumes"][0]["secret"].update(secretName="keys"), "mounts Secret keys"),
    ("base", rules.what_is_referred_to_is_there, lambda w: drop(w, "PersistentVolumeClaim", "backup"), "mounts the claim backup"),
    ("base", rules.what_is_referred_to_is_there, lambda w: drop(w, *next(k for k in w.index if k[0] == "ConfigMap")), "ConfigMap nats"),
    ("base", rules.what_is_referred_to_is_there, lambda w: pod_of(w, "money").spec["volumes"].clear(), "the volume tmp"),
    ("base", rules.ways_in_are_whole, lambda w: drop(w, "Middleware", "compress"), "goes through maru-compress"),
    ("base", rules.ways_in_are_whole, lambda w: spec(w, "Middleware", "compress")["compress"].clear(), "to compress them"),
    ("base", rules.ways_in_are_whole, lambda w: spec(w, "Middleware", "rate-limit").update(buffering={}), "buffer"),
    ("base", rules.ways_in_are_whole, lambda w: spec(w, "Service", "gateway")["ports"][0].update(name="http"), "no such port"),
    ("single", rules.ways_in_are_whole, lambda w: spec(w, "Middleware", "to-https").pop("redirectScheme"), "send on"),
    ("single", rules.ways_in_are_whole, lambda w: spec(w, "Middleware", "hsts")["headers"].update(stsSeconds=60), "stay with TLS"),
    ("single", rules.ways_in_are_whole, lambda w: spec(w, "Ingress", "gateway")["tls"][0].update(secretName="cert"), "wants Secret cert"),
    ("base", rules.every_lane_runs_in_one_deployment, lambda w: first(w, "money").update(args=["workers", "--only", "charge,refund"]), "cancel_charge runs in []"),
    ("base", rules.every_lane_runs_in_one_deployment, lambda w: first(w, "flows").update(args=["workers", "--only", "authoring,checkout,refund"]), "refund runs in ['flows', 'money']"),
    ("base", rules.every_lane_runs_in_one_deployment, lambda w: first(w, "flows").update(args=["workers", "--only", "authoring,checkout,chekout"]), "chekout"),
    ("base", rules.every_lane_runs_in_one_deployment, lambda w: first(w, "flows").update(args=["workers"]), "runs everything"),
    ("base", rules.the_binary_understands_what_it_is_told, lambda w: first(w, "views")["env"].append({"name": "MARU_HORIZON", "value": "1"}), "MARU_HORIZON"),
    ("base", rules.the_binary_understands_what_it_is_told, lambda w: first(w, "views")["env"].reverse(), "before it is set"),
    ("base", rules.the_binary_understands_what_it_is_told, lambda w: unset(w, "money", "NATS_URL"), "where nats-server is"),
    ("base", rules.the_binary_understands_what_it_is_told, lambda w: unset(w, "money", "MARU_DB_USER"), "where the database is"),
    ("base", rules.the_binary_understands_what_it_is_told, lambda w: setting(w, "gateway", "MARU_API", "127.0.0.1:8080"), "its port api"),
    ("base", rules.the_binary_understands_what_it_is_told, lambda w: first(w, "flows").update(args=["gateway", "--no-such"]), "--no-such"),
    ("ha", rules.metrics_are_scraped, lambda w: spec(w, "PodMonitor", "maru")["selector"]["matchExpressions"][0]["values"].remove("maru-workers"), "nobody scrapes contexts"),
    ("ha", rules.metrics_are_scraped, lambda w: spec(w, "PodMonitor", "maru")["podMetricsEndpoints"][0].update(port="api"), "nobody scrapes gateway"),
    ("base", rules.probes_ask_the_process_alone, lambda w: first(w, "gateway")["livenessProbe"]["httpGet"].update(path="/readyz"), "restarted for what /readyz"),
    ("base", rules.probes_ask_the_process_alone, lambda w: first(w, "nats")["livenessProbe"]["httpGet"].update(path="/healthz"), "restarted for what /healthz"),
    ("base", rules.probes_ask_the_process_alone, lambda w: first(w, "gateway")["readinessProbe"]["httpGet"].update(path="/readyz"), "leaves its Service"),
    ("base", rules.probes_ask_the_process_alone, lambda w: first(w, "flows").pop("startupProbe"), "no startupProbe"),
    ("base", rules.probes_ask_the_process_alone, lambda w: first(w, "flows")["startupProbe"]["httpGet"].update(port="api"), "port that is not there"),
    ("base", rules.there_is_time_to_leave, lambda w: pod_of(w, "money").spec.update(terminationGracePeriodSeconds=20), "money may need"),
    ("base", rules.there_is_time_to_leave, lambda w: pod_of(w, "gateway").spec.update(terminationGracePeriodSeconds=15), "gateway may need"),
    ("base", rules.there_is_time_to_leave, lambda w: first(w, "gateway").pop("lifecycle"), "heard that it leaves"),
    ("ha", rules.there_is_time_to_leave, lambda w: pod_of(w, "nats").spec.update(terminationGracePeriodSeconds=30), "nats may need"),
    ("base", rules.a_rollout_takes_nothing_away, lambda w: spec(w, "Deployment", "gateway")["strategy"]["rollingUpdate"].update(maxUnavailable=1), "takes a pod away"),
    ("base", rules.a_rollout_takes_nothing_away, lambda w: spec(w, "StatefulSet", "surrealdb").update(replicas=2), "share one folder"),
    ("base", rules.pods_are_restricted, lambda w: pod_of(w, "gate").spec.pop("securityContext"), "runAsNonRoot"),
    ("base", rules.pods_are_restricted, lambda w: pod_of(w, "backup").spec["securityContext"].update(runAsUser=0), "as root"),
    ("base", rules.pods_are_restricted, lambda w: pod_of(w, "gate").spec["initContainers"][0]["securityContext"].update(readOnlyRootFilesystem=False), "readOnlyRootFilesystem"),
    ("base", rules.pods_are_restricted, lambda w: pod_of(w, "nats").spec.update(automountServiceAccountToken=True), "token"),
    ("base", rules.pods_are_restricted, lambda w: pod_of(w, "nats").spec.pop("enableServiceLinks"), "variables named after"),
    ("base", rules.pods_are_restricted, lambda w: pod_of(w, "views").spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}}), "mounts host"),
    ("base", rules.pods_are_restricted, lambda w: pod_of(w, "views").spec.update(hostNetwork=True), "own namespaces"),
    ("base", rules.pods_are_restricted, lambda w: first(w, "restore").pop("resources"), "what it needs"),
    ("ha", rules.scaling_follows_what_is_there, lambda w: spec(w, "Deployment", "money").update(replicas=2), "says itself"),
    ("ha", rules.scaling_follows_what_is_there, lambda w: spec(w, "ScaledObject", "money")["scaleTargetRef"].update(name="mony"), "mony"),
    ("ha", rules.scaling_follows_what_is_there, lambda w: spec(w, "ScaledObject", "money")["triggers"][0]["metadata"].update(consumer="job-chrage"), "JOBS/job-chrage"),
    ("ha", rules.scaling_follows_what_is_there, lambda w: spec(w, "ScaledObject", "write-story")["triggers"].pop(), "late-write_story"),
    ("ha", rules.scaling_follows_what_is_there, lambda w: spec(w, "ScaledObject", "flows").update(minReplicaCount=0), "scales from 0"),
    ("ha", rules.scaling_follows_what_is_there,
     lambda w: spec(w, "ScaledObject", "flows")["triggers"][0]["metadata"].update(natsServerMonitoringEndpoint="nats:8222"), "nats:8222"),
    ("base", rules.each_object_is_applied_in_its_step, lambda w: w.get("Deployment", "flows")["metadata"]["labels"].pop("maru/step"), "in the step None"),
    ("base", rules.each_object_is_applied_in_its_step, lambda w: w.get("Job", "restore")["metadata"]["labels"].update({"maru/step": "gate"}), "in the step gate"),
    ("base", rules.each_object_is_applied_in_its_step, lambda w: spec(w, "Job", "restore").update(suspend=False), "restore a backup"),
    ("single", rules.images_are_pinned, lambda w: first(w, "nats").update(image="nats:latest"), "whichever"),
    ("single", rules.images_are_pinned, lambda w: first(w, "flows").update(image="docker.io/library/maru:0.0.9"), "several builds"),
    ("single", rules.images_are_pinned, lambda w: first(w, "flows").update(imagePullPolicy="Always"), "imported image"),
    ("base", rules.the_streams_fit, lambda w: setting(w, "gate", "MARU_STREAM_MAX_BYTES", str(4 << 30)), "streams of 5"),
    ("base", rules.the_streams_fit, lambda w: setting(w, "gate", "MARU_STREAM_REPLICAS", "3"), "3 copies of each stream on 1"),
    ("ha", rules.the_streams_fit, lambda w: setting(w, "gate", "MARU_STREAM_REPLICAS", "1"), "1 copies of each stream on 3"),
    ("base", rules.the_streams_fit, lambda w: note(w, lambda text: text.replace("16GiB", "19GiB")), "a volume of"),
    ("ha", rules.the_streams_fit, lambda w: pod_of(w, "nats").spec.pop("topologySpreadConstraints"), "on one machine"),
    ("base", rules.a_backup_can_be_healed, lambda w: setting(w, "money", "MARU_HORIZON_HOURS", "24"), "forgets commands"),
    ("base", rules.a_backup_can_be_healed, lambda w: spec(w, "CronJob", "backup").update(schedule="17 2 * * 0"), "every night"),
    ("ha", rules.alerts_are_explained, lambda w: spec(w, "PrometheusRule", "maru-cluster")["groups"][0]["rules"][0].update(alert="MaruOther"), "MaruOther"),
    ("ha", rules.alerts_are_explained, lambda w: spec(w, "PrometheusRule", "maru-cluster")["groups"][0]["rules"][0].update(labels={}), "how bad"),
    ("ha", rules.alerts_are_explained, lambda w: spec(w, "PrometheusRule", "maru-cluster")["groups"][0]["rules"][0].update(expr="up == 0"), "other people"),
    ("base", rules.steps_of_the_scripts, lambda w: drop(w, "StatefulSet", "surrealdb"), "waits for statefulset surrealdb"),
    ("single", flows.flows_are_let_through_and_nothing_else, lambda w: policy(w, "to-nats")["ingress"].pop(0), "money is not let through to nats:4222"),
    ("single", flows.flows_are_let_through_and_nothing_else, lambda w: drop(w, "NetworkPolicy", "from-gateway-to-nats-monitor"), "gateway is not let through to nats:8222"),
    ("single", flows.flows_are_let_through_and_nothing_else,
     lambda w: [policy(w, name).update(podSelector={}) for name in ("from-maru-to-surrealdb",)] + [policy(w, "to-surrealdb")["ingress"][0].update({"from": [{"podSelector": {}}]})],
     "gate may reach surrealdb:8000"),
    ("single", flows.flows_are_let_through_and_nothing_else, lambda w: drop(w, "NetworkPolicy", "dns"), "lacks Egress with kube-system/kube-dns"),
    ("single", flows.flows_are_let_through_and_nothing_else, lambda w: policy(w, "from-ai-workers-to-the-internet").update(podSelector={}), "money has Egress with internet"),
    ("single", flows.flows_are_let_through_and_nothing_else,
     lambda w: policy(w, "from-traefik-to-gateway")["ingress"][0].update({"from": [{}]}), "gateway has Ingress with anybody"),
    ("single", flows.flows_are_let_through_and_nothing_else,
     lambda w: policy(w, "from-prometheus-to-metrics")["ingress"][0]["from"][0].update(podSelector={}), "lacks Ingress with monitoring/prometheus"),
    ("single", flows.flows_are_let_through_and_nothing_else,
     lambda w: policy(w, "from-ai-workers-to-the-internet")["egress"][0]["to"][0]["ipBlock"].pop("except"), "0.0.0.0/0"),
    ("ha", flows.flows_are_let_through_and_nothing_else, lambda w: drop(w, "NetworkPolicy", "among-nats"), "nats is not let through to nats:6222"),
    ("base+autoscaling", flows.flows_are_let_through_and_nothing_else,
     lambda w: w.objects.append({"kind": "NetworkPolicy", "metadata": {"name": "keda"}, "spec": {
         "podSelector": {"matchLabels": {"app.kubernetes.io/name": "nats"}}, "policyTypes": ["Ingress"], "ingress": []}}),
     "views is not let through to nats:4222"),
]


def unfound(worlds):
    """The planted faults that nobody finds, and the rules that have none."""
    tried = set()
    for where, rule, plant, word in FAULTS:
        world = World(where, copy.deepcopy(worlds[where].objects), worlds[where].facts)
        plant(world)
        tried.add(rule)
        findings = list(rule(world))
        if not any(word in finding for finding in findings):
            yield f"{rule.__name__} does not find {word!r} in {where}, but {findings}"
    for rule in [*rules.RULES, flows.flows_are_let_through_and_nothing_else]:
        if rule not in tried:
            yield f"nothing is planted for {rule.__name__}"
