"""Without running anything: the alarm drill has every alert or says why not, and does what runbooks say."""

import ast

from common import OBSERVABILITY, alerts, commands_of, place, rules
from plan import troubles
from trouble import runbook
from uncaused import NOT_CAUSED

# Alerts of a cluster need one.
CAUSED_IN = ("alerts-house", "alerts-people")


def every_alert_is_caused():
    """Each alert of an installation is in the drill, or in the list of those that are not, with a reason."""
    known = {rule["alert"] for path, rule in rules() if "alert" in rule and path.stem in CAUSED_IN}
    drilled = [name for trouble in troubles() for name in trouble.alerts]
    for name in sorted(known - set(drilled) - NOT_CAUSED.keys()):
        yield f"observability/check/plan.py: nothing causes {name}, and uncaused.py has no reason"
    for name in sorted(known & set(drilled) & NOT_CAUSED.keys()):
        yield f"observability/check/uncaused.py: {name} is caused"
    named = set(drilled) | NOT_CAUSED.keys() | {name for trouble in troubles() for name in trouble.with_it}
    for name in sorted(named - alerts().keys()):
        yield f"observability/check: the drill speaks of {name}, and there is no such alert"


def the_drill_follows_runbooks():
    """What troubles type stands in the runbook that they name."""
    for path in sorted((OBSERVABILITY / "check").glob("troubles_*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") not in ("follow", "typed", "says"):
                continue
            words = [one.value for one in call.args if isinstance(one, ast.Constant)]
            if len(words) != 2:
                yield f"{place(path)}:{call.lineno}: runbook and command are not said in plain words"
                continue
            alert, command = words
            if not runbook(alert).exists():
                yield f"{place(path)}:{call.lineno}: there is no runbook {alert}"
            elif call.func.id == "says" and command not in runbook(alert).read_text():
                yield f"{place(path)}:{call.lineno}: {alert}.md does not say {command!r}"
            elif call.func.id != "says" and command not in commands_of(runbook(alert)):
                yield f"{place(path)}:{call.lineno}: {alert}.md does not say `{command}`"


CHECKS = [every_alert_is_caused, the_drill_follows_runbooks]
