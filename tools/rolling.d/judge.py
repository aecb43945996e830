"""Holds what people were told against what the installation has: each check with the sentence that it checks.

Pure: facts and journal in, findings out, so that `--self-test` can plant what must be found.
"""

import collections
import uuid

FINAL = ("COMPLETED", "REJECTED", "REFUNDED")


def of_commands(facts, accepted):
    """Every accepted command lies in COMMANDS, once, and has one last word, which is what its sender was told."""
    stored = collections.Counter(command for command, _ in facts["commands"])
    words = collections.Counter(row["key"][1] for row in facts["inbox"])
    outcomes = {row["key"][1]: row["outcome"] for row in facts["inbox"]}
    for command, times in stored.items():
        if times > 1:
            yield "stored_twice", f"command {command} lies in COMMANDS {times} times"
        if not words[command]:
            yield "not_finished", f"command {command} has no outcome"
    for command, times in words.items():
        if times > 1:
            yield "handled_twice", f"command {command} has {times} inbox rows"
    for command, promise in accepted.items():
        if not stored[command] or not words[command]:
            yield "lost", f"{promise['what']}, command {command}, was accepted and is not there"
            continue
        done = outcomes[command]
        if done["status"] != "done":
            yield "refused_after_all", f"{promise['what']}, command {command}, was accepted and then refused: {done}"
        elif promise["version"] is not None and done.get("version") != promise["version"]:
            yield "answer_differs", f"command {command}: version {promise['version']} was told, it is {done}"


def of_events(facts, accepted):
    """A command makes its events once, and they lie in EVENTS once and in order, as the event log has them."""
    made = collections.Counter(row["command"] for row in facts["log"])
    for command, promise in accepted.items():
        if made[command] == 0 or promise["events"] not in (None, made[command]):
            made_it, wanted = f"{promise['what']}, command {command}, made", promise["events"] or "some"
            yield "effect_count", f"{made_it} {made[command]} events instead of {wanted}"
    decided = {str(uuid.uuid5(uuid.UUID(row["command"]), f"event/{row['key'][2]}")) for row in facts["log"]}
    if len(decided) != len(facts["log"]):
        yield "logged_twice", f"{len(facts['log'])} rows of the event log have {len(decided)} ids"
    seen, versions = set(), collections.defaultdict(int)
    for event in facts["events"]:
        of = (event["context"], event["aggregate"])
        if event["id"] in seen:
            yield "published_twice", f"event {event['id']} of {of}"
            continue
        seen.add(event["id"])
        versions[of] += 1
        if event["version"] != versions[of]:
            yield "out_of_order", f"{of}: version {event['version']} where {versions[of]} was to come"
    for event in decided - seen:
        yield "not_published", f"event {event} was decided and is not in EVENTS"
    for event in seen - decided:
        yield "not_decided", f"event {event} is in EVENTS and nobody decided it"
    if facts["outbox"]:
        yield "outbox_left", f"{len(facts['outbox'])} events still wait in the outbox"
    for row in facts["states"]:
        of = (row["context"], row["key"][0] if isinstance(row["key"], list) else row["key"])
        if versions[of] != row["version"]:
            yield "state_differs", f"{of}: its row stands at {row['version']}, its events at {versions[of]}"


def of_dead(facts):
    """Nothing was given up."""
    for subject in facts["dead"]:
        yield "dead_letter", subject


def of_money(facts, purchases):
    """Who has a book paid for it once, and who has none paid nothing."""
    accounts = {row["key"][0] if isinstance(row["key"], list) else row["key"]: row for row in facts["bank"]}
    paid = set()
    for purchase, expected in purchases.items():
        told = expected["told"]
        payment, state = told.get("paymentId"), told["state"]
        wanted = "REJECTED" if expected["declined"] else "COMPLETED"
        if state != wanted:
            code = "purchase_differs" if state in FINAL else "unfinished"
            yield code, f"purchase {purchase} is {state}, not {wanted}"
        if payment in paid:
            yield "paid_together", f"payment {payment} is for two purchases"
        paid.add(payment)
        account = accounts.get(payment)
        if account is None:
            yield "not_charged", f"purchase {purchase} is {state}, and the bank knows no payment {payment}"
            continue
        times = account["log"].count("charged")
        if times != (wanted == "COMPLETED") or (times and account["log"] != ["charged"]):
            yield "charged_wrong", f"payment {payment}, the purchase is {state}: the bank's log is {account['log']}"
        if account["amount"] != expected["price"]:
            yield "amount_differs", f"payment {payment}: {account['amount']} was taken for {expected['price']}"
    # Of purchases as well whose buyer never got an answer: that is a failed request already.
    for payment in accounts.keys() - set(facts["payments"]):
        yield "charged_for_nothing", f"the bank has payment {payment}, which is of no purchase"


def of_live(facts, listeners):
    """Whoever listens sees everything of their own from the beginning on, each once, in order."""
    for live in listeners:
        mine = [event["seq"] for event in facts["events"] if event["owner"] == live.person.id]
        owed = [seq for seq in mine if seq > live.since]
        who = live.person.name
        if live.seen != sorted(set(live.seen)):
            yield "live_order", f"{who} saw {live.seen} (repeated or out of order)"
        for seq in sorted(set(owed) - set(live.seen)):
            yield "live_gap", f"{who} never saw event {seq}; listened from {live.since} on"
        for seq in sorted(set(live.seen) - set(owed)):
            yield "live_stranger", f"{who} saw event {seq}, which was not for them or before they came ({live.since})"


def of_stories(stories, teller, expected):
    """A story is paid for once, and its readers have it whole, whatever was restarted meanwhile."""
    for story in stories:
        if story.end != "done":
            yield "story_unfinished", f"{story.title}: the reader's end is {story.end}"
        elif story.text != expected(story.title):
            yield "story_differs", f"{story.title}: the reader has {len(story.text)} characters of another text"
        for wrong in story.wrong:
            yield "story_gap", f"{story.title}: {wrong}"
        if teller.finished[story.title] != 1 or teller.begun[story.title] != 1 or teller.continued[story.title]:
            counts = [counter[story.title] for counter in (teller.begun, teller.continued, teller.finished)]
            yield "story_calls", f"{story.title}: begun, continued, finished {counts} times instead of 1, 0, 1"
        if teller.painted[story.title] != 1:
            yield "image_calls", f"{story.title}: painted {teller.painted[story.title]} times"


def judge(facts, journal, listeners, teller, expected):
    """Everything that cannot be if nothing is lost and nothing doubled."""
    return [
        *of_commands(facts, journal.accepted),
        *of_events(facts, journal.accepted),
        *of_dead(facts),
        *of_money(facts, journal.purchases),
        *of_live(facts, listeners),
        *of_stories(journal.stories, teller, expected),
    ]
