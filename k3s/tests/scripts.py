"""The scripts of k3s/, run with a kubectl that asks no cluster: which Secrets come out, what is applied in which
order, that nothing is rolled out when the gate is shut, and that nothing is taken away before a backup is looked at."""

import base64
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from world import K3S, Fault

# Writes down what it is asked; says what a cluster would say to the rest.
STAND_IN = """#!/bin/sh
echo "$*" >> "{log}"
# A Job that only looks may end otherwise than one that does it.
ended() {{ if grep -q -e '- --check$' "{job}" 2> /dev/null; then echo "{check}"; else echo "{end}"; fi; }}
case "$*" in
  kustomize*) cat "{rendered}" ;;
  *"get namespace"*) exit 0 ;;
  *"get secret"*) exit 1 ;;
  *"create secret"*) "{real}" "$@" --dry-run=client -o yaml >> "{made}" && echo --- >> "{made}" ;;
  *"create configmap"*) exec "{real}" "$@" ;;
  *"apply -f - -l maru/step=restore"*)
    cat > "{job}" && echo "restore:" $(grep -A4 '^ *- restore$' "{job}") >> "{log}" ;;
  *"jsonpath={{.status.conditions"*) ended ;;
  *"--for condition=complete"*) [ "$(ended)" = Complete ] ;;
  *"--for create"*) {defined} ;;
  *"get deployment"*) echo deployment/gateway ;;
  *"get statefulset -l"*) echo statefulset/surrealdb-books ;;
  *"get statefulset/nats statefulset/surrealdb "*) printf '%s' "{there}" ;;
  *"get statefulset/nats"*) echo "{servers}" ;;
esac
"""
THERE = "statefulset.apps/nats\nstatefulset.apps/surrealdb\n"


def told(scratch, script, *args, rendered="", **answers):
    """How a script ended, and what it asked of kubectl, line by line."""
    folder = Path(tempfile.mkdtemp(prefix=script, dir=scratch))
    log, made, program = folder / "log", folder / "made.yaml", folder / "kubectl"
    values = {"log": log, "made": made, "job": folder / "job.yaml", "rendered": rendered}
    values |= {"end": "Complete", "check": "Complete", "servers": "", "there": "", "defined": "true", **answers}
    program.write_text(STAND_IN.format(real=shutil.which("kubectl"), **values))
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run([K3S / script, *args], env=env, capture_output=True, text=True, timeout=60, check=False)
    return done, log.read_text().splitlines(), made


def secrets(scratch):
    """What k3s/make-secrets makes."""
    done, asked, made = told(scratch, "make-secrets", "maru.example")
    if done.returncode != 0:
        raise Fault(f"make-secrets: {done.stderr}")
    found = {one["metadata"]["name"]: one["data"] for one in yaml.safe_load_all(made.read_text()) if one}
    shown = done.stdout + done.stderr + "".join(asked)
    for value in (value for data in found.values() for value in data.values()):
        for form in (value, base64.b64decode(value).decode()):
            if len(form) > 20 and form in shown:
                raise Fault("make-secrets shows what is secret")
    return found


def steps(asked):
    """What was applied and waited for, in order."""
    return [line for line in asked if " rollout status" in line or line.startswith("apply") or "delete job" in line]


def deploy_and_restore(text, scratch):
    """With a rendering of the overlay `single`."""
    overlay, rendered = K3S / "overlays" / "single", scratch / "single.yaml"
    rendered.write_text(text)
    done, asked, _ = told(scratch, "deploy", overlay, rendered=rendered)
    marks = [
        "!maru/step",
        "statefulset/nats",
        "statefulset/surrealdb",
        "statefulset/surrealdb-books",
        "delete job/gate",
        "maru/step=gate",
        "maru/step=roll",
        "deployment/gateway",
    ]
    if done.returncode != 0 or not all(mark in line for mark, line in zip(marks, steps(asked), strict=True)):
        raise Fault(f"deploy does {steps(asked)}: {done.stderr}")

    done, asked, _ = told(scratch, "deploy", overlay, rendered=rendered, end="Failed")
    if done.returncode == 0 or any("step=roll" in line for line in asked):
        raise Fault("deploy rolls out although the gate is shut")

    done, asked, _ = told(scratch, "deploy", overlay, rendered=rendered, servers="3")
    if done.returncode == 0 or any("apply" in line for line in asked):
        raise Fault("deploy makes one nats-server of three, which loses their streams")
    done, _, _ = told(scratch, "deploy", overlay, rendered=rendered, servers="1")
    if done.returncode != 0:
        raise Fault(f"deploy does not deploy again: {done.stderr}")

    done, asked, _ = told(scratch, "deploy", overlay, rendered=rendered, defined="false")
    waits = "crd/middlewares.traefik.io" in done.stderr
    if done.returncode == 0 or any("apply" in line for line in asked) or not waits:
        raise Fault(f"deploy does not wait for what others define: {asked}: {done.stderr}")
    restore(overlay, rendered, scratch)


def restore(overlay, rendered, scratch):
    stop = ["delete hpa -l maru/step=roll", "delete cronjob,deployment -l maru/step=roll", "delete pod -l"]
    bring_up = ["!maru/step", "statefulset/nats", "statefulset/surrealdb", "statefulset/surrealdb-books"]

    def run(*how):
        told = " - ".join(["restore: - restore", *how, "--from"])
        return ["folder=2026-01-31", "delete job/restore", told, '"suspend":false']

    for how in ([], ["--database-only"]):
        # Servers that are there are asked before anything is stopped; where one is not, there is nothing to ask.
        for there, first in [(THERE, run("--check", *how)), ("", [])]:
            done, asked, _ = told(scratch, "restore", *how, overlay, "2026-01-31", rendered=rendered, there=there)
            at, marks = 0, [*first, *stop, *bring_up, *run(*how), "maru/step=roll"]
            for mark in marks:
                at = next((i + 1 for i, line in enumerate(asked) if i >= at and mark in line), None)
                if done.returncode != 0 or at is None:
                    raise Fault(f"restore does not come to {mark!r}: {asked}: {done.stderr}")
            if any("--all" in line for line in asked):
                raise Fault(f"restore takes away what is not Maru's: {asked}")

    done, asked, _ = told(scratch, "restore", overlay, "2026-01-31", rendered=rendered, there=THERE, check="Failed")
    taken = [line for line in asked if "delete" in line and "job/restore" not in line]
    if done.returncode == 0 or taken or "nothing was changed" not in done.stderr:
        raise Fault(f"something stands in the way, and restore does {asked}: {done.stderr}")

    done, asked, _ = told(scratch, "restore", overlay, "2026-01-31", rendered=rendered, there=THERE, end="Failed")
    if done.returncode == 0 or any("step=roll" in line and "delete" not in line for line in asked):
        raise Fault("restore deploys although nothing was restored")
    if f"k3s/deploy {overlay}" not in done.stderr:
        raise Fault(f"restore does not say how Maru comes back: {done.stderr}")
