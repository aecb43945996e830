"""Runs the checks and prints what they complain of: main.py static|live|all [MARU]."""

import sys
import time
from pathlib import Path

import chat
import live
import static


def told(name, complaints):
    began = time.monotonic()
    found = list(complaints())
    print(f"{'FAILED' if found else 'ok':6} {name} ({time.monotonic() - began:.1f} s)", flush=True)
    for complaint in found:
        print(f"       {complaint}", flush=True)
    return len(found)


def main():
    part, *rest = sys.argv[1:]
    checks = []
    if part in ("static", "all"):
        checks += [(check.__name__.replace("_", " "), check) for check in static.CHECKS]
        checks += [("one incident is one message", chat.check)]
    if part in ("live", "all"):
        checks += [("on a running Maru", lambda: live.check(Path(rest[0])))]
    found = sum(told(name, check) for name, check in checks)
    if found:
        sys.exit(f"{found} complaints about observability/")


if __name__ == "__main__":
    main()
