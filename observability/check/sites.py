"""What the installations in which trouble is caused have in common: processes that come and go, who is scraped, and
operators' commands.

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
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import yaml
from common import free_port, run
from live import Process

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
