"""One incident is one message in the chat, and the dead man's switch goes elsewhere: a real alertmanager with our
routes, and a stub for both webhooks.

The routes are the committed ones; only their waiting times are shortened, all of them by the same factor.
"""

import http.server
import json
import re
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from common import BIN, OBSERVABILITY, ROOT, alerts, free_port

FOLDER = OBSERVABILITY / "alertmanager"
# 15 s become 0.5 s, 2 m become 4 s, an hour two minutes.
FACTOR = 30
RECEIVERS = "/etc/alertmanager/receivers"
SECONDS = {"s": 1, "m": 60, "h": 3600}


def shortened(text):
    """The waiting times of the routes, divided."""

    def shorter(found):
        millis = int(found[2]) * SECONDS[found[3]] * 1000 // FACTOR
        return f"{found[1]}: {millis}ms"

    return re.sub(r"(group_wait|group_interval|repeat_interval): (\d+)([smh])", shorter, text)


class Stub(http.server.ThreadingHTTPServer):
    """Takes messages as a chat does, and keeps them; those of the dead man's switch apart."""

    def __init__(self):
        self.messages, self.signs = [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler):
                body = handler.rfile.read(int(handler.headers["content-length"]))
                kept = self.signs if handler.path == "/watchdog" else self.messages
                kept.append((handler.path, json.loads(body)))
                handler.send_response(200)
                handler.end_headers()
                handler.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def alert(name, **labels):
    rule = alerts()[name]
    annotations = {"summary": f"about {name}", "runbook_url": rule["annotations"]["runbook_url"]}
    return {"labels": {"alertname": name, **rule["labels"], **labels}, "annotations": annotations}


class Manager:
    def __init__(self, folder, stub):
        routes = shortened((FOLDER / "alertmanager.yml").read_text())
        (folder / "alertmanager.yml").write_text(routes.replace(RECEIVERS, str(folder)))
        (folder / "chat.tmpl").write_text((FOLDER / "chat.tmpl").read_text())
        (folder / "chat-webhook-url").write_text(f"http://127.0.0.1:{stub.server_port}/services/secret\n")
        self.watchdog = folder / "watchdog-url"
        self.address = f"http://127.0.0.1:{stub.server_port}/watchdog"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(
            [
                *(BIN / "alertmanager", f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data"),
                *(f"--web.listen-address={self.url.removeprefix('http://')}", "--cluster.listen-address="),
            ],
            cwd=ROOT,
            stdout=self.log,
            stderr=self.log,
        )
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=2).read()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"alertmanager does not start: {self.last_words()}")

    def post(self, *fired, over=False):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
        body = [{**one, "endsAt": now} if over else one for one in fired]
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        urllib.request.urlopen(request, timeout=5).read()

    def last_words(self):
        return Path(self.log.name).read_text()[-1000:]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


def waited_for(condition, seconds):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def check():
    stub = Stub()
    with tempfile.TemporaryDirectory(prefix="maru-") as scratch:
        manager = Manager(Path(scratch), stub)
        try:
            yield from told(manager, stub.messages)
            yield from signs_of_life(manager, stub)
        finally:
            manager.stop()
            stub.shutdown()


def told(manager, messages):
    # The database is away: what people and lanes feel of it comes with it, again and again.
    incident = [
        alert("HouseOutOfOrder"),
        alert("ErrorBudgetBurnsFast", context="books"),
        *(alert("CommandsLate", lane=f"cmd-{context}") for context in ("books", "members", "reviews")),
        *(alert("LaneSilent", lane=f"cmd-{context}") for context in ("books", "members", "reviews")),
    ]
    # Prometheus says it every half minute; here ten times, over more than one group_wait.
    for _ in range(10):
        manager.post(*incident)
        time.sleep(0.2)
    waited_for(lambda: messages, 3)
    # The group of warnings has been waiting behind it: nothing of it is told.
    time.sleep(4)
    if len(messages) != 1:
        yield f"an incident is {len(messages)} messages, not one. alertmanager: {manager.last_words()}"
        return
    path, message = messages[0]
    text = json.dumps(message)
    if path != "/services/secret":
        yield f"the message went to {path}"
    for part in ("about HouseOutOfOrder", "observability/runbooks/HouseOutOfOrder.md", "critical"):
        if part not in text:
            yield f"the message does not say {part}: {text}"
    if "CommandsLate" in text or "ErrorBudget" in text:
        yield f"the message tells of what only follows: {text}"
    # Something else that somebody should know, not now: its own message. (In the same namespace it would wait for
    # the group of warnings that is there already, fifteen minutes in real life.)
    manager.post(alert("InternalErrors", route="/v1/books", namespace="elsewhere"))
    if not waited_for(lambda: len(messages) == 2, 10) or "InternalErrors" not in json.dumps(messages[1]):
        yield f"a 500 is not told of: {messages[1:]}"
    # It is over: that is told once, too.
    manager.post(*incident, over=True)
    if not waited_for(lambda: any("Over" in json.dumps(one) for _, one in messages), 15):
        yield "nobody is told that it is over"
    if len(messages) > 4:
        yield f"{len(messages)} messages in all, which is too many"


def signs_of_life(manager, stub):
    """The dead man's switch: nothing but a line of the log while it has no address, then again and again, and never
    in the chat."""
    before = len(stub.messages)
    manager.post(alert("Watchdog"))
    if not waited_for(lambda: "watchdog-url" in manager.last_words(), 10):
        yield f"alertmanager does not say that the switch has no address: {manager.last_words()}"
    manager.watchdog.write_text(f"{manager.address}\n")
    # Every four minutes, here eight seconds.
    if not waited_for(lambda: len(stub.signs) >= 2, 30):
        yield f"the dead man's switch was told {len(stub.signs)} times. alertmanager: {manager.last_words()}"
    if any(one["commonLabels"]["alertname"] != "Watchdog" for _, one in stub.signs):
        yield f"the dead man's switch is told of something else: {stub.signs}"
    if "Watchdog" in json.dumps(stub.messages[before:]):
        yield "the chat is told that nothing is wrong"
