"""Troubles of what a split installation stands on: the database that is slow or away, a stream that takes nothing
more.
"""

import signal
import time

from sites import Failed
from trouble import SETTLED, causes, follow, meanwhile
from visitors import editor, reader
from wire import ask


@causes("DatabaseSlow", "AnswersSlow", with_it=["HouseOutOfOrder", "ErrorBudgetBurnsFast", "CommandsLate"])
def the_database_is_slow(site):
    def slow_down(stop):
        # Shorter than the three seconds after which it counts as away.
        while not stop.is_set():
            site.signal("database", signal.SIGSTOP)
            stop.wait(1.8)
            site.signal("database", signal.SIGCONT)
            stop.wait(0.3)

    people = [editor(site.api, 0.1) for _ in range(3)] + [reader(site.api, 0.1) for _ in range(2)]
    with meanwhile(*people):
        time.sleep(SETTLED)
        with meanwhile(slow_down):
            yield "the database was stopped for 1.8 of each 2.1 seconds"
        yield "let run"


@causes(
    "HouseOutOfOrder",
    with_it=["ErrorBudgetBurnsFast", "CommandsLate", "PublishingFails", "OutboxStuck"],
    lingers=True,
)
def the_database_is_away(site):
    with meanwhile(*(editor(site.api, 0.3) for _ in range(4)), reader(site.api)):
        time.sleep(SETTLED)
        site.stop("database")
        yield "the database server was ended while people go on"
        site.start("database").wait_for(f"{site.database}/health")
        yield "started"


@causes(
    *("StreamFills", "StreamFull", "PublishingFails", "OutboxStuck"),
    with_it=["HouseOutOfOrder", "ErrorBudgetBurnsFast", "CommandsLate"],
    where={"StreamFills": {"stream": "EVENTS"}, "StreamFull": {"stream": "EVENTS"}},
)
def a_stream_is_full(site):
    with meanwhile(*(editor(site.api, 0.2) for _ in range(4))):
        time.sleep(SETTLED)
        told = ask(site.nats_port, "$JS.API.STREAM.INFO.EVENTS", {})
        smaller = {**told["config"], "max_bytes": int(told["state"]["bytes"] * 1.02) + 2000}
        changed = ask(site.nats_port, "$JS.API.STREAM.UPDATE.EVENTS", smaller)
        if "error" in changed:
            raise Failed(f"EVENTS could not be made smaller: {changed['error']}")
        yield "somebody made EVENTS hardly larger than what is in it"
        follow(site, "StreamFull", "maru streams apply")
        yield "`maru streams apply` with the size that it should have"
