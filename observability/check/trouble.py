"""What a trouble is: something that is caused on an installation, and what its runbooks say to do about it.

A trouble is a generator with two steps. The first causes it and yields, in words, what was done to whom; then its
alerts have to fire. The second does what the runbook says and yields that in words; then they have to end. What it
still has to tidy up stands behind that.
"""

import contextlib
import re
import shlex
import threading
import time
from dataclasses import dataclass, field

from common import OBSERVABILITY, commands_of, fences
from sites import Failed

# How long alerts may take to fire, and to end: several times what they need on an idle machine.
PATIENCE = 240
# Until people have come in.
SETTLED = 4


@dataclass(frozen=True)
class Trouble:
    alerts: tuple
    run: object
    # Critical alerts that may come with it.
    with_it: frozenset
    # Whose end is only a window that has to pass: what comes next does not wait for it.
    lingers: bool
    fires_within: int
    ends_within: int
    # Of alerts that something else may have too: which labels are this trouble's.
    where: dict = field(default_factory=dict)


def causes(*alerts, with_it=(), lingers=False, fires_within=PATIENCE, ends_within=PATIENCE, where=None):
    def made(run):
        return Trouble(alerts, run, frozenset(with_it), lingers, fires_within, ends_within, where or {})

    return made


def runbook(alert):
    return OBSERVABILITY / "runbooks" / f"{alert}.md"


def typed(alert, command, **words):
    """The words of a command that a runbook says, with these in place of its capitals."""
    if command not in commands_of(runbook(alert)):
        raise Failed(f"{alert}.md does not say `{command}`")
    for name, word in words.items():
        command = re.sub(rf"\b{name}\b", str(word), command)
    return shlex.split(command)[1:]


def says(alert, sentence):
    """A step that is not one command stands in the runbook."""
    if sentence not in runbook(alert).read_text():
        raise Failed(f"{alert}.md does not say {sentence!r}")


def follow(site, alert, command, **words):
    """Does what a runbook says: it has to work."""
    line = typed(alert, command, **words)
    done = site.maru(*line)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-400:]
        raise Failed(f"`maru {shlex.join(line)}` of {alert}.md ended with {done.returncode}: {said}")
    return done.stdout


def looks(alert):
    """What a runbook says to look at: commands that need nothing filled in, and queries."""
    text = runbook(alert).read_text()
    section = text[text.index("## Look\n") : text.index("## Do\n")]
    commands = []
    for block in fences(section, "sh"):
        for line in block.splitlines():
            line = line.split("#")[0].replace("--watch", "").strip()
            if line.startswith("maru ") and not re.search(r"\b[A-Z][A-Z_]+\b", line):
                commands.append(line)
    queries = [line for block in fences(section, "promql") for line in block.splitlines() if line.strip()]
    return commands, queries


def wait_for(what, seconds, condition, every=0.5):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if found := condition():
                return found
        time.sleep(every)
    raise Failed(f"{what}: not within {seconds} s")


@contextlib.contextmanager
def meanwhile(*works):
    """Works that go on beside a trouble: each is called with an event that ends it."""
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
