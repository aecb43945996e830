"""Troubles of what is written: rows of the database that are gone, do not fit or cannot be read, by hand over its own
door. What heals or explains them is what Maru says of them.
"""

import datetime
import json
import time

from people import Person, draft
from trouble import causes, follow, meanwhile, says, wait_for
from visitors import ANY, OK_OR_LATER, bought

LONG_AGO = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
# What decides commands and what people come in by; the servers stay.
WITHOUT_SERVERS = ("nats", "database")


def can_be_read(person, book):
    wait_for(
        "the book can be read", 90, lambda: "storyStatus" in person.ask("GET", f"/v1/books/{book}", wanted=OK_OR_LATER)
    )


@causes("LedgerMismatch", lingers=True, ends_within=480)
def money_does_not_add_up(site):
    _, _, purchase, payment = bought(site)
    row = f"payments:['{payment}']"
    for context, one in (("payments", payment), ("purchases", purchase)):
        # A row of the log cannot be changed, only written anew.
        site.sql(
            f"FOR $row IN (SELECT * FROM event:['{context}', '{one}', NONE]..['{context}', '{one}', ..]) {{"
            "  DELETE $row.id; CREATE $row.id CONTENT { event: $row.event, text: $row.text, command: $row.command,"
            f"   actor: $row.actor, at: '{LONG_AGO}' }} }}"
        )
    site.sql(f"UPDATE {row} SET state.status = 'DECLINED'")
    follow(site, "LedgerMismatch", "maru clock run money")
    yield "a book is somebody's, and hours ago its payment was declined (by hand in the database)"
    site.sql(f"UPDATE {row} SET state.status = 'APPROVED'")
    follow(site, "LedgerMismatch", "maru clock run money")
    yield "made right by hand, `maru clock run money`"


@causes("TickFails", lingers=True, fires_within=400, where={"TickFails": {"tick": "money"}})
def a_tick_fails(site):
    row = "payments:['ffffffff-ffff-4fff-bfff-ffffffffffff']"
    site.sql(f"CREATE {row} CONTENT {{ version: 1, state: {{ status: 'NOBODY_KNOWS' }} }}")
    yield "a row of payments that nobody can read"
    said = site.maru("clock", "run", "money")
    if said.returncode == 0 or not (said.stdout + said.stderr).strip():
        raise ValueError("`maru clock run money` does not say what goes wrong")
    site.sql(f"DELETE {row}")
    follow(site, "TickFails", "maru clock run NAME", NAME="money")
    yield "the row that `maru clock run money` fails at was taken away"


@causes("InternalErrors")
def the_door_answers_500(site):
    author = Person(site.api).join("author")
    book = draft(author, contents="Once.")
    can_be_read(author, book)
    author.seq = None
    site.sql(f"UPDATE book_detail:['{book}'] SET doc.price = 'nobody knows'")

    def insist(stop):
        while not stop.wait(1):
            author.ask("GET", f"/v1/books/{book}", wanted=ANY)

    with meanwhile(insist):
        yield "a row that people read says something that nobody can read"
    site.sql(f"UPDATE book_detail:['{book}'] SET doc.price = 12000")
    can_be_read(author, book)
    yield "the row mended by whoever has looked into the log"


@causes("ViewWaits", with_it=["ProcessDown", "DoorClosed", "CommandsLate", "HouseOutOfOrder"])
def a_view_waits(site):
    author = Person(site.api).join("author")
    site.stop("views")
    book = draft(author, contents="Once.")
    time.sleep(2)
    # What one who is killed between two commits loses: all that the two commands have written.
    for table in ("event:['books', '{}', NONE]..['books', '{}', ..]", "books_edition:['{}', NONE]..['{}', ..]"):
        site.sql(f"DELETE {table.replace('{}', book)}")
    site.sql(f"DELETE books:['{book}']; DELETE inbox WHERE outcome.subject = '{book}'")
    site.start("views")
    yield "the database has lost a book whose events are in EVENTS"
    says("ViewWaits", "stop Maru, `maru heal --dry-run`, then `maru heal`")
    roles = [role for role in site.running if role not in WITHOUT_SERVERS]
    for role in roles:
        site.stop(role, watched=True)
    follow(site, "ViewWaits", "maru heal --dry-run")
    follow(site, "ViewWaits", "maru heal")
    for role in roles:
        site.start(role, ready=False)
    for role in roles:
        site.running[role].wait_for(f"http://{site.metrics(role)}/readyz", 180)
    can_be_read(author, book)
    # While nobody runs nothing waits: longer than it would take to fire again.
    time.sleep(15)
    yield "Maru stopped, `maru heal`, started"


@causes("MoneyDeadLetters")
def a_refund_is_given_up(site):
    buyer, _, purchase, payment = bought(site)
    account = f"sandbox_charge:['{payment}']"
    kept = site.sql(f"SELECT VALUE doc FROM ONLY {account}")
    site.sql(f"DELETE {account}")
    buyer.ask("POST", f"/v1/purchases/{purchase}/refund")
    yield "the bank knows nothing of a charge that is to be given back"
    site.sql(f"UPSERT {account} CONTENT {{ doc: {json.dumps(kept)} }}")
    follow(site, "MoneyDeadLetters", "maru dead-letters replay --lane job-cancel_charge", cancel_charge="refund")
    yield "the bank knows it again, `maru dead-letters replay --lane job-refund`"
