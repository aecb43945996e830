"""What we expect of every rendering of Maru. A rule takes a World and answers with its findings; planted.py
shows that each of them finds something."""

import re

import yaml

from world import K3S, NAMESPACE, ROOT, NotUnderstood, matches, nats_conf, only, settings


def objects_are_there_once_and_in_the_namespace(world):
    seen = set()
    for one in world.objects:
        kind, name = one["kind"], one["metadata"]["name"]
        if (kind, name) in seen:
            yield f"{kind} {name} is there twice"
        seen.add((kind, name))
        if kind != "Namespace" and one["metadata"].get("namespace") != NAMESPACE:
            yield f"{kind} {name} is not in the namespace {NAMESPACE}"
    for one in world.of("Namespace"):
        if one["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "the namespace does not enforce restricted pods"


def selectors_mean_what_they_select(world):
    for pod in world.pods():
        if pod.kind in ("Deployment", "StatefulSet"):
            meant = [one.name for one in world.matched(pod.owner["spec"]["selector"])]
            if meant != [pod.name]:
                yield f"{pod.kind} {pod.name} selects the pods of {meant}"
        if pod.kind == "StatefulSet" and not world.get("Service", pod.owner["spec"]["serviceName"]):
            yield f"StatefulSet {pod.name} names a Service that is not there"
    for service in world.of("Service"):
        name, meant = service["metadata"]["name"], world.matched({"matchLabels": service["spec"]["selector"]})
        if len(meant) != 1:
            yield f"Service {name} leads to {len(meant)} kinds of pods"
        for port in service["spec"]["ports"]:
            if not all(port["targetPort"] in pod.ports() for pod in meant):
                yield f"Service {name} leads to the port {port['targetPort']}, which is not there"
    for budget in world.of("PodDisruptionBudget"):
        meant = world.matched(budget["spec"]["selector"])
        if len(meant) != 1:
            yield f"PodDisruptionBudget {budget['metadata']['name']} means {len(meant)} kinds of pods"


def what_is_referred_to_is_there(world):
    def secret(who, name, key, optional=False):
        listed = world.facts.outside.get(name, {})
        if key not in listed:
            yield f"{who} wants {key or 'all'} of Secret {name}, which docs/operating/k3s.md does not list"
        elif listed[key] == optional:
            must = "must" if listed[key] else "need not"
            yield f"Secret {name} {must} be there by docs/operating/k3s.md, and {who} sees it otherwise"

    def config(who, name, key):
        there = world.get("ConfigMap", name)
        if not there or (key and key not in there["data"]):
            yield f"{who} wants {key or 'all'} of ConfigMap {name}, which is not there"

    for pod in world.pods():
        for container in pod.containers():
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {})
                if "secretKeyRef" in source:
                    one = source["secretKeyRef"]
                    yield from secret(pod.name, one["name"], one["key"], one.get("optional", False))
                # k3s/restore makes the one of its own name.
                if source.get("configMapKeyRef", {"name": "restore"})["name"] != "restore":
                    yield from config(pod.name, source["configMapKeyRef"]["name"], source["configMapKeyRef"]["key"])
            for source in container.get("envFrom", []):
                if source.get("secretRef", {}).get("name") not in world.facts.outside:
                    yield f"{pod.name} takes its environment from a Secret that docs/operating/k3s.md does not list"
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            claims = [one["metadata"]["name"] for one in pod.owner["spec"].get("volumeClaimTemplates", [])]
            for name in mounted - {volume["name"] for volume in pod.spec.get("volumes", [])} - set(claims):
                yield f"{pod.name} mounts the volume {name}, which is not there"
        for volume in pod.spec.get("volumes", []):
            if "secret" in volume and volume["secret"]["secretName"] not in world.facts.outside:
                yield f"{pod.name} mounts Secret {volume['secret']['secretName']}, which docs/operating/k3s.md lacks"
            if "configMap" in volume:
                yield from config(pod.name, volume["configMap"]["name"], None)
            claim = volume.get("persistentVolumeClaim")
            if claim and not world.get("PersistentVolumeClaim", claim["claimName"]):
                yield f"{pod.name} mounts the claim {claim['claimName']}, which is not there"


def ways_in_are_whole(world):
    """Ingresses, what stands in between, and that a live stream gets through."""
    prefix = "traefik.ingress.kubernetes.io/router"
    for ingress in world.of("Ingress"):
        name, notes = ingress["metadata"]["name"], ingress["metadata"]["annotations"]
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = world.get("Service", backend["name"])
                if not service or backend["port"]["name"] not in [p["name"] for p in service["spec"]["ports"]]:
                    yield f"Ingress {name} leads to {backend['name']}, which has no such port"
        for one in ingress["spec"].get("tls", []):
            if one["secretName"] not in world.facts.outside:
                yield f"Ingress {name} wants Secret {one['secretName']}, which docs/operating/k3s.md does not list"
        kinds = {f"{prefix}.middlewares": "Middleware", f"{prefix}.tls.options": "TLSOption"}
        through = []
        for note, kind in kinds.items():
            for named in filter(None, notes.get(note, "").split(",")):
                found = world.get(kind, named.removeprefix(f"{NAMESPACE}-").removesuffix("@kubernetescrd"))
                through.append(found)
                if not found:
                    yield f"Ingress {name} goes through {named}, which is not there"
        specs = [found["spec"] for found in through if found]
        has_tls = any(one["spec"].get("tls") for one in world.of("Ingress"))
        if notes[f"{prefix}.entrypoints"] == "web" and has_tls and not any("redirectScheme" in s for s in specs):
            yield f"Ingress {name} answers without TLS and does not send on"
        if notes[f"{prefix}.entrypoints"] == "websecure" and not any(
            s.get("headers", {}).get("stsSeconds", 0) >= 31536000 for s in specs
        ):
            yield f"Ingress {name} does not have browsers stay with TLS"
        for spec in specs:
            if "buffering" in spec:
                yield f"Ingress {name} holds live streams back in a buffer"
            if "compress" in spec and "text/event-stream" not in spec["compress"].get("excludedContentTypes", []):
                yield f"Ingress {name} holds live streams back to compress them"


def every_lane_runs_in_one_deployment(world):
    homes = {}
    for pod in world.workers():
        for container in pod.spec["containers"]:
            for name in only(container):
                homes.setdefault(name, []).append(pod.name)
            if not only(container):
                yield f"{pod.name} runs everything"
    for name in world.facts.names:
        if len(homes.get(name, [])) != 1:
            yield f"{name} runs in {homes.get(name, [])}, not in exactly one Deployment"
    for name in homes.keys() - set(world.facts.names):
        yield f"{homes[name][0]} runs {name}, which the binary does not know"


# What the commands that an operator runs in a pod are to know; what the pod itself does has no use for it.
OF_OPERATORS = {"MARU_STREAM_MAX_BYTES", "MARU_STREAM_REPLICAS"}


def the_binary_understands_what_it_is_told(world):
    for pod in world.maru():
        for container in pod.containers():
            args = tuple(container["args"])
            try:
                known = world.facts.reads(args)
            except NotUnderstood as error:
                yield f"{pod.name} is told {' '.join(args)!r}: {error}"
                continue
            values = {one["name"]: str(one.get("value", "")) for one in container.get("env", [])}
            used = set(re.findall(r"\$\((\w+)\)", " ".join([*args, *values.values()])))
            for name in values.keys() - known - used - OF_OPERATORS:
                yield f"{pod.name} sets {name}, which `maru {args[0]}` does not read"
            earlier = set()
            for name, value in values.items():
                for late in set(re.findall(r"\$\((\w+)\)", value)) - earlier:
                    yield f"{pod.name} uses {late} in {name} before it is set"
                earlier.add(name)
            if "NATS_URL" not in values:
                yield f"{pod.name} does not say where nats-server is"
            if "MARU_DB_URL" in known and not {"MARU_DB_URL", "MARU_DB_USER", "MARU_DB_PASSWORD"} <= values.keys():
                yield f"{pod.name} does not say where the database is and who asks"
            for name, port in [("MARU_API", "api"), ("MARU_METRICS", "metrics")]:
                ports = {one["name"]: one["containerPort"] for one in container.get("ports", [])}
                if name in known and values.get(name) != f"0.0.0.0:{ports.get(port)}":
                    yield f"{pod.name} listens on {values.get(name)}, which is not its port {port}"


def everybody_knows_the_same_databases(world):
    """A process that was told otherwise would look for what was done in a place where it is not."""
    told = {}
    for pod in world.maru():
        for container in pod.containers():
            values = {one["name"]: one.get("value") for one in container.get("env", [])}
            if "MARU_DB_URL" in values:
                known = {name: at for name, at in values.items() if name.startswith("MARU_DB_URL")}
                told.setdefault(tuple(sorted(known.items())), []).append(pod.name)
    if len(told) > 1:
        odd = min(told.values(), key=len)
        yield f"{', '.join(odd)} is told of other databases than the rest"
    named = {at for known in told for _, at in known}
    for one in world.of("StatefulSet"):
        name = one["metadata"]["name"]
        if name.startswith("surrealdb") and f"ws://{name}:8000" not in named:
            yield f"nobody is told of the database {name}"


# Shows JSON and no metrics; gateway and workers tell of it.
NOT_SCRAPED = {"nats"}


def metrics_are_scraped(world):
    """Of everything that stays, by whatever port it tells; and the alerts know Maru, and nothing else, by its job."""
    monitors = [one["spec"] for one in world.of("PodMonitor") if "namespaceSelector" not in one["spec"]]
    for pod in world.pods() if monitors else []:
        told_at = {"metrics" if pod.is_maru else name for name in pod.ports()}
        if pod.kind in ("Deployment", "StatefulSet") and pod.name not in NOT_SCRAPED and not any(
            matches(monitor["selector"], pod.labels)
            and any(end["port"] in told_at and end["path"] == "/metrics" for end in monitor["podMetricsEndpoints"])
            for monitor in monitors
        ):
            yield f"nobody scrapes {pod.name}"
    for monitor in monitors:
        if not world.matched(monitor["selector"]):
            yield "a PodMonitor means no pod"
        for pod in world.matched(monitor["selector"]):
            job = pod.labels.get(monitor.get("jobLabel"), "")
            if job.startswith("maru") != pod.is_maru:
                yield f"the job of {pod.name} is {job!r}, and the alerts know Maru, and nothing else, by maru…"


def scaling_follows_what_is_there(world):
    scaled = {}
    for one in world.of("ScaledObject") + world.of("HorizontalPodAutoscaler"):
        name, spec = one["metadata"]["name"], one["spec"]
        target = spec["scaleTargetRef"]["name"]
        low = spec.get("minReplicaCount", spec.get("minReplicas"))
        if not 1 <= low < spec.get("maxReplicaCount", spec.get("maxReplicas")):
            yield f"{name} scales from {low}"
        if one["kind"] == "ScaledObject" and spec.get("fallback", {}).get("behavior") != "currentReplicasIfHigher":
            yield f"{name} takes pods away when nats-server cannot be asked"
        if not world.get("Deployment", target) or target in scaled:
            yield f"{name} scales {target}, which is not there or is scaled twice"
        elif "replicas" in world.get("Deployment", target)["spec"]:
            yield f"{target} says itself how many there are, and is scaled too"
        scaled[target] = spec.get("triggers", [])
    for pod in world.workers():
        if not scaled.get(pod.name):
            continue
        asked = {(one["metadata"]["stream"], one["metadata"]["consumer"]) for one in scaled[pod.name]}
        for one in sorted(asked - world.facts.consumers):
            yield f"{pod.name} is scaled by {'/'.join(one)}, which the binary does not make: it would go to its maximum"
        lanes = set(only(pod.spec["containers"][0]))
        for stream, consumer in sorted(world.facts.consumers - asked):
            kind, _, name = consumer.partition("-")
            if kind in ("cmd", "flow", "job", "late") and name in lanes:
                yield f"{pod.name} is not scaled by {stream}/{consumer}, which it works on"
        for one in scaled[pod.name]:
            place = one["metadata"]["natsServerMonitoringEndpoint"]
            if one["type"] != "nats-jetstream" or place != f"nats-headless.{NAMESPACE}.svc.cluster.local:8222":
                yield f"{pod.name} is scaled by what {place} says"


# What is rolled with the rest and runs nothing.
BESIDE = {"Service", "Ingress", "Middleware", "TLSOption"}


def each_object_is_applied_in_its_step(world):
    """k3s/deploy applies what has no step first, then the gate, then what is rolled; and k3s/restore stops that."""
    wanted = {"Deployment": "roll", "CronJob": "roll", "HorizontalPodAutoscaler": "roll", "ScaledObject": "roll"}
    for one in world.objects:
        name, step = one["metadata"]["name"], one["metadata"].get("labels", {}).get("maru/step")
        expected = {"gate": "gate", "restore": "restore"}.get(name) if one["kind"] == "Job" else wanted.get(one["kind"])
        if (expected and step != expected) or step not in (None, "gate", "roll", "restore"):
            yield f"{one['kind']} {name} is applied in the step {step}"
        if one["metadata"].get("labels", {}).get("maru/step") == "roll" and one["kind"] not in wanted.keys() | BESIDE:
            yield f"{one['kind']} {name} is rolled, and k3s/restore does not stop it"
    if world.get("Job", "restore")["spec"].get("suspend") is not True:
        yield "a plain apply would restore a backup"


def everybody_knows_the_same_streams(world):
    """One place says how large they are and how many copies there are, to all who make them or look at them."""
    told = {}
    for pod in world.maru():
        for container in pod.containers():
            args = container["args"]
            # A backup brings its sizes itself.
            wanted = {"MARU_STREAM_REPLICAS"} if args[0] == "restore" else OF_OPERATORS
            if args[0] == "backup":
                continue
            for name in wanted:
                one = next((one for one in container.get("env", []) if one["name"] == name), {})
                source = one.get("valueFrom", {}).get("configMapKeyRef", {})
                told.setdefault(source.get("name"), set()).add(pod.name)
                if source.get("key") != name:
                    yield f"{pod.name} has {name} not from the one place"
    if len(told) > 1:
        yield f"there are several places that say how large the streams are: {told}"


def nats_server_is_set_as_maru_up_sets_it(world):
    """What is accepted by one is accepted by all, and written through by all."""
    ours, conf = (ROOT / "streams" / "src" / "server.rs").read_text(), nats_conf(world)
    wanted = re.search(r"max_payload: (\w+)", ours)[1]
    told = re.search(r"^max_payload: (\w+)$", conf, re.M)
    if not told or told[1] != wanted:
        yield f"nats-server takes messages of {told and told[1]}, and that of `maru up` of {wanted}"
    if not re.search(r"^\s*sync_interval: always$", conf, re.M):
        yield "nats-server does not write through"
    # Nobody can ask SurrealDB for this; Maru believes it.
    for pod in world.pods():
        for arg in pod.spec["containers"][0].get("args", []):
            if arg.startswith(("rocksdb:", "surrealkv:")) and not arg.endswith("?sync=every"):
                yield f"{pod.name} does not write through: {arg}"


def the_streams_fit(world):
    sizes = {"Gi": 1 << 30, "GiB": 1 << 30, "Mi": 1 << 20, "MiB": 1 << 20}
    server = world.get("StatefulSet", "nats")["spec"]
    number, unit = re.search(r"max_file_store: (\d+)(\w+)", nats_conf(world)).groups()
    store = int(number) * sizes[unit]
    claim = server["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    volume = int(claim[:-2]) * sizes[claim[-2:]]
    # What everybody else is told is the same.
    gate = next(pod for pod in world.maru() if pod.name == "gate")
    told = settings(world, gate.spec["containers"][0])
    # COMMANDS, JOBS, EVENTS, DEAD and the images reserve as much each; SCHEDULES takes what it needs.
    if 5 * int(told["MARU_STREAM_MAX_BYTES"]) > store or store > 0.85 * volume:
        yield f"five streams of {told['MARU_STREAM_MAX_BYTES']} do not fit into {store}, or that not into {volume}"
    copies, servers = int(told["MARU_STREAM_REPLICAS"]), server["replicas"]
    if copies > servers or (servers >= 3 and copies != 3):
        yield f"there are {copies} copies of each stream on {servers} servers"
    if server["replicas"] > 1 and not any(
        one["whenUnsatisfiable"] == "DoNotSchedule"
        for one in server["template"]["spec"].get("topologySpreadConstraints", [])
    ):
        yield "several nats-servers may run on one machine"


def a_backup_can_be_healed(world):
    """The streams must reach back over the time between two backups."""
    schedule = world.get("CronJob", "backup")["spec"]["schedule"].split()
    hours = 24 if schedule[2:] == ["*", "*", "*"] and schedule[1].isdigit() else None
    if not hours:
        yield f"the backup is not made every night but {' '.join(schedule)}"
    for pod in world.workers():
        env = {one["name"]: one.get("value") for one in pod.spec["containers"][0]["env"]}
        if int(env.get("MARU_HORIZON_HOURS", 24)) <= (hours or 24):
            yield f"{pod.name} forgets commands before the next backup is made"


def the_scripts_name_what_is_there(world):
    """The scripts name what is there."""
    text = (K3S / "deploy").read_text() + (K3S / "restore").read_text()
    for kind, name in re.findall(r"\b(statefulset|job|cronjob)[/ ](\w+)", text):
        kinds = {"statefulset": "StatefulSet", "job": "Job", "cronjob": "CronJob"}
        if not world.get(kinds[kind], name):
            yield f"a script waits for {kind} {name}, which is not there"


def charts_are_pinned_and_their_values_yaml(world):
    """Of platform/ alone."""
    for one in world.objects:
        try:
            yaml.safe_load(one.get("spec", {}).get("valuesContent", ""))
        except yaml.YAMLError as error:
            yield f"{one['metadata']['name']}: {error}"
        if one["kind"] == "HelmChart" and not re.fullmatch(r"\d+\.\d+\.\d+", one["spec"].get("version", "")):
            yield f"{one['metadata']['name']}: whichever version is the newest"


def every_machine_lets_people_in(world):
    """Of platform/ alone."""
    told = yaml.safe_load(world.get("HelmChartConfig", "traefik")["spec"]["valuesContent"])
    if told["service"]["spec"].get("externalTrafficPolicy") != "Local":
        yield "people are known by the machine's address and not by theirs"
    if told["deployment"].get("kind") != "DaemonSet":
        yield "a machine without Traefik answers nobody"


OF_PLATFORM = [charts_are_pinned_and_their_values_yaml, every_machine_lets_people_in]
RULES = [
    objects_are_there_once_and_in_the_namespace,
    selectors_mean_what_they_select,
    what_is_referred_to_is_there,
    ways_in_are_whole,
    every_lane_runs_in_one_deployment,
    the_binary_understands_what_it_is_told,
    everybody_knows_the_same_databases,
    everybody_knows_the_same_streams,
    nats_server_is_set_as_maru_up_sets_it,
    metrics_are_scraped,
    scaling_follows_what_is_there,
    each_object_is_applied_in_its_step,
    the_streams_fit,
    a_backup_can_be_healed,
    the_scripts_name_what_is_there,
]
