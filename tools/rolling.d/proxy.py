"""The reverse proxy in front of the gateways, and who tells it where they are.

Debian's haproxy, unpacked below .maru/rolling without installing it. It stands where the ingress stands on a
cluster and is stricter: it sends nothing twice, not even what could not be delivered (`retries 0`), and it uses
its connections to the gateways for everybody's requests (`http-reuse always`). Traefik's client would repeat some
requests whose connection turns out to be closed; here that is a failed request.

`admit` and `leave` are what a cluster's endpoint controller does: a gateway gets requests once its /readyz said
200, and no new ones from the moment on that its end was decided. Beside that haproxy asks /readyz itself, as the
readiness probe does, and takes out who twice says no.
"""

import asyncio
import glob
import os
import re
import subprocess
from pathlib import Path

from common import HOST, ROOT, Trouble, say, until

TOOLS = ROOT / ".maru" / "rolling" / "tools"
# What the binary may miss on a small machine, and where it is.
LIBRARIES = {
    "liblua5.3.so.0": "liblua5.3-0",
    "libopentracing-c-wrapper.so.0": "libopentracing-c-wrapper0",
    "libopentracing.so.1": "libopentracing1",
    "libpcre2-8.so.0": "libpcre2-8-0",
    "libpcre2-posix.so.3": "libpcre2-posix3",
    "libsystemd.so.0": "libsystemd0",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "libcrypt.so.1": "libcrypt1",
}
SLOTS = 3

CONFIG = """\
global
  stats socket {folder}/proxy.sock mode 600 level admin
  nbthread 1
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 600s
  timeout http-keep-alive 600s
  timeout server 90s
  timeout check 3s
  retries 0
  http-reuse always
frontend door
  bind {host}:{port}
  default_backend gateways
backend gateways
  balance roundrobin
  option httpchk
  http-check send meth GET uri /readyz
  http-check expect status 200
  default-server check inter 2s fastinter 1s fall 2 rise 1 disabled
"""


def environment():
    folders = {os.path.dirname(path) for path in glob.glob(f"{TOOLS}/usr/lib/**/*.so*", recursive=True)}
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders))}


def unpack(package):
    """A Debian package's files, without installing it."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    for attempt in ("as it is", "with fresh lists"):
        done = subprocess.run(["apt-get", "download", package], cwd=TOOLS, capture_output=True, text=True, check=False)
        found = sorted(TOOLS.glob(f"{package}_*.deb"))
        if done.returncode == 0 and found:
            subprocess.run(["dpkg-deb", "-x", str(found[-1]), str(TOOLS)], check=True)
            return
        if attempt == "as it is":
            subprocess.run(["apt-get", "update"], capture_output=True, check=False)
    raise Trouble(f"apt-get could not download {package}: {done.stderr.strip().splitlines()[-1:]}")


def haproxy():
    """The program, fetched if it is not there yet."""
    program = TOOLS / "usr" / "sbin" / "haproxy"
    if not program.exists():
        say("fetching haproxy")
        unpack("haproxy")
    for _ in LIBRARIES:
        looked = subprocess.run(["ldd", str(program)], env=environment(), capture_output=True, text=True, check=True)
        missing = re.findall(r"(\S+) => not found", looked.stdout)
        if not missing:
            return program
        if missing[0] not in LIBRARIES:
            raise Trouble(f"haproxy needs {missing[0]}, and it is not known which package has it")
        unpack(LIBRARIES[missing[0]])
    raise Trouble(f"haproxy still misses {missing}")


class Proxy:
    """Runs haproxy and tells it about gateways: three places, two of them taken, one for the next version."""

    def __init__(self, folder, port, slots):
        self.folder, self.port, self.slots = Path(folder), port, slots

    def start(self, processes):
        config = self.folder / "haproxy.cfg"
        text = CONFIG.format(folder=self.folder, host=HOST, port=self.port)
        text += "".join(f"  server g{nth} {HOST}:{port}\n" for nth, port in enumerate(self.slots))
        config.write_text(text)
        return processes.spawn("haproxy", [str(haproxy()), "-db", "-f", str(config)], environment())

    async def tell(self, *lines):
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "proxy.sock"))
        writer.write((";".join(lines) + "\n").encode())
        answer = (await reader.read()).decode().strip()
        writer.close()
        return answer

    async def admit(self, slot):
        await self.tell(f"set server gateways/g{slot} state ready")

    async def leave(self, slot):
        """No new requests; those that run go on."""
        await self.tell(f"set server gateways/g{slot} state drain")

    async def forget(self, slot):
        await self.tell(f"set server gateways/g{slot} state maint")

    async def is_up(self, slot):
        for line in (await self.tell("show stat")).splitlines():
            fields = line.split(",")
            if fields[:2] == ["gateways", f"g{slot}"]:
                return fields[17].startswith("UP")
        return False

    async def listening(self):
        await until("haproxy listens", 10, lambda: (self.folder / "proxy.sock").exists())
