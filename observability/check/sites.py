"""The installations in which trouble is caused: one split into many processes, others in one process.

Each is a namespace of its own in Prometheus, as on a cluster, so that what fires in one is not taken for what fires in
another. A process keeps its metrics port from start to start, as a pod keeps its name.
"""

import base64
import json
import os
import secrets
import signal
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import yaml
from common import BIN, free_port, run
from live import Process

VIEWS = "book_home,book_detail,my_books,my_library,book_reviews,payment_history"
STREAM_BYTES = 128 << 20
SMALL = 2 << 30
# What whoever runs this has set for another installation.
NOT_INHERITED = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "NATS_URL", "NATS_MONITOR_URL")


class Failed(Exception):
    """Why a trouble could not be practised, in one sentence."""


def forget_settings():
    for name in list(os.environ):
        if name in NOT_INHERITED or name.startswith("MARU_"):
            del os.environ[name]


class Targets:
    """Who is scraped: files that Prometheus reads again when they change."""

    def __init__(self, folder):
        self.folder, self.known, self.lock = folder, {}, threading.Lock()
        folder.mkdir()

    def forget(self, namespace):
        for job, space, address in list(self.known):
            if space == namespace:
                self.set(job, space, address, watched=False)

    def set(self, job, namespace, address, watched=True):
        with self.lock:
            self.known[job, namespace, address] = watched
            lists = [
                {"targets": [one], "labels": {"namespace": space}}
                for (name, space, one), is_watched in self.known.items()
                if name == job and is_watched
            ]
            fresh = self.folder / f"{job}.new"
            fresh.write_text(yaml.safe_dump(lists))
            fresh.rename(self.folder / f"{job}.yml")


class Site:
    """What both kinds have in common."""

    def __init__(self, folder, binary, targets, provider):
        self.name, self.folder, self.binary, self.targets = self.NAME, folder, binary, targets
        self.provider = provider
        self.password = secrets.token_hex(12)
        self.api = f"127.0.0.1:{free_port()}"
        self.roles, self.running, self.every = {}, {}, []
        self.env = {"OPENAI_BASE_URL": provider.url, "OPENAI_API_KEY": "none", "RUST_LOG": "info"}
        # What operators have exported.
        self.operator = {}
        folder.mkdir(mode=0o700)

    def role(self, name, *words, job=None, metrics=None, **env):
        """Something that can be started: Maru with these words, scraped under this job."""
        metrics = metrics or f"127.0.0.1:{free_port()}"
        self.roles[name] = (words, job, metrics, {**self.env, "MARU_METRICS": metrics, **env})

    def start(self, name, ready=True):
        words, job, metrics, env = self.roles[name]
        log = f"{name}-{len(self.every)}"
        process = Process(self.folder, log, *(words if job is None else (self.binary, *words)), **env)
        self.running[name] = process
        self.every.append(process)
        if job:
            self.targets.set(job, self.name, metrics)
            if ready:
                process.wait_for(f"http://{metrics}/readyz", 120)
        return process

    def stop(self, name, how=signal.SIGTERM, watched=False):
        """Ends it. Whoever means it takes it out of the targets first."""
        words, job, metrics, _ = self.roles[name]
        if job and not watched:
            self.targets.set(job, self.name, metrics, watched=False)
        process = self.running.pop(name).process
        process.send_signal(how)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def signal(self, name, which):
        self.running[name].process.send_signal(which)

    def pid(self, name):
        return self.running[name].process.pid

    def metrics(self, name):
        return self.roles[name][2]

    def maru(self, *words, timeout=120):
        """An operator's command, to its end."""
        return run(self.binary, *words, env={**os.environ, **self.operator}, timeout=timeout)

    def sql(self, text):
        """Something by hand in the database."""
        request = urllib.request.Request(f"{self.database}/sql", text.encode(), {"accept": "application/json"})
        request.add_header("surreal-ns", "maru")
        request.add_header("surreal-db", "maru")
        login = base64.b64encode(f"drill:{self.password}".encode()).decode()
        request.add_header("authorization", f"Basic {login}")
        answers = json.load(urllib.request.urlopen(request, timeout=30))
        for answer in answers:
            if answer["status"] != "OK":
                raise Failed(f"{text}: {answer['result']}")
        return answers[-1]["result"]

    def close(self):
        def end(process):
            if process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
                process.stop()

        with ThreadPoolExecutor(16) as pool:
            servers = [self.running.get(name) for name in ("nats", "database")]
            list(pool.map(end, [one for one in self.every if one not in servers]))
            list(pool.map(end, [one for one in servers if one]))

    def kill(self):
        for process in self.every:
            if process.process.poll() is None:
                process.process.kill()


class Split(Site):
    """nats-server, the database, gateways and workers of each kind."""

    NAME = "split"
    WORKERS = {
        "decide": "members,books,payments,purchases",
        "reviews": "reviews",
        "flows": "authoring,checkout,conclude_replay",
        "stories": "write_story",
        "images": "paint_image",
        "charges": "charge",
        "refunds": "refund",
        "cancels": "cancel_charge",
        "views": VIEWS,
    }

    def begin(self):
        self.nats_port, monitor, database = free_port(), free_port(), free_port()
        self.database = f"http://127.0.0.1:{database}"
        self.operator = {
            "NATS_URL": f"nats://127.0.0.1:{self.nats_port}",
            "NATS_MONITOR_URL": f"http://127.0.0.1:{monitor}",
            "MARU_DB_URL": f"ws://127.0.0.1:{database}",
            "MARU_DB_USER": "drill",
            "MARU_DB_PASSWORD": self.password,
            "MARU_KEYS": str(self.folder / "keys"),
            "MARU_STREAM_MAX_BYTES": str(STREAM_BYTES),
        }
        self.env |= {**self.operator, "MARU_ADMIN_PASSWORD": self.password, "MARU_REQUESTS_PER_SECOND": "100000"}
        config = self.folder / "nats.conf"
        config.write_text(
            f'host: 127.0.0.1\nport: {self.nats_port}\nhttp: "127.0.0.1:{monitor}"\nmax_payload: 8MB\n'
            f'jetstream {{ store_dir: "{self.folder}/nats", sync_interval: always }}\n'
        )
        self.role("nats", BIN / "nats-server", "--config", config)
        where = ("--data", self.folder / "data", "--bind", f"127.0.0.1:{database}")
        self.role("database", self.binary, "database", *where)
        self.start("nats").wait_for(f"http://127.0.0.1:{monitor}/healthz")
        self.start("database").wait_for(f"{self.database}/health")
        if (done := self.maru("streams", "apply")).returncode != 0:
            raise Failed(f"maru streams apply: {done.stdout}{done.stderr}")
        self.role("gateway", "gateway", job="maru-gateway", MARU_API=self.api)
        self.second = f"127.0.0.1:{free_port()}"
        for name, only in self.WORKERS.items():
            self.role(name, "workers", "--only", only, job="maru-workers")
        for name in ("gateway", *self.WORKERS):
            self.start(name, ready=False)
        for name in ("gateway", *self.WORKERS):
            self.running[name].wait_for(f"http://{self.metrics(name)}/readyz", 180)


class Single(Site):
    """`maru up` with everything in it."""

    NAME = "single"

    def begin(self):
        self.data = self.folder / "data"
        self.operator = {"MARU_DATA": str(self.data)}
        self.env |= {"MARU_ADMIN_PASSWORD": self.password, "MARU_STREAM_MAX_BYTES": str(STREAM_BYTES)}
        words = ("up", "--data", self.data, "--api", self.api, "--requests-per-second", "100000")
        self.role("up", *words, job="maru")
        self.start("up")

    def nats_port(self):
        """Where its nats-server listens."""
        ports = json.loads(next((self.data / "nats" / "run").glob("*.ports")).read_text())
        return int(ports["nats"][0].rsplit(":", 1)[1])

    def nats(self):
        """The nats-server that it has started: its process id."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = run("ps", "-o", "pid=,comm=", "--ppid", str(self.pid("up"))).stdout.splitlines()
            for line in found:
                pid, name = line.split(None, 1)
                if name.startswith("nats-server"):
                    return int(pid)
            time.sleep(0.2)
        raise Failed("maru up has no nats-server")


class Small(Single):
    """`maru up` on a small disk of its own, a piece of memory, if this user may mount one."""

    NAME = "small"

    def begin(self):
        self.disk = self.folder
        if (done := run("mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=700", "drill", self.disk)).returncode != 0:
            self.disk = None
            raise Failed(f"a small disk could not be mounted: {done.stderr.strip()}")
        super().begin()

    def close(self):
        super().close()
        if self.disk:
            run("umount", self.disk)

    def kill(self):
        super().kill()
        if self.disk:
            run("umount", "--lazy", self.disk)
