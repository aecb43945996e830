"""What we expect of monitoring: that the rules in the cluster are those of observability/, that each alert has its
page and a way out, and that Prometheus remembers as long as the rules look back."""

import base64
import json
import re

import yaml

from world import NAMESPACE, ROOT

OBSERVABILITY = ROOT / "observability"
SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
BYTES = {"GB": 10**9, "Gi": 1 << 30, "GiB": 1 << 30, "TB": 10**12, "Ti": 1 << 40}


def written():
    """The groups of each file of rules, by the name of the object that it becomes."""
    files = sorted((OBSERVABILITY / "prometheus" / "rules").glob("*.yml"))
    return {f"maru-{path.stem}": yaml.safe_load(path.read_text())["groups"] for path in files}


def rules_are_written_once(world):
    there = {one["metadata"]["name"]: one["spec"]["groups"] for one in world.of("PrometheusRule")}
    for name, groups in written().items() if there else []:
        if there.pop(name, None) != groups:
            yield f"PrometheusRule {name} is not what observability/ says: run k3s/components/monitoring/write-rules"
    for name in there:
        yield f"PrometheusRule {name} is written nowhere in observability/prometheus/rules"


def alerts_are_explained(world):
    rules = [rule for one in world.of("PrometheusRule") for group in one["spec"]["groups"] for rule in group["rules"]]
    for rule in rules:
        name, expr = rule.get("alert"), rule["expr"]
        page = f"observability/runbooks/{name}.md"
        if name and (rule["annotations"].get("runbook_url") != page or not (ROOT / page).is_file()):
            yield f"{name} is not explained in {page}"
        for selector in re.findall(r"\bkube(?:let)?_\w+(\{[^}]*\})?", expr):
            if f'namespace="{NAMESPACE}"' not in selector:
                yield f"{name or rule['record']} looks at other people's pods"


def dashboards_are_there(world):
    there = {}
    for one in world.of("ConfigMap"):
        if one["metadata"].get("labels", {}).get("grafana_dashboard"):
            there |= one["data"]
    for path in sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json")) if world.of("PrometheusRule") else []:
        if path.name not in there or json.loads(there[path.name]) != json.loads(path.read_text()):
            yield f"the dashboard {path.name} is not in the cluster"


def values(world):
    return yaml.safe_load(world.get("HelmChart", "monitoring")["spec"]["valuesContent"])


def size(text):
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()
    return int(number) * BYTES[unit]


def history_reaches_as_far_back_as_the_rules(world):
    """Of platform/ alone."""
    spec = values(world)["prometheus"]["prometheusSpec"]
    ranges = [
        (int(number) * SECONDS[unit], f"{number}{unit}")
        for groups in written().values()
        for group in groups
        for rule in group["rules"]
        for number, unit in re.findall(r"(?:\[|offset )(\d+)([mhdw])\b", rule["expr"])
    ]
    longest, text = max(ranges)
    number, unit = re.fullmatch(r"(\d+)([mhdw])", spec["retention"]).groups()
    # A week more, so that a look at how it was just before the thirty days is possible.
    if int(number) * SECONDS[unit] < longest + SECONDS["w"]:
        yield f"Prometheus keeps {spec['retention']}, and the rules look {text} back"
    told = re.search(r"--storage\.tsdb\.retention\.time (\w+)", (OBSERVABILITY / "README.md").read_text())[1]
    if spec["retention"] != told:
        yield f"Prometheus keeps {spec['retention']}, and observability/README.md says {told}"
    volume = spec["storageSpec"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"]
    if "retentionSize" not in spec or size(spec["retentionSize"]) > 0.85 * size(volume):
        yield f"Prometheus fills its volume of {volume}: its retentionSize is {spec.get('retentionSize', 'not set')}"


def alerts_have_a_way_out(world):
    """Of platform/ alone."""
    chart, spec = values(world), values(world)["alertmanager"]["alertmanagerSpec"]
    config = world.get("Secret", spec.get("configSecret", ""))
    if not spec.get("useExistingSecret") or not config or config["metadata"].get("namespace") != "monitoring":
        yield "Alertmanager does not have our routes"
        return
    for name, path in {"alertmanager.yaml": "alertmanager.yml", "chat.tmpl": "chat.tmpl"}.items():
        data = base64.b64decode(config["data"].get(name, "")).decode()
        if data != (OBSERVABILITY / "alertmanager" / path).read_text():
            yield f"Alertmanager's {name} is not observability/alertmanager/{path}"
    mounted = {one["mountPath"]: one["name"] for one in spec.get("volumeMounts", [])}
    secrets = {one["name"]: one["secret"]["secretName"] for one in spec.get("volumes", [])}
    text = (OBSERVABILITY / "alertmanager" / "alertmanager.yml").read_text()
    for folder, key in re.findall(r"url_file: (\S+)/([\w-]+)", text):
        secret = secrets.get(mounted.get(folder))
        if key not in world.facts.outside.get(secret, {}):
            yield f"Alertmanager reads {folder}/{key}, and no Secret in docs/operating/k3s.md has it"
    if not chart.get("defaultRules", {}).get("disabled", {}).get("Watchdog"):
        yield "the chart has a Watchdog of its own beside ours"


RULES = [rules_are_written_once, alerts_are_explained, dashboards_are_there]
OF_PLATFORM = [history_reaches_as_far_back_as_the_rules, alerts_have_a_way_out]
