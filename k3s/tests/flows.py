"""Network policies, read as the cluster reads them: what each pod says of whom it talks to must be let
through, and nothing else."""

import re

from world import Pod, matches

EVERYWHERE = [{}]
# A pod that others make in our namespace: cert-manager's, which shows by HTTP-01 that a name is ours.
SOLVER = Pod(
    owner={"kind": "Pod", "metadata": {"name": "acme-solver"}},
    labels={"acme.cert-manager.io/http01-solver": "true"},
    spec={"containers": [{"name": "acmesolver", "ports": [{"name": "http", "containerPort": 8089}]}]},
)
# The namespace of a collector that operators keep themselves; components/traces.
COLLECTOR = ("tracing", 4317)


def everybody(world):
    return [*world.pods(), SOLVER]


def policies(world, pod, direction):
    """The rules of this direction that hold for a pod; None where no policy does, which means anything goes."""
    meant = [
        one["spec"]
        for one in world.of("NetworkPolicy")
        if direction in one["spec"]["policyTypes"] and matches(one["spec"]["podSelector"], pod.labels)
    ]
    return [rule for spec in meant for rule in spec.get(direction.lower(), [])] if meant else None


def ports(rule):
    return {one["port"] for one in rule["ports"]} if "ports" in rule else {"any"}


def peers(rule, direction):
    return rule.get("to" if direction == "Egress" else "from", EVERYWHERE)


def lets(rules, direction, other, port):
    """Whether rules let through what another of our pods is the other end of."""
    if rules is None:
        return True
    for rule in rules:
        for peer in peers(rule, direction):
            ours = peer == {} or ("podSelector" in peer and "namespaceSelector" not in peer)
            if ours and matches(peer.get("podSelector", {}), other.labels) and ports(rule) & {port, "any"}:
                return True
    return False


def allowed(world):
    """Which of our pods can reach which, at which of their ports."""
    all_pods = everybody(world)
    found = set()
    for source in all_pods:
        out = policies(world, source, "Egress")
        for target in all_pods:
            into = policies(world, target, "Ingress")
            for port in target.ports().values():
                if lets(out, "Egress", target, port) and lets(into, "Ingress", source, port):
                    found.add((source.name, target.name, port))
    return found


def name_of(peer):
    """A short name for whoever is not one of our pods."""
    if "ipBlock" in peer:
        private = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"}
        everything = peer["ipBlock"]["cidr"] in ("0.0.0.0/0", "::/0")
        kept_out = private & set(peer["ipBlock"].get("except", []))
        return "internet" if everything and kept_out else str(peer["ipBlock"])
    if "namespaceSelector" not in peer:
        return None
    where = peer["namespaceSelector"].get("matchLabels", {}).get("kubernetes.io/metadata.name", "any namespace")
    who = "/".join(peer.get("podSelector", {}).get("matchLabels", {}).values())
    return f"{where}/{who}" if who else where


def strangers(world):
    """What may come from and go to others, as (pod, direction, whom, port)."""
    found = set()
    for pod in everybody(world):
        for direction in ("Ingress", "Egress"):
            for rule in policies(world, pod, direction) or []:
                for peer in peers(rule, direction):
                    whom = "anybody" if peer == {} else name_of(peer)
                    found |= {(pod.name, direction, whom, port) for port in ports(rule) if whom}
    return found


def named(world):
    """What our pods' settings name among our own, as (pod, pod, port)."""
    found = set()
    for pod in world.pods():
        for container in pod.containers():
            values = [str(one.get("value", "")) for one in container.get("env", [])]
            for host, port in re.findall(r"://(?:[^@/\s]+@)?([a-z0-9.-]+):(\d+)", " ".join(values)):
                service = world.get("Service", host) or world.get("Service", host.partition(".")[2])
                if not service:
                    continue
                entry = next((one for one in service["spec"]["ports"] if one["port"] == int(port)), None)
                for target in world.matched({"matchLabels": service["spec"]["selector"]}):
                    # A route to the servers of a cluster is no port of their Service.
                    at = target.ports()[entry["targetPort"]] if entry else int(port)
                    found.add((pod.name, target.name, at))
    return found


def expected_strangers(world):
    found = {(SOLVER.name, "Ingress", "kube-system/traefik", SOLVER.ports()["http"])}
    for pod in everybody(world):
        found |= {(pod.name, "Egress", "kube-system/kube-dns", 53)}
        containers = pod.containers()
        for container in containers:
            values = " ".join(str(one.get("value", "")) for one in container.get("env", []))
            # Another namespace's Service.
            for where, port in re.findall(r"://[a-z0-9-]+\.([a-z0-9-]+)\.svc:(\d+)", values):
                found.add((pod.name, "Egress", where, int(port)))
        if pod.labels.get("app.kubernetes.io/name") in ("maru-gateway", "maru-workers"):
            found.add((pod.name, "Egress", *COLLECTOR))
        if any(one.get("secretRef", {}).get("name") == "maru-ai" for c in containers for one in c.get("envFrom", [])):
            found.add((pod.name, "Egress", "internet", 443))
        if "metrics" in pod.ports():
            found.add((pod.name, "Ingress", "monitoring/prometheus", pod.ports()["metrics"]))
        if pod.labels.get("app.kubernetes.io/component") == "database":
            found.add((pod.name, "Ingress", "monitoring/prometheus", pod.ports()["http"]))
        if pod.name == "nats":
            found.add((pod.name, "Ingress", "keda/keda-operator", pod.ports()["monitor"]))
    for ingress in world.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = world.get("Service", path["backend"]["service"]["name"])
                for pod in world.matched({"matchLabels": service["spec"]["selector"]}):
                    found.add((pod.name, "Ingress", "kube-system/traefik", pod.ports()["api"]))
    return found


def flows_are_let_through_and_nothing_else(world):
    wanted, may = named(world), allowed(world)
    for source, target, port in sorted(wanted - may):
        yield f"{source} is not let through to {target}:{port}"
    if not world.get("NetworkPolicy", "deny-all"):
        return
    for source, target, port in sorted(may - wanted):
        yield f"{source} may reach {target}:{port}, which it does not name"
    expected, found = expected_strangers(world), strangers(world)
    for pod, direction, whom, port in sorted(expected - found, key=str):
        yield f"{pod} lacks {direction} with {whom} at {port}"
    for pod, direction, whom, port in sorted(found - expected, key=str):
        yield f"{pod} has {direction} with {whom} at {port}, which nothing asks for"
    kept = {"kube-system", COLLECTOR[0]}
    for whom in {one[2].split("/")[0] for one in found if one[2] not in ("internet",)} - kept:
        if whom not in world.facts.charts:
            yield f"the namespace {whom} is none that platform/ installs into"


RULES = [flows_are_let_through_and_nothing_else]
