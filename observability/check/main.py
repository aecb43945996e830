"""Runs the checks and prints what they complain of: main.py static|quick|live|all|causes [MARU [ALERT…]]."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import causes
import chat
import live
import planted
import practised
import static


def told(name, complaints):
    began = time.monotonic()
    found = list(complaints())
    lines = [f"{'FAILED' if found else 'ok':6} {name} ({time.monotonic() - began:.1f} s)"]
    print("\n".join([*lines, *(f"       {complaint}" for complaint in found)]), flush=True)
    return len(found)


def main():
    part, *rest = sys.argv[1:]
    checks = []
    if part in ("static", "quick", "all"):
        checks += [(check.__name__.replace("_", " "), check) for check in [*static.QUICK, *practised.CHECKS]]
    if part in ("static", "all"):
        # The slow ones first; they wait more than they work.
        slow = [("promtool", static.promtool), ("planted faults are found", planted.check)]
        checks = [*slow, ("one incident is one message", chat.check), *checks]
    with ThreadPoolExecutor(3) as pool:
        found = sum(pool.map(lambda check: told(*check), checks))
    if part in ("live", "all"):
        found += told("on a running Maru", lambda: live.check(Path(rest[0])))
    if part == "causes":
        found += told("the alarm drill", lambda: causes.check(Path(rest[0]), rest[1:]))
    if found:
        sys.exit(f"{found} complaints about observability/")


if __name__ == "__main__":
    main()
