"""One list of metrics for everybody: README.md's tables, the code, rules, dashboards and runbooks agree."""

import functools
import re

from common import README, ROOT, documented_queries, place, queries, recorded, rules

# In README.md, a row of a table: the name, the type, the labels.
ROW = re.compile(r"^\| `([a-zA-Z_:][\w:]*)` \| (counter|gauge|histogram|info) \| ([^|]*) \|", re.MULTILINE)
# In the code, always with its name written out (tests/tidy sees to that).
MEASURED = re.compile(r'\b(counter|gauge|histogram)!\(\s*"(\w+)"([^;]*?)[;]', re.DOTALL)
NAME = re.compile(r"[a-zA-Z_:][\w:]*")
# What is no metric: texts and comments first, then ranges, selectors, and label names behind these words.
TEXTS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|#[^\n]*")
LABELS = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\[[^\]]*\]|\{[^{}]*\}")
KEYWORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "atan2"}


@functools.cache
def described():
    """Name → (type, labels), from the tables of README.md."""
    return {name: (kind, labels.strip()) for name, kind, labels in ROW.findall(README.read_text())}


def named(expr):
    """The metrics that an expression names."""
    bare = LABELS.sub(" ", TEXTS.sub('""', expr))
    names = set()
    for found in NAME.finditer(bare):
        name = found.group()
        is_called = bare[found.end() :].lstrip().startswith("(")
        is_number = re.search(r"[\d.]$", bare[: found.start()]) is not None
        if not is_called and not is_number and name.lower() not in KEYWORDS and not name.startswith("__"):
            names.add(name)
    return names


def known(name, table, also):
    bare = re.sub(r"_(bucket|sum|count)$", "", name)
    return (
        name in also or (name in table and table[name][0] != "histogram") or table.get(bare, ("",))[0] == "histogram"
    )


@functools.cache
def measured():
    """Name → (type, labels) of what the code measures, tests left out."""
    found = {}
    for folder in ("src", "gateway/src", "streams/src", "workers/src", "schemas/src"):
        for path in sorted((ROOT / folder).rglob("*.rs")):
            for kind, name, rest in MEASURED.findall(path.read_text()):
                labels = set(re.findall(r'"(\w+)"\s*=>', rest))
                known_kind, known_labels = found.get(name, (kind, set()))
                found[name] = (known_kind, known_labels | labels)
    return found


def check():
    table, also = described(), recorded()
    also |= {"ALERTS", "up"}
    places = [(f"{place(path)} {rule.get('alert') or rule['record']}", rule["expr"]) for path, rule in rules()]
    places += list(queries()) + list(documented_queries())
    for where, expr in places:
        for name in sorted(named(expr)):
            if not known(name, table, also):
                yield f"{where}: no table of observability/README.md has {name}"
    for name, (kind, labels) in sorted(measured().items()):
        if name not in table:
            yield f"observability/README.md: no row for {name}, which the code measures"
            continue
        if table[name][0] != kind:
            yield f"observability/README.md: {name} is a {kind}, not a {table[name][0]}"
        told = set(re.findall(r"\w+", re.sub(r":[^,|]*?(?=, \w+:|$)", "", table[name][1])))
        for label in sorted(labels - told):
            yield f"observability/README.md: {name} has a label {label}, which its row does not name"
    for name in sorted(table):
        if name.startswith("maru_") and name not in measured():
            yield f"observability/README.md: nobody measures {name}"
    yield from unused(also, places)


def unused(also, places):
    """A recorded series without a user is an old one."""
    used = set().union(*(named(expr) for _, expr in places))
    for name in sorted(also - used - {"ALERTS", "up"}):
        yield f"observability/prometheus/rules: nobody uses {name}"
