"""What the processes of Maru wrote into their logs: warnings and errors that nobody has looked at are findings."""

import json

# What may be said in a rollout: level, a part of the message, and why that is all right.
REVIEWED = [
    ("WARN", "is taken to write through", "what the database behind ws:// does cannot be seen from outside"),
]


def of(process):
    """The findings in a process's log, and how many lines of the reviewed ones there were."""
    findings, reviewed = [], 0
    for line in process.log.read_text(errors="replace").splitlines():
        try:
            told = json.loads(line)
            level, message = told["level"], told.get("message", "")
        except (ValueError, KeyError, TypeError):
            findings.append(("log_line", f"{process.name}: {line[:300]}"))
            continue
        if level not in ("WARN", "ERROR"):
            continue
        if any(level == known and part in message for known, part, _ in REVIEWED):
            reviewed += 1
        else:
            findings.append(("log_warning", f"{process.name}: {line[:500]}"))
    return findings, reviewed
