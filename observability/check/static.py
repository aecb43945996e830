"""What can be checked without running Maru: rules, routes of alerts, dashboards, catalogues, runbooks."""

import json
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import catalogue
import yaml
from common import (
    BIN,
    OBSERVABILITY,
    PAGES,
    README,
    ROOT,
    RULE_TESTS,
    RULES,
    RUNBOOKS,
    alerts,
    complaints_of,
    dashboards,
    documented_commands,
    panels,
    place,
    read_yaml,
    recorded,
    rules,
    run,
)

PROMETHEUS = OBSERVABILITY / "prometheus"
ALERTMANAGER = OBSERVABILITY / "alertmanager" / "alertmanager.yml"
SECTIONS = ["What it means for people", "Look", "Do", "When to stop", "How to prevent it"]
# Fires for ever, so there is no moment at which it is seen not to; it wakes nobody, and has a route of its own.
WATCHDOG = "Watchdog"
# Routes that belong to no context: whoever asks there has been promised nothing about a context.
NO_CONTEXT = ("/v1/commands", "/v1/live", "/v1/ops", "/.well-known")


def promtool():
    yield from complaints_of(BIN / "promtool", "check", "config", *sorted(PROMETHEUS.glob("prometheus*.yml")))
    yield from complaints_of(BIN / "promtool", "check", "rules", *RULES)
    with ThreadPoolExecutor() as pool:
        for found in pool.map(lambda path: complaints_of(BIN / "promtool", "test", "rules", path), RULE_TESTS):
            yield from found


def every_alert_is_tried():
    """Each alert is seen to fire and seen not to fire."""
    fires, rests = set(), set()
    for path in RULE_TESTS:
        for test in read_yaml(path)["tests"]:
            for one in test.get("alert_rule_test", []):
                (fires if one["exp_alerts"] else rests).add(one["alertname"])
    for name in sorted(alerts()):
        if name not in fires:
            yield f"observability/prometheus/tests: nothing makes {name} fire"
        if name not in rests and name != WATCHDOG:
            yield f"observability/prometheus/tests: {name} is never seen not to fire"


def every_alert_says_what_to_do():
    listed = set(re.findall(r"\w+", README.read_text()))
    for name, rule in alerts().items():
        wanted = f"observability/runbooks/{name}.md"
        if rule["annotations"].get("runbook_url") != wanted:
            yield f"{name}: its runbook_url is not {wanted}"
        if rule["labels"].get("severity") not in (["none"] if name == WATCHDOG else ["critical", "warning"]):
            yield f"{name}: its severity is neither critical nor warning"
        summary = rule["annotations"].get("summary", "").strip()
        if not summary.endswith((".", "?")) or len(summary) > 300:
            yield f"{name}: its summary is not a sentence that one reads on a telephone"
        if name not in listed:
            yield f"observability/README.md: its list of alerts lacks {name}"
    for path in RUNBOOKS:
        text = path.read_text()
        if path.stem not in alerts():
            yield f"{place(path)}: there is no such alert"
        if not text.startswith(f"# {path.stem}\n") or re.findall(r"^## (.*)$", text, re.MULTILINE) != SECTIONS:
            yield f"{place(path)}: a runbook has the sections {', '.join(SECTIONS)}, in this order"
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not (path.parent / target).exists():
                yield f"{place(path)}: {target} is not there"
        for name in re.findall(r"docs/operating/\w[\w-]*\.md", text):
            if not (ROOT / name).exists():
                yield f"{place(path)}: {name} is not there"
    for name in sorted(set(alerts()) - {path.stem for path in RUNBOOKS}):
        yield f"observability/runbooks/{name}.md is not there"


def pages_speak_of_what_is_there():
    """Metrics, dashboards and other runbooks that a page names are there."""
    table, titles = catalogue.described(), {board["title"].removeprefix("Maru / ") for board in dashboards().values()}
    for path in PAGES:
        text = path.read_text()
        for name in sorted(set(re.findall(r"\bmaru_[a-z_]+\b(?!::)", text))):
            if not catalogue.known(name, table, recorded()):
                yield f"{place(path)}: there is no metric {name}"
        if path in RUNBOOKS:
            headings = {line.lstrip("# ") for name in set(re.findall(r"docs/operating/[\w-]+\.md", text))
                        for line in (ROOT / name).read_text().splitlines() if line.startswith("#")}
            for name in re.findall(r"(?<!\*)\*([A-Z][\w ]+)\*(?!\*)", text):
                if name not in titles | headings:
                    yield f"{place(path)}: there is no dashboard {name}"


def every_variable_is_told():
    """A setting that a runbook names is in the README's table."""
    told = (ROOT / "README.md").read_text()
    for path in RUNBOOKS:
        for name in set(re.findall(r"\b(?:MARU|OPENAI|NATS)_[A-Z_]+\b", path.read_text())):
            if not re.search(rf"\b{name}\b", told):
                yield f"{place(path)}: README.md knows no setting {name}"


def routes_have_one_context():
    """Every route of the API counts for one context's promise, or for none on purpose."""
    of = {}
    for _, rule in rules():
        if rule.get("record") == "context:http_requests:rate5m":
            pattern = re.search(r'route=~"([^"]*)"', rule["expr"]).group(1).replace("\\\\", "\\")
            of[rule["labels"]["context"]] = re.compile(pattern)
    promised = {r["labels"]["context"] for _, r in rules() if r.get("record") == "context:objective:ratio"}
    contexts = re.search(r"CONTEXTS[^=]*=\s*\[([^\]]*)\]", (ROOT / "schemas/src/lib.rs").read_text()).group(1)
    source = {path.stem for path in (ROOT / "schemas/src").glob("*.rs")}
    for name in re.findall(r"(\w+)(?:::CONTEXT)?", contexts):
        if name in source and name not in of.keys() & promised:
            yield f"observability/prometheus/rules/slo.yml: {name} has no requests, errors and objective"
    for route in json.loads((ROOT / "schemas/openapi.json").read_text())["paths"]:
        owners = [name for name, pattern in of.items() if pattern.fullmatch(route)]
        if len(owners) != (0 if route.startswith(NO_CONTEXT) else 1):
            yield f"observability/prometheus/rules/slo.yml: {route} counts for {owners or 'no context'}"


def promises_are_told():
    """README.md's table of promises is what the rules hold contexts to."""
    rows = re.findall(r"^\| (\w+) \| (\d+\.\d+) \|$", README.read_text(), re.MULTILINE)
    told = {name: round(float(share) / 100, 6) for name, share in rows}
    held = {
        rule["labels"]["context"]: float(re.search(r"[\d.]+", rule["expr"]).group())
        for _, rule in rules()
        if rule.get("record") == "context:objective:ratio"
    }
    for name in sorted(told.keys() | held.keys()):
        if told.get(name) != held.get(name):
            yield f"observability/README.md: {name} has promised {told.get(name)}, and the rules say {held.get(name)}"


def routed(alert):
    """An alert, where it should go, and where it goes."""
    name, rule = alert
    severity = rule["labels"]["severity"]
    wanted = "watchdog" if name == WATCHDOG else {"critical": "now", "warning": "later"}.get(severity)
    labels = [f"alertname={name}", f"severity={severity}", "namespace=maru"]
    done = run(BIN / "amtool", "config", "routes", "test", "--config.file", ALERTMANAGER, *labels)
    return name, wanted, done.stdout.strip()


def alertmanager():
    yield from complaints_of(BIN / "amtool", "check-config", ALERTMANAGER)
    # Each alert, because a route asks for one by its name.
    with ThreadPoolExecutor() as pool:
        for name, wanted, got in pool.map(routed, alerts().items()):
            if got != wanted:
                yield f"{place(ALERTMANAGER)}: {name} goes to {got or 'nobody'}, not to {wanted}"
    text = ALERTMANAGER.read_text()
    if re.search(r"https?://", text) or not all(f" {key}: " in text for key in ("api_url_file", "url_file")):
        yield f"{place(ALERTMANAGER)}: the address of a webhook is a secret and belongs into a file of its own"
    for rule in read_yaml(ALERTMANAGER)["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            for name in re.search(r'"([^"]*)"|~(.*)', matcher.replace('=~"', '="')).group(0).strip('"~').split("|"):
                if not any(re.fullmatch(name, known) for known in alerts()):
                    yield f"{place(ALERTMANAGER)}: inhibits by {name}, and there is no such alert"


def dashboards_are_generated():
    with tempfile.TemporaryDirectory(prefix="maru-") as scratch:
        write = OBSERVABILITY / "grafana" / "generate" / "write.py"
        yield from complaints_of(sys.executable, "-B", write, scratch)
        made = {path.name: path.read_text() for path in Path(scratch).glob("*.json")}
    there = {path.name: path.read_text() for path in dashboards()}
    for name in sorted(made.keys() | there.keys()):
        if made.get(name) != there.get(name):
            yield (
                f"observability/grafana/dashboards/{name} is not what the generator makes: "
                "run tools/check-observability --write-dashboards"
            )


def dashboards_keep_conventions():
    uids = set()
    for path, board in dashboards().items():
        where = place(path)
        if board["uid"] in uids or not re.fullmatch(r"maru-[a-z-]+", board["uid"]):
            yield f"{where}: its uid is not its own, or no maru-…"
        uids.add(board["uid"])
        wanted = {"refresh": "30s", "timezone": "browser", "graphTooltip": 1, "tags": ["maru"], "editable": False}
        for key, value in wanted.items():
            if board.get(key) != value:
                yield f"{where}: {key} is {board.get(key)!r}, not {value!r}"
        if board["time"] != {"from": "now-1h", "to": "now"} or not 39 <= board["schemaVersion"] <= 41:
            yield f"{where}: it opens on another hour, or with another schema"
        variables = [variable["name"] for variable in board["templating"]["list"]]
        if variables[:4] != ["datasource", "namespace", "job", "instance"] or not board["description"]:
            yield f"{where}: it lacks a description, or variables: it has {variables}"
        if {mark["name"] for mark in board["annotations"]["list"]} != {"Deployments", "Critical alerts"}:
            yield f"{where}: it does not mark deployments and alerts"
        if not any(link["type"] == "dashboards" for link in board["links"]):
            yield f"{where}: it does not link to the others"
        every = list(panels(board))
        if not any(panel["type"] == "text" for panel in every):
            yield f"{where}: nothing says how to read it"
        first = [panel["type"] for panel in board["panels"]]
        rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
        if (
            first[: first.index("row")].count("stat") != first.index("row")
            or "rate, errors, duration" not in rows[0].lower()
        ):
            if board["uid"] != "maru-rolling-deploys":
                yield f"{where}: it begins with a line of numbers, then rate, errors and duration"
        yield from panels_keep_conventions(where, every)


def panels_keep_conventions(where, every):
    ids = [panel["id"] for panel in every]
    if len(set(ids)) != len(ids):
        yield f"{where}: two panels have one id"
    names = [(panel["type"], panel["title"]) for panel in every]
    if len(set(names)) != len(names):
        yield f"{where}: two panels have one title, and cannot be told apart in expected-empty.yml"
    for panel in every:
        if panel["type"] == "text":
            continue
        here = f"{where}, {panel['title']}"
        defaults = panel["fieldConfig"]["defaults"]
        for key in ("unit", "noValue"):
            if not defaults.get(key):
                yield f"{here}: it has no {key}"
        if "min" not in defaults or not panel.get("description"):
            yield f"{here}: it has no lower bound, or no description"
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        if any(source["uid"] != "${datasource}" for source in sources):
            yield f"{here}: its data source is a particular one"
        if panel["type"] == "stat" and not defaults["thresholds"]["steps"]:
            yield f"{here}: a number has thresholds"
        if panel["type"] == "timeseries" and not panel["options"]["legend"]["showLegend"]:
            yield f"{here}: it has no legend"
        for link in panel.get("links", []):
            name = re.search(r"/(\w+)\.md$", link["url"])
            if not name or name.group(1) not in alerts():
                yield f"{here}: {link['url']} is no runbook"
        for target in panel["targets"]:
            if panel["type"] == "timeseries" and not target["legendFormat"]:
                yield f"{here}: a line has no name"
            for function in re.findall(r"\b(?:rate|irate)\([^\[]*\[([^\]]*)\]", target["expr"]):
                if function not in ("$__rate_interval", "5m"):
                    yield f"{here}: a rate over {function} instead of $__rate_interval"


def pages_are_whole():
    """Every page of settings can be read, and what looks like a command is one."""
    for path in sorted(OBSERVABILITY.rglob("*.yml")):
        try:
            read_yaml(path)
        except yaml.YAMLError as error:
            yield f"{place(path)}: {error}"
    for where, command in documented_commands():
        if not re.fullmatch(r"maru (--version|[a-z][a-z-]*( [^|;&]*)?)", command):
            yield f"{where}: {command} is no command"


def catalogues_agree():
    yield from catalogue.check()


QUICK = [
    every_alert_is_tried,
    every_alert_says_what_to_do,
    pages_speak_of_what_is_there,
    every_variable_is_told,
    routes_have_one_context,
    promises_are_told,
    alertmanager,
    dashboards_are_generated,
    dashboards_keep_conventions,
    catalogues_agree,
    pages_are_whole,
]
