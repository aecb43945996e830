"""The committed rules in a hurry: every time in them divided by one factor, so that an hour is two minutes.

What a rule asks stays what it is; only how long it takes changes. Divided are the waits (`for`, `keep_firing_for`), the
ranges, offsets and the pace of each group, and those numbers in an expression that say how long (TIMES). A range is
never shorter than four scrapes: a rate of less says nothing.

Some things go at a pace that no rule can hurry: canaries come once a minute, the janitor every ten minutes, a breaker
rests for half a minute, what meets a database that is away waits up to half a minute. What is held against one of
these stays as it is (AT_ITS_OWN_PACE).
"""

import copy
import re

from common import OBSERVABILITY, RULES, read_yaml

FACTOR = 30
SCRAPE = 1
SHORTEST_RANGE = 4 * SCRAPE
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Seconds in expressions that mean how long: of which rule, and what is to be found there once.
TIMES = {
    "UncleanStart": "3600",
    "LaneLate": "900",
    "DiskFills": "12 * 3600",
    # Counted by the 30 s between two evaluations.
    "context:http_errors:count_1h": "* 30",
    "context:http_errors:count_6h": "* 30",
    "context:http_errors:count_1d": "* 30",
    "context:http_errors:count_3d": "* 30",
}
# Whose ranges stay as they are, with what they are held against.
AT_ITS_OWN_PACE = {
    "ClockStandsStill": "the janitor comes every ten minutes",
    "HouseOutOfOrder": "what meets a database that is away looks again after up to half a minute",
    "StoriesFail": "a breaker that rests lets one call through every half minute",
}
# Held against canaries, the comparing of money or what is looked at every 15 s: these numbers stay as well, by not
# being among TIMES. StreamFrozen 180, LaneSilent 300, context:probe:up 150, CommandsLate 60, OutboxStuck 60,
# LedgerUnchecked 1800.

DURATION = r"(\d+)([smhd])"


def divided(text, least=1):
    """`1h` as `120s`."""
    found = re.fullmatch(DURATION, text)
    return f"{max(int(found[1]) * SECONDS[found[2]] // FACTOR, least)}s"


def ranges(expr):
    def window(found):
        step = f":{divided(found[2])}" if found[2] else ""
        return f"[{divided(found[1], SHORTEST_RANGE)}{step}]"

    length = r"(\d+[smhd])"
    expr = re.sub(rf"\[{length}(?::{length})?\]", window, expr)
    return re.sub(rf"\boffset {length}", lambda found: f"offset {divided(found[1], SHORTEST_RANGE)}", expr)


def times(name, expr):
    """The numbers that say how long, divided."""
    if name not in TIMES:
        return expr
    text = TIMES[name]
    if expr.count(text) != 1:
        raise ValueError(f"{name} does not say {text!r} once any more; see TIMES in scaled.py")
    # The last number is the one in seconds.
    number = re.search(r"\d+$", text).group()
    return expr.replace(text, f"{text.removesuffix(number)}{int(number) // FACTOR}")


def scaled(rule):
    rule = copy.deepcopy(rule)
    name = rule.get("alert") or rule["record"]
    if name not in AT_ITS_OWN_PACE:
        rule["expr"] = ranges(rule["expr"])
    rule["expr"] = times(name, rule["expr"])
    for key in ("for", "keep_firing_for"):
        if key in rule:
            rule[key] = divided(rule[key])
    return rule


def all_rules():
    """Every group of the committed files."""
    groups = []
    for path in RULES:
        for group in read_yaml(path)["groups"]:
            group = {**group, "name": f"{path.stem} {group['name']}", "rules": [scaled(one) for one in group["rules"]]}
            group.pop("interval", None)
            groups.append(group)
    return {"groups": groups}


def configuration(rules, targets):
    """Both committed configurations in one: a folder of targets for each job whose name begins with `maru`."""
    folder = OBSERVABILITY / "prometheus"
    jobs = [
        job["job_name"]
        for name in ("prometheus.yml", "prometheus-split.yml")
        for job in read_yaml(folder / name)["scrape_configs"]
        if job["job_name"].startswith("maru")
    ]
    return {
        "global": {"scrape_interval": f"{SCRAPE}s", "scrape_timeout": f"{SCRAPE}s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "file_sd_configs": [{"files": [str(targets / f"{job}.yml")]}]} for job in jobs
        ],
    }
