"""On a running Maru: every expression of rules and dashboards, asked of a real Prometheus while people are there.

Whatever is empty, or not a number, stands in expected-empty.yml with its reason; what stands there and is not
empty (any more) does not belong there. Alerts are empty when all is well, so each of their selectors is asked
instead, and none of the critical ones may fire. At the end the operators' commands that runbooks name are tried.
"""

import functools
import json
import math
import os
import re
import secrets
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import catalogue
import yaml
from chat import Manager, Stub
from common import (
    BIN,
    OBSERVABILITY,
    ROOT,
    documented_commands,
    documented_queries,
    free_port,
    queries,
    read_yaml,
    rules,
    run,
)
from people import Crowd
from provider import Server

# How long people are there: longer than a minute and a half, so that the canaries have sung and what is worked out
# every half minute has heard them.
LOAD = 100
# What a dashboard puts in for its variables.
VARIABLES = {"$__rate_interval": "1m", "$__range_s": "90", "$__range": "90s"}
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)(\{[^{}]*(?:\"(?:[^\"\\]|\\.)*\"[^{}]*)*\})?")


class Process:
    """A program that runs while we look, with its log in a file."""

    def __init__(self, folder, name, *command, **environment):
        self.log = folder / f"{name}.log"
        with open(self.log, "w") as log:
            words = [str(word) for word in command]
            env = {**os.environ, **environment}
            self.process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, env=env)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_for(self, url, seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                return urllib.request.urlopen(url, timeout=5).read().decode()
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"{url} does not answer; its log ends with {self.log.read_text()[-1000:]}")


class Prometheus:
    """Asks a running one."""

    def __init__(self, url):
        self.url = url

    def ask(self, path, **query):
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=30
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]) from None

    def now(self, expr):
        """Every series of an expression at this moment."""
        return self.ask("query", query=expr)["result"]

    def window(self, expr, seconds=60):
        """Every series of an expression over the last minute, as lists of numbers."""
        now = time.time()
        found = self.ask("query_range", query=written_out(expr), start=now - seconds, end=now, step=5)
        return [[float(value) for _, value in series["values"]] for series in found["result"]]


def written_out(expr):
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return re.sub(r"\$(namespace|job|instance|lane|route)\b", ".*", expr)


def verdict(series):
    """None if there is something in it and all of it can be drawn."""
    if not series:
        return "it is empty"
    if any(math.isinf(value) for values in series for value in values):
        return "it is infinite"
    if not all(any(math.isfinite(value) for value in values) for values in series):
        return "it is no number"
    return None


def selectors(expr):
    """The series that an alert looks at."""
    names = catalogue.named(expr)
    plain = re.sub(r"#[^\n]*", "", expr)
    found = {name + (labels or "") for name, labels in SELECTOR.findall(plain) if name in names}
    return sorted(re.sub(r"\s+", " ", one) for one in found)


def everything():
    """What is asked: name → expression."""
    asked = dict(queries())
    for _, rule in rules():
        if "record" in rule:
            labels = ",".join(f'{key}="{value}"' for key, value in rule.get("labels", {}).items())
            asked[f"record {rule['record']}{{{labels}}}"] = f"{rule['record']}{{{labels}}}"
        else:
            for selector in selectors(rule["expr"]):
                asked[f"alert {rule['alert']} / {selector}"] = selector
    return asked


@functools.cache
def expected():
    """What must be empty, and what may be: name → reason."""
    lists = read_yaml(OBSERVABILITY / "expected-empty.yml")
    return [{name: one["because"] for one in lists[key] for name in one["what"]} for key in ("empty", "perhaps")]


def configuration(target, chat):
    """The committed prometheus.yml, on other targets and in a hurry."""
    config = read_yaml(OBSERVABILITY / "prometheus" / "prometheus.yml")
    config["global"] = {"scrape_interval": "2s", "evaluation_interval": "4s"}
    config["rule_files"] = [str(OBSERVABILITY / "prometheus" / pattern) for pattern in config["rule_files"]]
    config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [chat.url.removeprefix("http://")]}]
    config["scrape_configs"] = [one for one in config["scrape_configs"] if one["job_name"] == "maru"]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    return yaml.safe_dump(config)


def check(binary):
    with tempfile.TemporaryDirectory(prefix="maru-observed-") as scratch:
        yield from look(binary, Path(scratch))


def look(binary, folder):
    api, metrics, server = (f"127.0.0.1:{free_port()}" for _ in range(3))
    password = secrets.token_hex(12)
    (folder / "chat").mkdir()
    stub = Stub()
    chat = Manager(folder / "chat", stub)
    chat.watchdog.write_text(f"{chat.address}\n")
    (folder / "prometheus.yml").write_text(configuration(metrics, chat))
    maru = Process(
        *(folder, "maru", binary, "up", "--data", folder / "data", "--api", api, "--metrics", metrics),
        *("--requests-per-second", "20"),
        MARU_ADMIN_PASSWORD=password,
        OPENAI_BASE_URL=Server().url,
        OPENAI_API_KEY="none",
        RUST_LOG="warn",
    )
    scraping = None
    try:
        maru.wait_for(f"http://{api}/readyz")
        scraping = Process(
            *(folder, "prometheus", BIN / "prometheus", f"--config.file={folder}/prometheus.yml"),
            *(f"--web.listen-address={server}", f"--storage.tsdb.path={folder}/tsdb"),
        )
        scraping.wait_for(f"http://{server}/-/ready")
        crowd = Crowd(api, password)
        time.sleep(LOAD)
        prometheus = Prometheus(f"http://{server}")
        yield from ask_everything(prometheus)
        yield from promises_are_kept(prometheus)
        yield from told_once(stub.messages)
        if not stub.signs:
            yield "nobody outside is told that rules and alerts are at work"
        yield from (f"during the load: {trouble}" for trouble in crowd.troubles)
        crowd.leave()
        yield from exported(maru.wait_for(f"http://{metrics}/metrics"))
    finally:
        for process in (scraping, chat, maru):
            if process:
                process.stop()
        stub.shutdown()
    yield from commands_exist(binary)


def ask_everything(prometheus):
    must, may = expected()
    asked = everything()
    for name in sorted((must.keys() | may.keys()) - asked.keys()):
        yield f"expected-empty.yml: there is no {name}"
    for name, expr in asked.items():
        try:
            found = verdict(prometheus.window(expr))
        except ValueError as error:
            yield f"{name}: {error}"
            continue
        if found and name not in must and name not in may:
            yield f"{name}: {found}: {written_out(expr)}"
        elif not found and name in must:
            yield f"expected-empty.yml: {name} is not empty"
    for where, expr in documented_queries():
        try:
            prometheus.window(expr)
        except ValueError as error:
            yield f"{where}: {expr}: {error}"
    firing = [alert for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"]
    for alert in firing:
        if alert["labels"]["severity"] == "critical":
            yield f"{alert['labels']['alertname']} fires though nothing is wrong: {alert['annotations']['summary']}"
    if not any(alert["labels"]["alertname"] == "DeadLetters" for alert in firing):
        yield "there is a dead letter, and DeadLetters does not fire"
    for group in prometheus.ask("rules")["groups"]:
        for rule in group["rules"]:
            if rule.get("lastError"):
                yield f"{rule['name']}: {rule['lastError']}"


def promises_are_kept(prometheus):
    """The probe has seen every context usable for as long as was promised, and people got no more errors than that."""
    objectives = {one["metric"]["context"]: float(one["value"][1]) for one in prometheus.now("context:objective:ratio")}
    usable = "avg_over_time(context:probe:up[2m])"
    answered = "1 - sum_over_time(context:http_errors:rate5m[2m]) / sum_over_time(context:http_requests:rate5m[2m])"
    for what, expr in (("usable", usable), ("answered", answered)):
        found = {one["metric"]["context"]: float(one["value"][1]) for one in prometheus.now(expr)}
        for context, promised in objectives.items():
            # Not true of what is no number, either.
            if not found.get(context, 0) >= promised:
                yield f"{context} has promised {promised} and was {what} for {found.get(context)}"


def told_once(messages):
    """What the provider's storm did is in the chat, once, however often Prometheus has said it."""
    about = [body for _, body in messages if "DeadLetters" in json.dumps(body)]
    if len(about) != 1:
        yield f"the chat was told of dead letters {len(about)} times, not once: {about}"
    elif "observability/runbooks/DeadLetters.md" not in json.dumps(about):
        yield f"the chat was not told what to do about dead letters: {about}"


def exported(page):
    """What the process says of itself is in README.md's tables, with its type."""
    table = catalogue.described()
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE):
        if name not in table:
            yield f"observability/README.md: no row for {name}, which a process exports"
        elif table[name][0] != kind:
            yield f"observability/README.md: {name} is a {kind}, not a {table[name][0]}"


@functools.cache
def help_of(binary, *words):
    return run(binary, *words, "--help")


def commands_exist(binary):
    """The commands that runbooks name are commands of this binary, with these options."""
    for where, command in sorted(set(documented_commands())):
        words = command.split()[1:]
        known = ()
        while len(known) < len(words) and re.fullmatch(r"[a-z][a-z-]*", words[len(known)]):
            longer = (*known, words[len(known)])
            if (
                help_of(binary, *longer).returncode != 0
                or help_of(binary, *longer).stdout == help_of(binary, *known).stdout
            ):
                break
            known = longer
        text = help_of(binary, *known).stdout
        takes_words = re.search(r"^Usage:.*[<\[](?!OPTIONS|COMMAND)[A-Z_]+", text, re.MULTILINE) is not None
        left = words[len(known) :]
        if words == ["--version"]:
            continue
        if not known or (left and not left[0].startswith("-") and not takes_words):
            yield f"{where}: maru knows no command {command!r}"
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", command):
            if option not in text:
                yield f"{where}: {command!r}: there is no {option}"
