"""The installations in which trouble is caused: one split into many processes, one in one process, and one in one
process on a small disk.
"""

import json
import time

from common import BIN, free_port, run
from sites import Failed, Site

VIEWS = "book_home,book_detail,my_books,my_library,book_reviews,payment_history"
STREAM_BYTES = 128 << 20
SMALL = 2 << 30


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
    unmounted = "nobody has tried yet"

    def begin(self):
        self.disk = self.folder
        done = run("mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=700", "drill", self.disk)
        self.unmounted = done.returncode and done.stderr.strip()
        super().begin()

    def close(self):
        super().close()
        if not self.unmounted:
            run("umount", self.disk)

    def kill(self):
        super().kill()
        if not self.unmounted:
            run("umount", "--lazy", self.disk)
