"""The installation: nats-server, the database server, the proxy, and Maru as many processes.

The workers are grouped as k3s/base/workers.yaml has them, a Deployment for each group. Every process logs into a
file of its own, and how each ended is kept.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import client
from common import HOST, ROOT, Trouble, ports, say, until
from proxy import SLOTS, Proxy

GROUPS = {
    "contexts": "members,books,payments,purchases,reviews",
    "flows": "authoring,checkout,conclude_replay",
    "write-story": "write_story",
    "paint-image": "paint_image",
    "money": "charge,refund,cancel_charge",
    "views": "book_home,book_detail,my_books,my_library,book_reviews,payment_history",
}
# As the Deployments have them: how long a process may take to end.
GRACE = {"gateway": 40, "workers": 60}
START = 90
STREAM_MAX_BYTES = 256 << 20
# Settings of whoever runs this that would reach the outside or change what is proven.
NOT_INHERITED = ("OPENAI_API_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT", "MARU_PRODUCTION", "MARU_ADMIN_PASSWORD", "RUST_LOG")


class Process:
    """One process of the installation."""

    def __init__(self, name, child, log, metrics=None, api=None):
        self.name, self.child, self.log = name, child, log
        self.metrics, self.api = metrics, api
        self.is_maru = metrics is not None

    def signal(self, which):
        if self.child.poll() is None:
            self.child.send_signal(which)

    async def is_ready(self):
        if self.child.poll() is not None:
            raise Trouble(f"{self.name} ended with {self.child.returncode} instead of starting; see {self.log}")
        answer = await client.once(self.api or self.metrics, "GET", "/readyz")
        return answer is not None and answer.status == 200

    async def ended(self, within):
        """How it ended; a process that does not is killed, as the kubelet would."""
        try:
            await until(f"{self.name} ends", within, lambda: self.child.poll() is not None, 0.05)
        except Trouble:
            self.child.kill()
            self.child.wait()
        return self.child.returncode


class Installation:
    def __init__(self, folder, old, new):
        self.folder, self.old, self.new = Path(folder), old, new
        self.free = ports()
        self.processes, self.findings = [], []
        self.nats, self.monitor, self.database, self.storyteller = (next(self.free) for _ in range(4))
        self.user, self.password = "rolling", secrets.token_hex(16)
        self.slots = [next(self.free) for _ in range(SLOTS)]
        self.proxy = Proxy(self.folder, next(self.free), self.slots)
        data = self.folder / "data"
        self.environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self.environment |= {
            "NATS_URL": f"nats://{HOST}:{self.nats}",
            "NATS_MONITOR_URL": f"http://{HOST}:{self.monitor}",
            "MARU_DATA": str(data),
            "MARU_KEYS": str(data / "keys"),
            "MARU_DB_BIND": f"{HOST}:{self.database}",
            "MARU_DB_URL": f"ws://{HOST}:{self.database}",
            "MARU_DB_USER": self.user,
            "MARU_DB_PASSWORD": self.password,
            "MARU_STREAM_MAX_BYTES": str(STREAM_MAX_BYTES),
            # All of ours come from one address; how much one may ask is proven elsewhere.
            "MARU_REQUESTS_PER_SECOND": "100000",
            "OPENAI_BASE_URL": f"http://{HOST}:{self.storyteller}/v1",
            "OPENAI_API_KEY": secrets.token_hex(16),
        }
        self.gateways, self.workers = {}, {group: [] for group in GROUPS}

    def spawn(self, name, command, environment=None, **ways):
        nth = sum(process.name.split(" #")[0] == name for process in self.processes) + 1
        name = f"{name} #{nth}"
        log = self.folder / "logs" / f"{name.replace(' #', '-')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as file:
            child = subprocess.Popen(
                command, cwd=self.folder, env=environment or self.environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, start_new_session=True,
            )
        process = Process(name, child, log, **ways)
        self.processes.append(process)
        return process

    def call(self, program, *words):
        """A command of Maru's, to its end."""
        done = subprocess.run([str(program), *words], cwd=self.folder, env=self.environment, capture_output=True,
                              text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise Trouble(f"maru {' '.join(words)} ended with {done.returncode}: {(done.stdout + done.stderr).strip()}")
        return done.stdout

    def gateway(self, program, slot):
        metrics, api = next(self.free), self.slots[slot]
        environment = self.environment | {"MARU_API": f"{HOST}:{api}", "MARU_METRICS": f"{HOST}:{metrics}"}
        process = self.spawn("gateway", [str(program), "gateway"], environment, metrics=metrics, api=api)
        self.gateways[slot] = process
        return process

    def worker(self, program, group):
        metrics = next(self.free)
        environment = self.environment | {"MARU_METRICS": f"{HOST}:{metrics}"}
        command = [str(program), "workers", "--only", GROUPS[group]]
        process = self.spawn(group, command, environment, metrics=metrics)
        self.workers[group].append(process)
        return process

    async def start(self, copies):
        self.groups_are_complete()
        self.folder.chmod(0o700)
        await self.servers()
        self.call(self.old, "streams", "apply")
        for slot in (0, 1):
            # The first one makes the keys that the second one finds.
            await until("a gateway is ready", START, self.gateway(self.old, slot).is_ready)
            await self.proxy.admit(slot)
        started = [self.worker(self.old, group) for group in GROUPS for _ in range(copies)]
        for process in started:
            await until(f"{process.name} is ready", START, process.is_ready)
        say(f"it runs: two gateways, {copies} of each of {len(GROUPS)} kinds of workers")

    def groups_are_complete(self):
        asked = [str(self.new), "workers", "--only", "no-such"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stderr
        known = set(re.findall(r"\w+", told.split("there are", 1)[-1].split("\n")[0]))
        ours = set(",".join(GROUPS.values()).split(","))
        if known != ours:
            raise Trouble(f"the groups here and the workers of the new build differ in {sorted(known ^ ours)}")

    async def servers(self):
        config = self.folder / "nats.conf"
        config.write_text(
            f"server_name: rolling\nhost: {HOST}\nport: {self.nats}\nhttp: \"{HOST}:{self.monitor}\"\n"
            f"max_payload: 8MB\njetstream {{ store_dir: \"{self.folder}/nats\", sync_interval: always }}\n"
        )
        program = ROOT / ".maru" / "bin" / "nats-server"
        if not program.exists() and not (program := shutil.which("nats-server")):
            raise Trouble("there is no nats-server: `make setup` fetches one")
        self.spawn("nats-server", [str(program), "--config", str(config)])
        self.spawn("database", [str(self.old), "database"])
        self.proxy.start(self)
        await self.proxy.listening()
        for port, path in ((self.monitor, "/healthz"), (self.database, "/health")):
            await until(f"the server on {port} answers", START, lambda: client.once(port, "GET", path))

    async def end(self, process, grace):
        """SIGTERM, and what is expected of an end: in time, and with 0."""
        process.signal(signal.SIGTERM)
        code = await process.ended(grace)
        if code != 0:
            self.findings.append(("exit", f"{process.name} ended with {code}; see {process.log}"))

    async def stop(self):
        """Ends what is left of Maru as well as a rollout does."""
        for process in [process for process in self.processes if process.is_maru and process.child.poll() is None]:
            await self.end(process, GRACE["workers"])

    def kill(self):
        for process in reversed(self.processes):
            if process.child.poll() is None:
                process.child.terminate()
        for process in self.processes:
            try:
                process.child.wait(15)
            except subprocess.TimeoutExpired:
                process.child.kill()
                process.child.wait()
