"""What the rules look at: one rendering of the manifests, with the facts that they are held against."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
K3S = ROOT / "k3s"
NAMESPACE = "maru"


class Fault(Exception):
    """Something does not run as the manifests say."""


class NotUnderstood(Exception):
    """What the binary says to arguments that it does not know."""


@dataclass
class Facts:
    """What the binary, the sources and the documentation say."""

    names: list[str]  # what --only takes
    consumers: set[tuple[str, str]]  # stream and consumer
    reads: Callable[[tuple[str, ...]], set[str]]  # the variables that arguments have it read, or NotUnderstood
    drain: dict[str, int]  # seconds, by subcommand
    outside: dict[str, dict[str, bool]]  # Secrets from outside: their keys
    charts: set[str]  # namespaces that platform/ installs into


@dataclass
class Pod:
    """A pod as it would run, with the object that makes it."""

    owner: dict
    labels: dict
    spec: dict

    @property
    def name(self):
        return self.owner["metadata"]["name"]

    @property
    def kind(self):
        return self.owner["kind"]

    @property
    def is_maru(self):
        return all("maru" in container["image"].split("/")[-1].split(":")[0] for container in self.containers())

    def containers(self):
        return self.spec.get("initContainers", []) + self.spec["containers"]

    def ports(self):
        return {port["name"]: port["containerPort"] for one in self.containers() for port in one.get("ports", [])}

    def subcommand(self):
        """The first word of what Maru is to do in its main container."""
        return self.spec["containers"][0]["args"][0]


@dataclass
class World:
    """One rendering."""

    name: str
    objects: list[dict]
    facts: Facts
    index: dict = field(init=False)

    def __post_init__(self):
        self.index = {(o["kind"], o["metadata"]["name"]): o for o in self.objects}

    def of(self, kind):
        return [o for o in self.objects if o["kind"] == kind]

    def get(self, kind, name):
        return self.index.get((kind, name))

    def pods(self):
        for owner in self.objects:
            spec = owner.get("spec", {})
            match owner["kind"]:
                case "Deployment" | "StatefulSet" | "Job":
                    template = spec["template"]
                case "CronJob":
                    template = spec["jobTemplate"]["spec"]["template"]
                case "Pod":
                    template = owner
                case _:
                    continue
            yield Pod(owner, template["metadata"]["labels"], template["spec"])

    def maru(self):
        return [pod for pod in self.pods() if pod.is_maru]

    def workers(self):
        return [pod for pod in self.maru() if pod.subcommand() == "workers"]

    def matched(self, selector):
        return [pod for pod in self.pods() if matches(selector, pod.labels)]


def only(container):
    """The names that a container of workers runs."""
    args = container["args"]
    return args[args.index("--only") + 1].split(",") if "--only" in args else []


def settings(world, container):
    """What a container is told that stands in the manifests: its variables, and of a ConfigMap what is in it."""
    found = {}
    for one in container.get("env", []):
        source = one.get("valueFrom", {}).get("configMapKeyRef")
        there = source and world.get("ConfigMap", source["name"])
        found[one["name"]] = there["data"].get(source["key"]) if there else one.get("value")
    return found


def nats_conf(world):
    pod = next(pod for pod in world.pods() if pod.name == "nats")
    name = next(volume["configMap"]["name"] for volume in pod.spec["volumes"] if volume["name"] == "config")
    return world.get("ConfigMap", name)["data"]["nats.conf"]


def matches(selector, labels):
    """Whether a label selector means these labels. An empty one means all."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions", []):
        has, values = one["key"] in labels, one.get("values", [])
        fits = {
            "In": labels.get(one["key"]) in values,
            "NotIn": labels.get(one["key"]) not in values,
            "Exists": has,
            "DoesNotExist": not has,
        }[one["operator"]]
        if not fits:
            return False
    return True


def render(folder):
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{folder} cannot be rendered: {done.stderr.strip()}")
    return done.stdout


def objects(text):
    return [one for one in yaml.safe_load_all(text) if one]


def renderings(scratch):
    """Name and text of everything that can be applied: the base, the overlays, platform, each component alone on
    the base, databases for contexts and traces on `ha`, what a plain `kubectl apply -k k3s/` takes, and the carrier."""
    yield "carrier", (K3S / "carrier.yaml").read_text()
    yield "plain", render(K3S)
    for folder in [K3S / "base", *sorted((K3S / "overlays").iterdir()), K3S / "platform"]:
        yield folder.name, render(folder)
    for component in sorted((K3S / "components").iterdir()):
        yield f"base+{component.name}", render(together(scratch, K3S / "base", component))
    # The policies must let their pods through.
    for name in ("database-per-context", "traces"):
        yield f"ha+{name}", render(together(scratch, K3S / "overlays" / "ha", K3S / "components" / name))


def together(scratch, folder, component):
    """A folder that renders another with a component."""
    both = scratch / f"{folder.name}+{component.name}"
    both.mkdir()
    # kustomize takes relative paths only.
    up = "../" * len(both.resolve().parts[1:])
    lines = [f"resources: ['{up}{str(folder)[1:]}']", f"components: ['{up}{str(component)[1:]}']"]
    (both / "kustomization.yaml").write_text("\n".join(lines))
    return both
