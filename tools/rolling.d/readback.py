"""Afterwards everything that was answered 201 is read once more, by whom it belongs to."""

import asyncio
import time

from people import Failed

CAUGHT_UP_WITHIN = 20


async def read(town):
    """Everybody logs in again and looks whether their account, books, purchases and reviews are there."""
    journal = town.journal
    town.pace.gap = 0.01
    owned = {}
    for kind, things in (("books", journal.books.items()), ("purchases", [(p, e["by"]) for p, e in journal.purchases.items()]),
                         ("reviews", [(r, e["by"]) for r, e in journal.reviews.items()])):
        for thing, person in things:
            owned.setdefault(person, {"books": [], "purchases": [], "reviews": []})[kind].append(thing)
    for person in journal.people:
        try:
            await person.log_in()
            for book in owned.get(person, {}).get("books", []):
                await person.ask("GET", f"/v1/books/{book}", good={200}, seq=person.seq)
            for purchase in owned.get(person, {}).get("purchases", []):
                journal.purchases[purchase]["told"] = (await person.ask("GET", f"/v1/purchases/{purchase}", good={200})).json
            for review in owned.get(person, {}).get("reviews", []):
                book = journal.reviews[review]["book"]
                here = lambda told, review=review: any(one["reviewId"] == review for one in told["items"])  # noqa: E731
                await person.read(f"/v1/books/{book}/reviews?limit=100", here, "the review")
        except Failed:
            # It is written down; what else this person has is looked at by the judge.
            continue
        finally:
            person.connection.close()
    for expected in journal.purchases.values():
        expected.setdefault("told", {"state": "UNREADABLE"})


async def caught_up(found, lives):
    """Gives the listeners the moment that the last events take; what they have not seen then, they never saw."""
    end = time.monotonic() + CAUGHT_UP_WITHIN
    while time.monotonic() < end:
        newest = {event["owner"]: event["seq"] for event in found["events"]}
        if all(live.seen and live.seen[-1] >= newest.get(live.person.id, 0) for live in lives):
            return
        await asyncio.sleep(0.2)
