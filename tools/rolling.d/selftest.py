"""Plants one thing at a time into facts that are well, and sees each check find its own.

A check that never found anything has not been seen to check. The live half is `--sabotage`, where the installation
itself is ill-treated.
"""

import collections
import copy
import types
import uuid

import judge
from common import say
from journal import Journal

COMMAND, BOOK, MEMBER, PAYMENT = (str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in ("c", "b", "m", "p"))
EVENT = str(uuid.uuid5(uuid.UUID(COMMAND), "event/1"))


def story(title):
    return f"{title} and its end."


def well():
    """A small installation on a good day: a book, its purchase, its listener, its story."""
    facts = {
        "commands": [(COMMAND, "maru.books.create_book.v1")],
        "events": [{"seq": 7, "id": EVENT, "context": "books", "kind": "book_created", "aggregate": BOOK, "version": 1,
                    "owner": MEMBER, "command": COMMAND}],
        "dead": [],
        "inbox": [{"key": ["books", COMMAND], "outcome": {"status": "done", "version": 1, "subject": BOOK}}],
        "log": [{"key": ["books", BOOK, 1], "command": COMMAND}],
        "outbox": [],
        "states": [{"context": "books", "key": [BOOK], "version": 1}],
        "payments": [PAYMENT],
        "bank": [{"key": [PAYMENT], "amount": 9000, "log": ["charged"]}],
    }
    journal = Journal()
    journal.accepted[COMMAND] = {"what": "POST /v1/books", "subject": BOOK, "version": 1, "events": 1}
    told = {"state": "COMPLETED", "paymentId": PAYMENT}
    journal.purchases["purchase"] = {"by": None, "book": BOOK, "price": 9000, "declined": False, "told": told}
    live = types.SimpleNamespace(person=types.SimpleNamespace(id=MEMBER, name="mina"), since=3, seen=[7])
    journal.stories.append(types.SimpleNamespace(title="Tale", end="done", text=story("Tale"), wrong=[]))
    once = {name: collections.Counter({"Tale": 1}) for name in ("begun", "finished", "painted")}
    teller = types.SimpleNamespace(continued=collections.Counter(), **once)
    return types.SimpleNamespace(facts=facts, journal=journal, live=live, teller=teller)


def stranger(here):
    here.facts["bank"].append({"key": ["another"], "amount": 1, "log": ["charged"]})


def second_event(here, **changes):
    here.facts["events"].append(here.facts["events"][0] | {"seq": 9} | changes)


# What is planted, and what has to be found.
PLANTED = {
    "stored_twice": lambda here: here.facts["commands"].append(here.facts["commands"][0]),
    "not_finished": lambda here: here.facts["inbox"].clear(),
    "handled_twice": lambda here: here.facts["inbox"].append(here.facts["inbox"][0]),
    "lost": lambda here: here.facts["commands"].clear(),
    "refused_after_all": lambda here: here.facts["inbox"][0].update(outcome={"status": "refused", "code": "X"}),
    "answer_differs": lambda here: here.journal.accepted[COMMAND].update(version=2),
    "effect_count": lambda here: here.facts["log"].append({"key": ["books", BOOK, 2], "command": COMMAND}),
    "logged_twice": lambda here: here.facts["log"].append(here.facts["log"][0]),
    "published_twice": second_event,
    "out_of_order": lambda here: second_event(here, id="another", version=3),
    "not_published": lambda here: here.facts["events"].clear(),
    "not_decided": lambda here: here.facts["log"].clear(),
    "outbox_left": lambda here: here.facts["outbox"].append(["books", BOOK, 1]),
    "state_differs": lambda here: here.facts["states"][0].update(version=4),
    "dead_letter": lambda here: here.facts["dead"].append("dead.cmd-books.x"),
    "unfinished": lambda here: here.journal.purchases["purchase"]["told"].update(state="PAYING"),
    "purchase_differs": lambda here: here.journal.purchases["purchase"].update(declined=True),
    "paid_together": lambda here: here.journal.purchases.update(other=here.journal.purchases["purchase"]),
    "not_charged": lambda here: here.facts["bank"].clear(),
    "charged_wrong": lambda here: here.facts["bank"][0]["log"].append("charged"),
    "amount_differs": lambda here: here.facts["bank"][0].update(amount=1),
    "charged_for_nothing": stranger,
    "live_order": lambda here: here.live.seen.append(7),
    "live_gap": lambda here: here.live.seen.clear(),
    "live_stranger": lambda here: here.live.seen.append(8),
    "story_unfinished": lambda here: setattr(here.journal.stories[0], "end", "failed"),
    "story_differs": lambda here: setattr(here.journal.stories[0], "text", "Tale"),
    "story_gap": lambda here: here.journal.stories[0].wrong.append("text at 4 with 3"),
    "story_calls": lambda here: here.teller.finished.update(["Tale"]),
    "image_calls": lambda here: here.teller.painted.clear(),
}


def codes(here):
    found = judge.judge(here.facts, here.journal, [here.live], here.teller, story)
    return {code for code, _ in found}


def run():
    missed = [f"found where all is well: {code}" for code in codes(well())]
    for code, plant in PLANTED.items():
        here = copy.deepcopy(well())
        plant(here)
        if code not in codes(here):
            missed.append(f"not found: {code}; found were {sorted(codes(here))}")
    for line in missed:
        say(line)
    say(f"{len(PLANTED)} things were planted, {len(missed)} complaints")
    return 1 if missed else 0
