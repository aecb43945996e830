"""Starts what is in the archive as a container would: its own files alone, read-only but for a fresh /tmp, as the
user of the image and as process 1, without a capability and without a way to get one.

umoci unpacks it and bubblewrap starts it, which needs no privilege. A nats-server outside and a database in memory
are what it works with: streams are made, the gateway becomes ready and takes a command, workers live, and each
ends with 0 on SIGTERM.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import oci
from common import ROOT, USER, Trouble, call, package, tool

HOST = "127.0.0.1"
HOSTS = f"{HOST} localhost\n{HOST} nats\n"  # the name proves that names are resolved in there
READY_S, END_S = 90, 60


def all_of(path, kind=None):
    """A line about each thing that was seen to run; `kind` of Jail is another for the self-test alone."""
    image = oci.Image(path)
    version = image.config["config"]["Labels"]["org.opencontainers.image.version"]
    with tempfile.TemporaryDirectory(prefix="maru-") as scratch:
        os.chmod(scratch, 0o755)  # the user of the image goes through it
        rootfs = unpack(image, Path(scratch))
        jail = (kind or Jail)(rootfs)
        said = jail.output("--version")
        if said != f"maru {version}":
            raise Trouble(f"`/maru --version` says {said!r}, and the label {version!r}")
        yield f"ok: `/maru --version` says {said}"
        with nats_server(Path(scratch)) as (nats, monitor):
            jail.settings |= {"NATS_URL": nats, "NATS_MONITOR_URL": monitor, "MARU_DB_URL": "mem://",
                              "MARU_STREAM_MAX_BYTES": str(64 << 20)}
            made = jail.output("streams", "apply").splitlines()
            left = jail.output("streams", "plan")
            if left != "nothing to change":
                raise Trouble(f"after `streams apply`, `streams plan` still has to do: {left.splitlines()[0]}")
            yield f"ok: `/maru streams apply` made {len(made)} changes, `plan` has none left"
            revision = image.config["config"]["Labels"].get("org.opencontainers.image.revision")
            yield from processes(jail, revision)


def processes(jail, revision):
    """A gateway and workers at the same time, and their ends."""
    api, gateway_metrics, metrics = free_port(), free_port(), free_port()
    gateway = jail.start("gateway", MARU_API=f"{HOST}:{api}", MARU_METRICS=f"{HOST}:{gateway_metrics}",
                         MARU_KEYS="/tmp/keys")
    workers = jail.start("workers", MARU_METRICS=f"{HOST}:{metrics}")
    with gateway, workers:
        took = gateway.answers(f"http://{HOST}:{api}/readyz")
        yield f"ok: `/maru gateway` is ready after {took:.1f} s"
        workers.answers(f"http://{HOST}:{metrics}/livez")
        yield f"ok: its process: {gateway.seen()}"
        if revision:
            with urllib.request.urlopen(f"http://{HOST}:{gateway_metrics}/metrics", timeout=5) as page:
                commit = same_commit(page.read().decode(), revision)
            yield f"ok: it says that it is commit {commit}, and so does the label"
        status, body = sign_up(f"http://{HOST}:{api}/v1/auth/signup")
        if status not in (200, 201):
            raise Trouble(f"a member signs up, and the answer is {status}: {body[:300]}")
        yield f"ok: a member signs up at the gateway, and a worker does it: {status}"
        for process in (gateway, workers):
            took = process.end()
            yield f"ok: `/maru {process.name}` ends with 0, {took:.1f} s after SIGTERM"


def same_commit(page, revision):
    """The commit that the metrics page names, if the label means the same. By it a rollout tells two builds apart."""
    found = re.search(r'^maru_build_info\{[^}]*commit="([^"]*)"', page, re.MULTILINE)
    commit = found[1] if found else "none"
    if len(commit) < 7 or commit in ("none", "unknown") or not revision.startswith(commit):
        raise Trouble(f"the label says {revision}, and the binary that it is another commit, {commit}: build it in "
                      "this checkout with --release, or with MARU_COMMIT")
    return commit


def unpack(image, scratch):
    """The files of the image, with the mount points that any runtime makes."""
    layout, rootfs = scratch / "layout", scratch / "rootfs"
    image.lay(layout)
    # Only root can give files away; for everybody else umoci keeps them ours.
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    oci.umoci("raw", "unpack", *rootless, "--image", f"{layout}:{image.tag}", rootfs)
    shutil.rmtree(layout)
    for folder in ("proc", "dev"):
        (rootfs / folder).mkdir(exist_ok=True)
    (rootfs / "etc" / "hosts").write_text(HOSTS)
    return rootfs


class Jail:
    """The image's files, as a place to start programs in."""

    def __init__(self, rootfs):
        self.rootfs = rootfs
        self.settings = {}
        self.env = dict(os.environ)
        if not shutil.which("bwrap"):
            library = package("libcap2")[0] / "lib" / os.uname().machine.join(("", "-linux-gnu"))
            self.env["LD_LIBRARY_PATH"] = str(library)
        self.bwrap = tool("bwrap", "bubblewrap")
        # Root would stay root outside, however it is called inside; so root becomes the user first.
        self.user = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}

    def command(self, *words, **settings):
        set_all = [w for key, value in (self.settings | settings).items() for w in ("--setenv", key, value)]
        return [self.bwrap, "--ro-bind", str(self.rootfs), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
                "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1", "--die-with-parent",
                "--new-session", "--uid", str(USER), "--gid", str(USER), "--cap-drop", "ALL", "--clearenv", *set_all,
                "--chdir", "/", "--", "/maru", *words]

    def output(self, *words):
        return call(self.command(*words), env=self.env, **self.user).strip()

    def start(self, *words, **settings):
        return Process(words[0], self, self.command(*words, **settings))


class Process:
    """One that runs in there; gone at the end of the `with`, whatever happens."""

    def __init__(self, name, jail, command):
        self.name = name
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)
        read, write = os.pipe()
        # bubblewrap tells which process it started; a signal to itself would not be passed on.
        command = [command[0], "--info-fd", str(write), *command[1:]]
        self.outer = subprocess.Popen(command, env=jail.env, stdin=subprocess.DEVNULL, stdout=self.log,
                                      stderr=self.log, pass_fds=[write], **jail.user)
        os.close(write)
        with os.fdopen(read) as told:
            info = told.read()
        if not info:
            raise Trouble(f"bubblewrap could not start /maru {name}: {self.last_words()}")
        self.pid = json.loads(info)["child-pid"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.outer.poll() is None:
            self.outer.kill()  # and with it, by --die-with-parent, what it started
            self.outer.wait()
        self.log.close()

    def last_words(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace").strip()[-400:]

    def answers(self, url):
        """Waits until it answers 200; the seconds it took."""
        begun = time.monotonic()
        while time.monotonic() - begun < READY_S:
            if self.outer.poll() is not None:
                raise Trouble(f"/maru {self.name} ended with {self.outer.returncode}: {self.last_words()}")
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return time.monotonic() - begun
            time.sleep(0.1)
        raise Trouble(f"/maru {self.name} does not answer at {url} within {READY_S} s: {self.last_words()}")

    def seen(self):
        """Who and what it is, as the kernel says."""
        status = dict(re.findall(r"^(\w+):\s*(.*)$", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE))
        inside, outside, _ = map(int, Path(f"/proc/{self.pid}/uid_map").read_text().split())
        users = {int(uid) - outside + inside for uid in status["Uid"].split()}
        groups = set(Path(f"/proc/{self.pid}/gid_map").read_text().split()[:1])
        mounts = [line.split() for line in Path(f"/proc/{self.pid}/mountinfo").read_text().splitlines()]
        options = [mount[5].split(",") for mount in mounts if mount[4] == "/"][-1]
        what = {
            f"user {USER}": users == {USER} and groups == {str(USER)},
            "process 1": status["NSpid"].split()[-1] == "1",
            "no capabilities": all(int(status[key], 16) == 0 for key in ("CapEff", "CapPrm", "CapBnd", "CapAmb")),
            "no new privileges": status["NoNewPrivs"] == "1",
            "root file system read-only": "ro" in options,
        }
        if wrong := [name for name, holds in what.items() if not holds]:
            raise Trouble(f"/maru {self.name} runs, but not so: {', '.join(wrong)}")
        return ", ".join(what)

    def end(self):
        """SIGTERM, and the seconds until it ended well."""
        begun = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        try:
            code = self.outer.wait(END_S)
        except subprocess.TimeoutExpired:
            raise Trouble(f"/maru {self.name} has not ended {END_S} s after SIGTERM: {self.last_words()}") from None
        if code != 0:
            raise Trouble(f"/maru {self.name} ended with {code} after SIGTERM: {self.last_words()}")
        return time.monotonic() - begun


@contextlib.contextmanager
def nats_server(scratch):
    """A nats-server outside, for as long as it is needed: its address by name, and its monitoring address."""
    call([str(ROOT / "tools" / "fetch-nats-server")])
    own = ROOT / ".maru" / "bin" / "nats-server"
    program = str(own) if own.exists() else shutil.which("nats-server")
    port, monitor = free_port(), free_port()
    with open(scratch / "nats.log", "wb") as log:
        server = subprocess.Popen([program, "--addr", HOST, "--port", str(port), "--http_port", str(monitor),
                                   "--jetstream", "--store_dir", str(scratch / "nats")], stdout=log, stderr=log)
    try:
        begun = time.monotonic()
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{monitor}/healthz", timeout=5):
                break
            if server.poll() is not None or time.monotonic() - begun > READY_S:
                raise Trouble(f"nats-server does not start: {(scratch / 'nats.log').read_text()[-300:]}")
            time.sleep(0.1)
        yield f"nats://nats:{port}", f"http://nats:{monitor}"
    finally:
        server.terminate()
        server.wait()


def sign_up(url):
    body = {"username": "mina", "password": "a long password", "nickname": "Mina", "role": "author"}
    headers = {"content-type": "application/json", "prefer": "wait=30"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def free_port():
    """Above the range that the system gives to clients, so that nobody takes it before it is used."""
    while True:
        port = random.randrange(61000, 65000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
