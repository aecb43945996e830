"""What is told in the end: a table for people, JSON for programs."""

import collections
import json
from pathlib import Path

import logs


def of(site, operator, journal, findings, facts, lives, teller, load):
    """Adds what processes, logs and failed requests say, and the numbers."""
    findings = [*findings, *site.findings]
    findings += [
        (one["code"], f"{one['request']}: {one['why']} (at {one['at_s']} s, {one['while']})") for one in journal.failed
    ]
    reviewed = 0
    maru = [process for process in site.processes if process.is_maru]
    for process in maru:
        bad, known = logs.of(process)
        findings, reviewed = findings + bad, reviewed + known
        if process.child.returncode != 0 and not any(process.name in what for code, what in findings if code == "exit"):
            findings.append(("exit", f"{process.name} ended with {process.child.returncode}"))
    resumed = sum(live.opened - 1 for live in lives)
    if not resumed and operator.expects_resume:
        findings.append(("nobody_resumed", "no live stream was ended and gone on with: nothing is proven about that"))
    done = [one["told"]["state"] for one in journal.purchases.values()]
    counts = {
        "load": load,
        "requests": journal.requests,
        "answers": {str(status): times for status, times in sorted(journal.statuses.items(), key=str)},
        "seconds_p50_p99_max": [journal.percentile(share) for share in (0.5, 0.99, 1)],
        "failed requests": len(journal.failed),
        "people": len(journal.people),
        "commands accepted": len(journal.accepted),
        "commands in the stream": len(facts["commands"]),
        "commands answered 202 at first": journal.answers["pending at first"],
        "events": len(facts["events"]),
        "purchases completed, rejected": [done.count("COMPLETED"), done.count("REJECTED")],
        "charges at the bank": sum(row["log"].count("charged") for row in facts["bank"]),
        "stories asked, written": [len(journal.stories), sum(teller.finished.values())],
        "story streams resumed": sum(max(0, story.opened - 1) for story in journal.stories),
        "live events seen": sum(len(live.seen) for live in lives),
        "live streams resumed": resumed,
        "dead letters": len(facts["dead"]),
        "processes of Maru": len(maru),
        "ended with 0": sum(process.child.returncode == 0 for process in maru),
        "reviewed warnings": reviewed,
    }
    return {"counts": counts, "steps": operator.steps, "findings": findings}


def show(told, asked):
    if told["kept"]:
        (Path(told["kept"]) / "report.json").write_text(json.dumps(told, indent=2))
    if asked.json:
        print(json.dumps(told, indent=2))
        return
    for name, value in told["counts"].items():
        words = ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else value
        print(f"{name:<32} {words if not isinstance(words, list) else ' / '.join(map(str, words))}")
    print(f"\n{'process':<18} {'successor in':>12} {'ended in':>12} {'exit':>5}")
    for step in told["steps"]:
        start = "–" if step["start_s"] is None else f"{step['start_s']} s"
        print(f"{step['process']:<18} {start:>12} {step['end_s']:>10} s {step['exit']:>5}")
    print()
    for code, what in told["findings"][:60]:
        print(f"FOUND {code}: {what}")
    more = len(told["findings"]) - 60
    if more > 0:
        print(f"… and {more} more, all of them in report.json")
    for code, times in collections.Counter(code for code, _ in told["findings"]).most_common():
        print(f"{times:>6} × {code}")
    well = "nobody noticed: nothing failed, nothing lost, nothing doubled"
    print(f"{len(told['findings'])} findings" if told["findings"] else well)
    if told["kept"]:
        print(f"kept: {told['kept']}")
