"""Whether the checks would find anything: faults are put into a copy of observability/, and all are found."""

import shutil
import sys
import tempfile
from pathlib import Path

from common import ROOT, run

# Where, what is there, what takes its place, and a word of the complaint that must come of it.
FAULTS = [
    ("prometheus/rules/alerts-people.yml", "severity: critical", "severity: loud", "severity is neither"),
    ("prometheus/rules/alerts-house.yml", "runbooks/DiskFull.md", "runbooks/DiscFull.md", "runbook_url is not"),
    ("prometheus/rules/alerts-house.yml", "process_open_fds", "process_opened_fds", "has process_opened_fds"),
    ("prometheus/rules/slo.yml", "/v1/reviews(/.*)?|", "", "counts for no context"),
    ("prometheus/tests/servers.yml", "alertname: DiskFull\n", "alertname: DiscFull\n", "nothing makes DiskFull fire"),
    ("runbooks/LaneDeaf.md", "## When to stop", "## Stop", "LaneDeaf.md: a runbook has the sections"),
    ("runbooks/DeadLetters.md", "`maru dead-letters replay", "`maru | letters replay", "is no command"),
    ("runbooks/LaneFails.md", "*Money*", "*Monney*", "there is no dashboard Monney"),
    ("runbooks/BreakerOpen.md", "maru_bank_calls_total", "maru_bank_calls", "there is no metric maru_bank_calls"),
    ("runbooks/DoorTurnsAway.md", "MARU_REQUESTS_AT_ONCE", "MARU_REQUESTS_AT_TWICE", "knows no setting"),
    ("grafana/dashboards/money.json", "Won that moved", "Won that stayed", "is not what the generator makes"),
    ("grafana/generate/kit.py", ".no_value(none)", "", "it has no noValue"),
    ("grafana/generate/kit.py", 'uid="${datasource}"', 'uid="P1809F7CD0C75ACF3"', "is a particular one"),
    ("grafana/generate/boards/ai.py", "maru_lane_in_flight", "maru_lane_in_fright", "has maru_lane_in_fright"),
    ("grafana/generate/boards/lanes.py", 'alert="LaneDeaf"', 'alert="LaneDead"', "is no runbook"),
    ("alertmanager/alertmanager.yml", 'severity="critical"', 'severity="urgent"', "goes to later, not to now"),
    ("alertmanager/alertmanager.yml", "receiver: watchdog", "receiver: later", "goes to later, not to watchdog"),
    ("alertmanager/alertmanager.yml", "DiskFull", "DiscFull", "there is no such alert"),
    ("check/uncaused.py", '"VersionsMixed"', '"VersionMixed"', "nothing causes VersionsMixed"),
    ("runbooks/LanePaused.md", "maru lanes resume NAME", "maru lanes go-on NAME", "LanePaused.md does not say `maru"),
    ("README.md", "| reviews | 99.90 |", "| reviews | 99.50 |", "reviews has promised 0.995"),
    ("README.md", "| `maru_lane_deaf` |", "| `maru_lane_dead` |", "no row for maru_lane_deaf"),
    ("README.md", "| `maru_ticks_total` | counter |", "| `maru_ticks_total` | gauge |", "is a counter, not a gauge"),
]
# What the checks read besides.
BESIDES = ["src", "streams", "gateway", "workers", "schemas", "docs", "README.md", ".maru"]


def check():
    with tempfile.TemporaryDirectory(prefix="maru-") as scratch:
        copy = Path(scratch)
        shutil.copytree(ROOT / "observability", copy / "observability")
        for name in BESIDES:
            (copy / name).symlink_to(ROOT / name)
        # Dashboards last: the generator's faults are written into them first, as somebody would.
        for fault in sorted(FAULTS, key=lambda fault: "dashboards" in fault[0]):
            if "dashboards" in fault[0]:
                folder = copy / "observability" / "grafana"
                run(sys.executable, "-B", folder / "generate" / "write.py", folder / "dashboards")
            yield from plant(copy, *fault)
        said = run(sys.executable, "-B", copy / "observability" / "check" / "main.py", "quick")
        for name, before, after, complaint in FAULTS:
            if complaint not in said.stdout:
                yield f"{name}: with {after!r} for {before!r} nobody complains: {complaint}. {said.stderr[-300:]}"


def plant(copy, name, before, after, _):
    path = copy / "observability" / name
    text = path.read_text()
    if before not in text:
        yield f"{name} does not have {before!r}, where a fault was to be planted"
    path.write_text(text.replace(before, after))
