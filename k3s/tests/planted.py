"""Faults that must be found: where, what is done to a rendering, and a word of what is to be said about it.
A rule without a fault here is not believed."""

import copy

import flows
import pods
import rules
import watching
from world import World


def pod_of(world, name):
    return next(pod for pod in world.pods() if pod.name == name)


def first(world, name):
    return pod_of(world, name).spec["containers"][0]


def setting(world, pod, name, value):
    next(one for one in first(world, pod)["env"] if one["name"] == name)["value"] = value


def reset(world, pod, name, value):
    one = next(one for one in first(world, pod)["env"] if one["name"] == name)
    one.pop("valueFrom")
    one["value"] = value


def unset(world, pod, name):
    first(world, pod)["env"] = [one for one in first(world, pod)["env"] if one["name"] != name]


def config(world, key):
    """The data of the ConfigMap that has a key."""
    return next(one["data"] for one in world.of("ConfigMap") if key in one["data"])


def spec(world, kind, name):
    return world.get(kind, name)["spec"]


def note(world, text):
    conf = config(world, "nats.conf")
    conf["nats.conf"] = text(conf["nats.conf"])


def drop(world, kind, name):
    world.objects.remove(world.index.pop((kind, name)))


def policy(world, name):
    return spec(world, "NetworkPolicy", name)


def alert_rule(world, name, alert):
    groups = spec(world, "PrometheusRule", name)["groups"]
    return next(one for group in groups for one in group["rules"] if one.get("alert") == alert)


def traefik(world, before, after):
    chart(world, "traefik", before, after, kind="HelmChartConfig")


def chart(world, name, before, after, kind="HelmChart"):
    """Changes the values of a chart."""
    one = spec(world, kind, name)
    if before not in one["valuesContent"]:
        raise ValueError(f"the chart {name} does not say {before}, where a fault was to be planted")
    one.update(valuesContent=one["valuesContent"].replace(before, after))


# Of each rule: the rendering, what is done to it, what must be found.
FAULTS = {
    rules.objects_are_there_once_and_in_the_namespace: [
        ("base", lambda w: w.objects.append(w.objects[-1]), "twice"),
        ("base", lambda w: w.get("Service", "nats")["metadata"].update(namespace="default"), "not in the namespace"),
        ("base", lambda w: w.of("Namespace")[0]["metadata"]["labels"].clear(), "restricted"),
    ],
    rules.selectors_mean_what_they_select: [
        (
            "base",
            lambda w: pod_of(w, "flows").labels.update({"app.kubernetes.io/component": "money"}),
            "money selects the pods of",
        ),
        ("base", lambda w: pod_of(w, "gateway").labels.clear(), "Service gateway leads to 0"),
        ("base", lambda w: spec(w, "Service", "nats")["ports"][0].update(targetPort="klient"), "klient"),
        ("base", lambda w: spec(w, "StatefulSet", "nats").update(serviceName="none"), "names a Service"),
        (
            "ha",
            lambda w: spec(w, "PodDisruptionBudget", "money")["selector"].update(
                matchLabels={"app.kubernetes.io/name": "maru-workers"}
            ),
            "PodDisruptionBudget money means 6",
        ),
    ],
    rules.what_is_referred_to_is_there: [
        (
            "base",
            lambda w: first(w, "views")["env"][2]["valueFrom"]["secretKeyRef"].update(key="pass"),
            "wants pass of Secret maru-nats",
        ),
        ("base", lambda w: first(w, "paint-image")["envFrom"][0]["secretRef"].update(name="ai"), "environment"),
        (
            "base",
            lambda w: pod_of(w, "gateway").spec["volumes"][0]["secret"].update(secretName="keys"),
            "mounts Secret keys",
        ),
        ("base", lambda w: drop(w, "PersistentVolumeClaim", "backup"), "mounts the claim backup"),
        (
            "base",
            lambda w: drop(w, *next(k for k in w.index if k[0] == "ConfigMap" and k[1].startswith("nats-"))),
            "ConfigMap nats",
        ),
        ("base", lambda w: config(w, "MARU_STREAM_REPLICAS").pop("MARU_STREAM_REPLICAS"), "ConfigMap streams"),
        (
            "base",
            lambda w: first(w, "gateway")["env"][4]["valueFrom"]["secretKeyRef"].pop("optional"),
            "Secret maru-admin need not be there",
        ),
        (
            "base",
            lambda w: first(w, "gateway")["env"][5]["valueFrom"]["secretKeyRef"].update(optional=True),
            "Secret maru-nats must be there",
        ),
        ("base", lambda w: pod_of(w, "money").spec["volumes"].clear(), "the volume tmp"),
    ],
    rules.ways_in_are_whole: [
        ("base", lambda w: drop(w, "Middleware", "compress"), "goes through maru-compress"),
        ("base", lambda w: spec(w, "Middleware", "compress")["compress"].clear(), "to compress them"),
        ("base", lambda w: spec(w, "Middleware", "rate-limit").update(buffering={}), "buffer"),
        ("base", lambda w: spec(w, "Service", "gateway")["ports"][0].update(name="http"), "no such port"),
        ("single", lambda w: spec(w, "Middleware", "to-https").pop("redirectScheme"), "send on"),
        ("single", lambda w: spec(w, "Middleware", "hsts")["headers"].update(stsSeconds=60), "stay with TLS"),
        ("single", lambda w: spec(w, "Ingress", "gateway")["tls"][0].update(secretName="cert"), "wants Secret cert"),
    ],
    rules.every_lane_runs_in_one_deployment: [
        (
            "base",
            lambda w: first(w, "money").update(args=["workers", "--only", "charge,refund"]),
            "cancel_charge runs in []",
        ),
        (
            "base",
            lambda w: first(w, "flows").update(args=["workers", "--only", "authoring,checkout,refund"]),
            "refund runs in ['flows', 'money']",
        ),
        (
            "base",
            lambda w: first(w, "flows").update(args=["workers", "--only", "authoring,checkout,chekout"]),
            "chekout",
        ),
        ("base", lambda w: first(w, "flows").update(args=["workers"]), "runs everything"),
    ],
    rules.the_binary_understands_what_it_is_told: [
        ("base", lambda w: first(w, "views")["env"].append({"name": "MARU_HORIZON", "value": "1"}), "MARU_HORIZON"),
        ("base", lambda w: first(w, "views")["env"].reverse(), "before it is set"),
        ("base", lambda w: unset(w, "money", "NATS_URL"), "where nats-server is"),
        ("base", lambda w: unset(w, "money", "MARU_DB_USER"), "where the database is"),
        ("base", lambda w: setting(w, "gateway", "MARU_API", "127.0.0.1:8080"), "its port api"),
        ("base", lambda w: first(w, "flows").update(args=["gateway", "--no-such"]), "--no-such"),
    ],
    rules.everybody_knows_the_same_databases: [
        (
            "base+database-per-context",
            lambda w: unset(w, "backup", "MARU_DB_URL_BOOKS"),
            "backup is told of other databases",
        ),
        (
            "base+database-per-context",
            lambda w: setting(w, "money", "MARU_DB_URL_PAYMENTS", "ws://surrealdb:8000"),
            "money is told of other databases",
        ),
        (
            "base+database-per-context",
            lambda w: [unset(w, pod.name, "MARU_DB_URL_BOOKS") for pod in w.maru() if pod.name != "gate"],
            "nobody is told of the database surrealdb-books",
        ),
    ],
    rules.everybody_knows_the_same_streams: [
        ("base", lambda w: unset(w, "contexts", "MARU_STREAM_REPLICAS"), "contexts has MARU_STREAM_REPLICAS not"),
        (
            "ha",
            lambda w: next(one for one in first(w, "restore")["env"] if one["name"] == "MARU_STREAM_REPLICAS")[
                "valueFrom"
            ]["configMapKeyRef"].update(name="streams-of-old"),
            "several places",
        ),
        ("base", lambda w: reset(w, "gateway", "MARU_STREAM_MAX_BYTES", "1073741824"), "gateway has MARU_STREAM_MAX"),
    ],
    rules.nats_server_is_set_as_maru_up_sets_it: [
        ("base", lambda w: note(w, lambda text: text.replace("max_payload: 8MB", "")), "that of `maru up` of 8MB"),
        ("ha", lambda w: note(w, lambda text: text.replace("8MB", "1MB")), "takes messages of 1MB"),
        ("ha", lambda w: note(w, lambda text: text.replace("interval: always", "interval: 1s")), "write through"),
        ("base", lambda w: first(w, "surrealdb")["args"].append("rocksdb:///data/db"), "surrealdb does not write"),
    ],
    rules.metrics_are_scraped: [
        ("ha", lambda w: spec(w, "PodMonitor", "maru").pop("jobLabel"), "the job of contexts is ''"),
        ("ha", lambda w: drop(w, "PodMonitor", "databases"), "nobody scrapes surrealdb"),
        (
            "ha+database-per-context",
            lambda w: spec(w, "PodMonitor", "databases")["selector"].update(
                matchLabels={"app.kubernetes.io/name": "surrealdb"}
            ),
            "nobody scrapes surrealdb-books",
        ),
        (
            "ha",
            lambda w: pod_of(w, "surrealdb").labels.update({"app.kubernetes.io/name": "maru-database"}),
            "the job of surrealdb is 'maru-database'",
        ),
        (
            "ha",
            lambda w: spec(w, "PodMonitor", "maru")["selector"]["matchExpressions"][0]["values"].remove("maru-workers"),
            "nobody scrapes contexts",
        ),
        (
            "ha",
            lambda w: spec(w, "PodMonitor", "maru")["podMetricsEndpoints"][0].update(port="api"),
            "nobody scrapes gateway",
        ),
    ],
    pods.probes_ask_the_process_alone: [
        (
            "base",
            lambda w: first(w, "gateway")["livenessProbe"]["httpGet"].update(path="/readyz"),
            "restarted for what /readyz",
        ),
        (
            "base",
            lambda w: first(w, "nats")["livenessProbe"]["httpGet"].update(path="/healthz"),
            "restarted for what /healthz",
        ),
        (
            "base",
            lambda w: first(w, "gateway")["readinessProbe"]["httpGet"].update(path="/readyz", port="api"),
            "leaves its Service",
        ),
        ("base", lambda w: first(w, "flows").pop("startupProbe"), "no startupProbe"),
        ("base", lambda w: first(w, "flows")["startupProbe"]["httpGet"].update(port="api"), "port that is not there"),
    ],
    pods.an_outage_is_waited_out: [
        ("base", lambda w: first(w, "money")["startupProbe"].update(failureThreshold=60), "money is killed after 120"),
        ("base", lambda w: spec(w, "Deployment", "gateway").update(progressDeadlineSeconds=900), "gateway is stuck"),
    ],
    pods.there_is_time_to_leave: [
        ("base", lambda w: pod_of(w, "money").spec.update(terminationGracePeriodSeconds=20), "money may need"),
        ("base", lambda w: pod_of(w, "gateway").spec.update(terminationGracePeriodSeconds=15), "gateway may need"),
        ("base", lambda w: first(w, "gateway").pop("lifecycle"), "heard that it leaves"),
        ("ha", lambda w: pod_of(w, "nats").spec.update(terminationGracePeriodSeconds=30), "nats may need"),
    ],
    pods.a_rollout_takes_nothing_away: [
        (
            "base",
            lambda w: spec(w, "Deployment", "gateway")["strategy"]["rollingUpdate"].update(maxUnavailable=1),
            "takes a pod away",
        ),
        ("base", lambda w: spec(w, "StatefulSet", "surrealdb").update(replicas=2), "share one folder"),
    ],
    pods.pods_are_restricted: [
        ("carrier", lambda w: pod_of(w, "carrier").spec.pop("securityContext"), "runAsNonRoot"),
        ("base", lambda w: pod_of(w, "gate").spec.pop("securityContext"), "runAsNonRoot"),
        ("base", lambda w: pod_of(w, "backup").spec["securityContext"].update(runAsUser=0), "as root"),
        (
            "base",
            lambda w: pod_of(w, "gate")
            .spec["initContainers"][0]["securityContext"]
            .update(readOnlyRootFilesystem=False),
            "readOnlyRootFilesystem",
        ),
        ("base", lambda w: pod_of(w, "nats").spec.update(automountServiceAccountToken=True), "token"),
        ("base", lambda w: pod_of(w, "nats").spec.pop("enableServiceLinks"), "variables named after"),
        (
            "base",
            lambda w: pod_of(w, "views").spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
            "mounts host",
        ),
        ("base", lambda w: pod_of(w, "views").spec.update(hostNetwork=True), "own namespaces"),
        ("base", lambda w: first(w, "restore").pop("resources"), "what it needs"),
    ],
    rules.scaling_follows_what_is_there: [
        ("ha", lambda w: spec(w, "Deployment", "money").update(replicas=2), "says itself"),
        ("ha", lambda w: spec(w, "ScaledObject", "money")["scaleTargetRef"].update(name="mony"), "mony"),
        (
            "ha",
            lambda w: spec(w, "ScaledObject", "money")["triggers"][0]["metadata"].update(consumer="job-chrage"),
            "JOBS/job-chrage",
        ),
        ("ha", lambda w: spec(w, "ScaledObject", "write-story")["triggers"].pop(), "late-write_story"),
        ("ha", lambda w: spec(w, "ScaledObject", "flows").update(minReplicaCount=0), "scales from 0"),
        ("ha", lambda w: spec(w, "ScaledObject", "flows")["fallback"].pop("behavior"), "flows takes pods away"),
        (
            "ha",
            lambda w: spec(w, "ScaledObject", "flows")["triggers"][0]["metadata"].update(
                natsServerMonitoringEndpoint="nats:8222"
            ),
            "nats:8222",
        ),
    ],
    rules.each_object_is_applied_in_its_step: [
        ("base", lambda w: w.get("Deployment", "flows")["metadata"]["labels"].pop("maru/step"), "in the step None"),
        (
            "base",
            lambda w: w.get("Job", "restore")["metadata"]["labels"].update({"maru/step": "gate"}),
            "in the step gate",
        ),
        ("base", lambda w: spec(w, "Job", "restore").update(suspend=False), "restore a backup"),
        (
            "base",
            lambda w: w.get("StatefulSet", "nats")["metadata"]["labels"].update({"maru/step": "roll"}),
            "does not stop it",
        ),
    ],
    pods.images_are_pinned: [
        ("single", lambda w: first(w, "nats").update(image="nats:latest"), "whichever"),
        ("single", lambda w: first(w, "flows").update(image="docker.io/library/maru:0.0.9"), "several builds"),
        ("single", lambda w: first(w, "flows").update(imagePullPolicy="Always"), "imported image"),
    ],
    rules.the_streams_fit: [
        (
            "base",
            lambda w: config(w, "MARU_STREAM_MAX_BYTES").update(MARU_STREAM_MAX_BYTES=str(4 << 30)),
            "five streams of 4294967296 do not fit",
        ),
        ("base", lambda w: config(w, "MARU_STREAM_REPLICAS").update(MARU_STREAM_REPLICAS="3"), "3 copies"),
        ("ha", lambda w: config(w, "MARU_STREAM_REPLICAS").update(MARU_STREAM_REPLICAS="1"), "on 3 servers"),
        ("base", lambda w: note(w, lambda text: text.replace("16GiB", "19GiB")), "or that not into"),
        ("ha", lambda w: pod_of(w, "nats").spec.pop("topologySpreadConstraints"), "on one machine"),
    ],
    rules.a_backup_can_be_healed: [
        ("base", lambda w: setting(w, "money", "MARU_HORIZON_HOURS", "24"), "forgets commands"),
        ("base", lambda w: spec(w, "CronJob", "backup").update(schedule="17 2 * * 0"), "every night"),
    ],
    watching.rules_are_written_once: [
        ("ha", lambda w: alert_rule(w, "maru-alerts-house", "DiskFull").update(expr="up == 0"), "alerts-house is not"),
        ("ha", lambda w: drop(w, "PrometheusRule", "maru-slo"), "maru-slo is not"),
        ("ha", lambda w: w.get("PrometheusRule", "maru-slo")["metadata"].update(name="more"), "more is written"),
    ],
    watching.alerts_are_explained: [
        ("ha", lambda w: alert_rule(w, "maru-alerts-cluster", "GateShut").update(alert="GateOpen"), "GateOpen is not"),
        (
            "ha",
            lambda w: alert_rule(w, "maru-alerts-people", "DeadLetters")["annotations"].update(runbook_url="#"),
            "DeadLetters is not",
        ),
        (
            "ha",
            lambda w: alert_rule(w, "maru-alerts-cluster", "PodRestarts").update(expr="kube_pod_restarts > 0"),
            "other people",
        ),
    ],
    watching.dashboards_are_there: [
        ("ha", lambda w: drop(w, "ConfigMap", "maru-dashboard-money"), "money.json"),
    ],
    watching.history_reaches_as_far_back_as_the_rules: [
        ("platform", lambda w: chart(w, "monitoring", "retention: 40d", "retention: 15d"), "keeps 15d, and the rules"),
        ("platform", lambda w: chart(w, "monitoring", "retention: 40d", "retention: 50d"), "README.md says 40d"),
        ("platform", lambda w: chart(w, "monitoring", "Size: 35GB", "Size: 43GB"), "fills its volume"),
    ],
    watching.alerts_have_a_way_out: [
        ("platform", lambda w: drop(w, "Secret", "alertmanager-maru"), "does not have our routes"),
        (
            "platform",
            lambda w: w.get("Secret", "alertmanager-maru")["data"].update({"chat.tmpl": ""}),
            "chat.tmpl is not",
        ),
        ("platform", lambda w: chart(w, "monitoring", "/receivers,", "/receiver,"), "watchdog-url, and no Secret"),
        ("platform", lambda w: chart(w, "monitoring", "Watchdog: true", "Watchdog: false"), "of its own"),
    ],
    rules.the_scripts_name_what_is_there: [
        ("base", lambda w: drop(w, "StatefulSet", "surrealdb"), "waits for statefulset surrealdb"),
    ],
    flows.flows_are_let_through_and_nothing_else: [
        ("single", lambda w: policy(w, "to-nats")["ingress"].pop(0), "money is not let through to nats:4222"),
        (
            "single",
            lambda w: drop(w, "NetworkPolicy", "from-gateway-to-nats-monitor"),
            "gateway is not let through to nats:8222",
        ),
        (
            "single",
            lambda w: [policy(w, name).update(podSelector={}) for name in ("from-maru-to-surrealdb",)]
            + [policy(w, "to-surrealdb")["ingress"][0].update({"from": [{"podSelector": {}}]})],
            "gate may reach surrealdb:8000",
        ),
        (
            "ha+database-per-context",
            lambda w: policy(w, "to-surrealdb").update(
                podSelector={"matchLabels": {"app.kubernetes.io/name": "surrealdb"}}
            ),
            "money is not let through to surrealdb-books:8000",
        ),
        ("single", lambda w: drop(w, "NetworkPolicy", "dns"), "lacks Egress with kube-system/kube-dns"),
        (
            "single",
            lambda w: policy(w, "from-ai-workers-to-the-internet").update(podSelector={}),
            "money has Egress with internet",
        ),
        (
            "single",
            lambda w: policy(w, "from-traefik-to-gateway")["ingress"][0].update({"from": [{}]}),
            "gateway has Ingress with anybody",
        ),
        (
            "single",
            lambda w: policy(w, "from-prometheus-to-metrics")["ingress"][0]["from"][0].update(podSelector={}),
            "lacks Ingress with monitoring/prometheus",
        ),
        (
            "single",
            lambda w: policy(w, "from-ai-workers-to-the-internet")["egress"][0]["to"][0]["ipBlock"].pop("except"),
            "0.0.0.0/0",
        ),
        ("ha", lambda w: drop(w, "NetworkPolicy", "among-nats"), "nats is not let through to nats:6222"),
        (
            "single",
            lambda w: drop(w, "NetworkPolicy", "from-traefik-to-acme-solver"),
            "acme-solver lacks Ingress with kube-system/traefik at 8089",
        ),
        (
            "single",
            lambda w: policy(w, "from-prometheus-to-surrealdb").update(podSelector={}),
            "nats has Ingress with monitoring/prometheus at 8000",
        ),
        (
            "ha+traces",
            lambda w: setting(w, "views", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://tempo.observability.svc:4317"),
            "views lacks Egress with observability at 4317",
        ),
        (
            "base+autoscaling",
            lambda w: w.objects.append(
                {
                    "kind": "NetworkPolicy",
                    "metadata": {"name": "keda"},
                    "spec": {
                        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "nats"}},
                        "policyTypes": ["Ingress"],
                        "ingress": [],
                    },
                }
            ),
            "views is not let through to nats:4222",
        ),
    ],
    rules.charts_are_pinned_and_their_values_yaml: [
        ("platform", lambda w: spec(w, "HelmChart", "keda").pop("version"), "newest"),
        ("platform", lambda w: spec(w, "HelmChartConfig", "traefik").update(valuesContent="a: [b"), "traefik"),
    ],
    rules.every_machine_lets_people_in: [
        ("platform", lambda w: traefik(w, "kind: DaemonSet", "replicas: 3"), "a machine without Traefik"),
        ("platform", lambda w: traefik(w, "Policy: Local", "Policy: Cluster"), "by the machine's address"),
    ],
}


def unfound(worlds):
    """The planted faults that nobody finds, and the rules that have none."""
    for rule, faults in FAULTS.items():
        for where, plant, word in faults:
            world = World(where, copy.deepcopy(worlds[where].objects), worlds[where].facts)
            plant(world)
            findings = list(rule(world))
            if not any(word in finding for finding in findings):
                yield f"{rule.__name__} does not find {word!r} in {where}, but {findings}"
    every = {*rules.RULES, *rules.OF_PLATFORM, *pods.RULES, *flows.RULES, *watching.RULES, *watching.OF_PLATFORM}
    for rule in every - FAULTS.keys():
        yield f"nothing is planted for {rule.__name__}"
