"""What we expect of every pod: how it is asked, how it leaves, what it may, what it runs."""

import re

from world import K3S, nats_conf


def probes_ask_the_process_alone(world):
    """What is restarted, and what is taken out of the Service, for reasons of its own only."""
    alive = {"maru": "/livez", "nats": "/healthz?js-enabled-only=true", "surrealdb": "/health"}
    for pod in world.pods():
        if pod.kind not in ("Deployment", "StatefulSet"):
            continue
        for container in pod.spec["containers"]:
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
                if probe not in container:
                    yield f"{pod.name} has no {probe}"
                elif container[probe]["httpGet"]["port"] not in pod.ports():
                    yield f"{pod.name} is asked at a port that is not there"
            path = container.get("livenessProbe", {}).get("httpGet", {}).get("path")
            if path != alive.get(container["name"]):
                yield f"{pod.name} is restarted for what {path} says, which is not about itself alone"
            ready = container.get("readinessProbe", {}).get("httpGet", {})
            # The API's /readyz asks nats-server and the database too.
            if ready.get("port") == "api" and ready["path"] == "/readyz":
                yield f"{pod.name} leaves its Service, as all others do, when a shared part is away"


def an_outage_is_waited_out(world):
    """Who starts while nats-server or the database is away waits, and is not started again and again. A rollout is
    not waited for like that: it counts as stuck before k3s/deploy has lost its patience."""
    patience = 60 * int(re.search(r'"\$deployment" --timeout (\d+)m', (K3S / "deploy").read_text())[1])
    for pod in world.maru():
        if pod.kind == "Deployment":
            probe = pod.spec["containers"][0].get("startupProbe", {})
            waits = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
            if waits < 86400:
                yield f"{pod.name} is killed after {waits} s without the servers"
            if pod.owner["spec"].get("progressDeadlineSeconds", 600) >= patience:
                yield f"{pod.name} is stuck for longer than k3s/deploy waits before anybody says so"


def there_is_time_to_leave(world):
    for pod in world.pods():
        if pod.kind not in ("Deployment", "StatefulSet"):
            continue
        hook = pod.spec["containers"][0].get("lifecycle", {}).get("preStop", {})
        before = hook.get("sleep", {}).get("seconds", 0)
        drain = world.facts.drain[pod.subcommand()] if pod.is_maru else 20
        if "exec" in hook:
            conf = nats_conf(world)
            drain = sum(int(re.search(rf"lame_duck_{part}: (\d+)s", conf)[1]) for part in ("grace_period", "duration"))
        if pod.name.startswith("surrealdb"):
            drain = 60
        if pod.spec["terminationGracePeriodSeconds"] < before + drain + 5:
            yield f"{pod.name} may need {before + drain + 5} s to leave and is killed before"
        if pod.is_maru and pod.subcommand() == "gateway" and before < 3:
            yield f"{pod.name} closes before everybody has heard that it leaves"


def a_rollout_takes_nothing_away(world):
    for pod in world.pods():
        if pod.kind == "Deployment":
            how = pod.owner["spec"].get("strategy", {}).get("rollingUpdate", {})
            if (how.get("maxSurge"), how.get("maxUnavailable")) != (1, 0):
                yield f"{pod.name} takes a pod away before the next one is there"
        if pod.kind == "StatefulSet" and pod.name.startswith("surrealdb"):
            disk = any(arg.startswith(("rocksdb:", "surrealkv:")) for arg in pod.spec["containers"][0]["args"])
            if disk and pod.owner["spec"]["replicas"] != 1:
                yield f"{pod.name}: two database servers would share one folder"


def pods_are_restricted(world):
    for pod in world.pods():
        shared = pod.spec.get("securityContext", {})
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name} gets a token for the API server"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name} gets variables named after Services"
        if any(pod.spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{pod.name} uses the machine's own namespaces"
        for volume in pod.spec.get("volumes", []):
            if not {"configMap", "secret", "emptyDir", "persistentVolumeClaim"} & volume.keys():
                yield f"{pod.name} mounts {volume['name']}, which restricted pods may not"
        for container in pod.containers():
            own = {**shared, **container.get("securityContext", {})}
            wanted = {
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            for key, value in wanted.items():
                if own.get(key) != value:
                    yield f"{pod.name} is not restricted: {key}"
            if own.get("runAsUser", 0) == 0 or own.get("privileged"):
                yield f"{pod.name} runs as root"
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get(
                "limits", {}
            ):
                yield f"{pod.name} does not say what it needs and how much memory it may have"


def images_are_pinned(world):
    ours = set()
    for pod in world.pods():
        for container in pod.containers():
            image = container["image"]
            if pod.is_maru:
                ours.add(image)
            # The base leaves it to the overlays which build is meant.
            if image != "maru" and not re.search(r":v?\d+\.\d+\.\d+", image):
                yield f"{pod.name} runs {image}, whichever that is"
            if container.get("imagePullPolicy") != "IfNotPresent":
                yield f"{pod.name} cannot start from an imported image"
    if len(ours) > 1:
        yield f"there are several builds: {sorted(ours)}"


RULES = [
    probes_ask_the_process_alone,
    an_outage_is_waited_out,
    there_is_time_to_leave,
    a_rollout_takes_nothing_away,
    pods_are_restricted,
    images_are_pinned,
]
