"""What the manifests are held against: the binary itself, a few constants of the sources, the documentation."""

import functools
import re
import subprocess

import yaml

from world import K3S, ROOT, Facts, NotUnderstood

PAGE = ROOT / "docs" / "operating" / "k3s.md"


def say(program, *args, **env):
    return subprocess.run([program, *args], capture_output=True, text=True, check=False, env=env or None)


def names(program):
    """What --only takes, as the binary lists it to somebody who mistyped."""
    answer = say(program, "workers", "--only", "?").stderr
    return re.search(r"there are ([a-z_, ]+)", answer)[1].split(", ")


def reader(program):
    # Passwords are in no --help; the README has them as variables without an option.
    rows = re.findall(r"^\| `(\w+)` \| – \|", (ROOT / "README.md").read_text(), re.M)

    @functools.cache
    def reads(args):
        done = say(program, *args, "--help")
        if done.returncode != 0:
            raise NotUnderstood(done.stderr.strip().splitlines()[0])
        # `streams apply` reads what `streams` does.
        above = say(program, args[0], "--help").stdout
        return set(re.findall(r"\[env:\s+(\w+)", done.stdout + above)) | set(rows)

    return reads


def seconds(path, constant):
    text = (ROOT / path).read_text()
    return int(re.search(rf"const {constant}: Duration = Duration::from_secs\((\d+)\)", text)[1])


def outside(page):
    """The Secrets of the table under "Secrets" and their keys; whether each must be there."""
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| (yes|no) \|", page, re.M)
    return {name: dict.fromkeys(re.findall(r"`([\w.-]+)`", keys), must == "yes") for name, keys, must in rows}


def gather(program, consumers):
    page = PAGE.read_text()
    charts = [yaml.safe_load(path.read_text()) for path in sorted((K3S / "platform").glob("*.yaml"))]
    return Facts(
        names=names(program),
        consumers=consumers,
        reads=reader(program),
        drain={
            "gateway": seconds("gateway/src/door.rs", "GRACE") + 2,
            # What runs, then two seconds at most for each of its dozen helpers.
            "workers": seconds("workers/src/house.rs", "GRACE") + 24,
        },
        outside=outside(page),
        charts={chart["spec"]["targetNamespace"] for chart in charts if chart["kind"] == "HelmChart"},
    )
