"""People who go on whatever they are answered, for as long as a trouble lasts."""

import contextlib
import http.client
import time

from people import GOOD_CARD, Person, Refused, draft

# An access token is good for five minutes.
TOKEN_LASTS = 240
ANY = (200, 201, 202, 204, 400, 401, 402, 403, 404, 409, 410, 422, 429, 500, 502, 503, 504)
# Of what a view shows, which may come later.
OK_OR_LATER = (200, 404, 503)
TROUBLES = (OSError, http.client.HTTPException, Refused, KeyError, ValueError)


def joined(address, role, stop):
    """Somebody new, as soon as the house lets them in."""
    while not stop.is_set():
        with contextlib.suppress(*TROUBLES):
            return Person(address).join(role)
        stop.wait(1)
    return None


def visits(address, role, prepare, visit, pause):
    """Somebody who does the same again and again, and does not mind."""

    def work(stop):
        person, known, since = None, None, 0
        while not stop.is_set():
            if time.monotonic() - since > TOKEN_LASTS:
                person, known, since = joined(address, role, stop), None, time.monotonic()
            if person is None:
                return
            with contextlib.suppress(*TROUBLES):
                if known is None:
                    known = prepare(person)
                person.seq = None
                visit(person, known)
            stop.wait(pause)

    return work


def editor(address, pause=0.5):
    """An author who cannot stop changing a title."""

    def visit(author, book):
        title = f"The whale of {time.time():.0f}"
        author.ask("PATCH", f"/v1/books/{book}", {"title": title}, wanted=ANY)

    return visits(address, "author", draft, visit, pause)


def reader(address, pause=0.5):
    """Somebody who looks around."""

    def visit(person, _):
        for page in ("/v1/books?limit=5", "/v1/me/library", "/v1/members/me", "/v1/payments"):
            person.ask("GET", page, wanted=ANY)

    return visits(address, "reader", lambda _: True, visit, pause)


def wisher(address, kind="ai-draft", pause=0.5, title="The whale"):
    """An author who has one book after another written, or painted."""

    def visit(author, _):
        book = draft(author, title=title)
        author.ask("POST", f"/v1/books/{book}/{kind}", {} if kind == "ai-draft" else None, wanted=ANY)

    return visits(address, "author", lambda _: True, visit, pause)


def bought(site):
    """A book that was paid for: its buyer, and the ids of book, purchase and payment."""
    author, buyer = Person(site.api).join("author"), Person(site.api).join("reader")
    book = draft(author, contents="Once a whale swam up to the stars.")
    buyer.seq = author.seq
    purchase = buyer.ask("POST", "/v1/purchases", {"bookId": book, "card": GOOD_CARD})["id"]
    buyer.until(f"/v1/purchases/{purchase}", "state", "COMPLETED")
    return buyer, book, purchase, site.sql(f"SELECT VALUE state.payment FROM ONLY purchases:['{purchase}']")
