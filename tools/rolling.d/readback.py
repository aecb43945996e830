"""Afterwards everything that was answered 201 is read once more, by whom it belongs to."""

import asyncio
import time

from people import Failed

CAUGHT_UP_WITHIN = 20


async def read(town):
    """Everybody logs in again and looks whether their account, books, purchases and reviews are there."""
    journal = town.journal
    town.pace.gap = 0.01
    for person in journal.people:
        try:
            await person.log_in()
            # All is quiet: everything has to be there now, whatever was said of it then.
            person.has_token = True
            await read_of(person, journal)
        except Failed:
            # It is written down; what else this person has is looked at by the judge.
            continue
        finally:
            person.connection.close()
    for expected in journal.purchases.values():
        expected.setdefault("told", {"state": "UNREADABLE"})


async def read_of(person, journal):
    for book in [book for book, by in journal.books.items() if by is person]:
        await person.ask("GET", f"/v1/books/{book}", good={200}, seq=person.seq)
    for purchase, expected in journal.purchases.items():
        if expected["by"] is person:
            answer = await person.ask("GET", f"/v1/purchases/{purchase}", good={200})
            expected["told"] = answer.json
    for review, told in journal.reviews.items():
        if told["by"] is person:
            here = lambda told, review=review: any(one["reviewId"] == review for one in told["items"])  # noqa: E731
            await person.read(f"/v1/books/{told['book']}/reviews?limit=100", here, "the review")


async def caught_up(found, lives):
    """Gives the listeners the moment that the last events take; what they have not seen then, they never saw."""
    newest = {event["owner"]: event["seq"] for event in found["events"]}
    end = time.monotonic() + CAUGHT_UP_WITHIN
    while time.monotonic() < end:
        if all(live.seen and live.seen[-1] >= newest.get(live.person.id, 0) for live in lives):
            return
        await asyncio.sleep(0.2)
