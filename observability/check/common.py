"""What the checks share: where things lie, running a program, and what they complain of."""

import functools
import json
import os
import re
import socket
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
OBSERVABILITY = ROOT / "observability"
BIN = ROOT / ".maru" / "bin"
RULES = sorted((OBSERVABILITY / "prometheus" / "rules").glob("*.yml"))
RULE_TESTS = sorted((OBSERVABILITY / "prometheus" / "tests").glob("*.yml"))
RUNBOOKS = sorted((OBSERVABILITY / "runbooks").glob("*.md"))
DASHBOARDS = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
README = OBSERVABILITY / "README.md"
# Pages that people follow while something is wrong.
PAGES = [*RUNBOOKS, README, *sorted((ROOT / "docs" / "operating").glob("*.md"))]


def run(*command, **options):
    """Runs a program to its end; its output is caught."""
    options = {"capture_output": True, "text": True, "timeout": 300, "check": False, **options}
    return subprocess.run([str(part) for part in command], **options)


def complaints_of(*command, **options):
    """Nothing if the program is content, else what it says."""
    done = run(*command, **options)
    return [] if done.returncode == 0 else [f"{Path(command[0]).name}: {(done.stdout + done.stderr).strip()}"]


def place(path):
    return os.path.relpath(path, ROOT)


def read_yaml(path):
    return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@functools.cache
def rules():
    """Every rule with its file."""
    groups = [(path, group) for path in RULES for group in read_yaml(path)["groups"]]
    return [(path, rule) for path, group in groups for rule in group["rules"]]


@functools.cache
def alerts():
    return {rule["alert"]: rule for _, rule in rules() if "alert" in rule}


def recorded():
    return {rule["record"] for _, rule in rules() if "record" in rule}


@functools.cache
def dashboards():
    return {path: json.loads(path.read_text()) for path in DASHBOARDS}


def panels(board):
    """Every panel that is no row."""
    for panel in board["panels"]:
        yield from panel.get("panels", [])
        if panel["type"] != "row":
            yield panel


def queries():
    """Every expression of a dashboard, with where it stands: panels, and marks."""
    for path, board in dashboards().items():
        for panel in panels(board):
            for target in panel.get("targets", []):
                kind = {"stat": "number", "timeseries": "graph"}[panel["type"]]
                yield f"{path.stem} / {kind} {panel['title']} / {target['refId']}", target["expr"]
        for mark in board["annotations"]["list"]:
            yield f"{path.stem} / mark {mark['name']} / A", mark["expr"]


def fences(text, language):
    """The blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def documented_queries():
    """Every line of PromQL in the runbooks, in README.md and in docs/operating."""
    for path in PAGES:
        for block in fences(path.read_text(), "promql"):
            for line in block.splitlines():
                if line.strip():
                    yield place(path), line


def commands_of(path):
    """Every `maru …` command of a page, in blocks and in the text; also those that run in a pod."""
    text = path.read_text()
    blocks = [block.replace("\\\n", " ") for block in fences(text, "sh")]
    lines = [re.sub(r"^.* -- /maru ", "maru ", line) for block in blocks for line in block.splitlines()]
    spoken = re.findall(r"`(maru [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in [*lines, *spoken]:
        command = line.split("#")[0].strip()
        if command.startswith("maru "):
            yield " ".join(command.split())


def documented_commands():
    """Those of the runbooks, of README.md and of docs/operating."""
    for path in PAGES:
        for command in commands_of(path):
            yield place(path), command


def free_port():
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
