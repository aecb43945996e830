"""What the processes of Maru wrote into their logs: warnings and errors that nobody has looked at are findings."""

import json

# What may be said in a rollout: level, a part of the message, and why that is all right.
REVIEWED = [
    (
        "ERROR", "Failed to send query results to channel",
        "the database's client says so when nobody waits for an answer any more: whoever only looks and waits is "
        "stopped in the middle of a look, by a drain or because what was waited for has come",
    ),
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
