"""People at the door: they sign up, write, buy, review, and read at once what they wrote.

Everybody sends one request after the other, each once, each write with an Idempotency-Key. What is not answered as
it should be is a failed request. Nobody tries anything again, with one exception that is meant: now and then a
write is sent a second time under the same key, and has to be answered as the first one was.
"""

import asyncio
import itertools
import time

from client import Broken, Connection

PASSWORD = "a long password"
DECLINED = "4000 0000 0000 0002"
TOKEN_GOOD_FOR = 240
PURCHASE_WITHIN = 30
# So many things a visitor does before somebody else comes.
VISIT = 30
NUMBERS = itertools.count(1)


class Failed(Exception):
    """A request that failed; it is written down, and whoever asked goes on with something else."""


class Pace:
    """So many requests a second from all together."""

    def __init__(self, rate):
        self.gap, self.next = 1 / rate, 0.0

    async def turn(self):
        now = time.monotonic()
        self.next = max(self.next + self.gap, now - 1)
        if self.next > now:
            await asyncio.sleep(self.next - now)


class Town:
    """What all people share."""

    def __init__(self, port, pace, journal, dice):
        self.port, self.pace, self.journal, self.dice = port, pace, journal, dice
        self.market, self.leaving, self.readers = [], asyncio.Event(), []


class Person:
    def __init__(self, town):
        self.town, self.nth = town, next(NUMBERS)
        self.name, self.keys = f"person-{self.nth}", itertools.count(1)
        self.connection = Connection(town.port)
        self.token, self.since, self.mine, self.bought = None, 0, [], set()
        # The token of the newest write, and whether the last one had one.
        self.seq, self.has_token = 0, True

    def headers(self, key=None, seq=None):
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        if key:
            headers["idempotency-key"] = key
        if seq:
            headers["maru-min-seq"] = str(seq)
        return headers

    async def ask(self, method, path, body=None, *, good, key=None, seq=None):
        await self.town.pace.turn()
        journal, began = self.town.journal, time.monotonic()
        what = f"{method} {path} by {self.name}"
        try:
            answer = await self.connection.ask(method, path, self.headers(key, seq), body)
        except Broken as broken:
            journal.answered("broken", began)
            journal.fail(what, str(broken), is_broken=True)
            raise Failed from None
        journal.answered(answer.status, began)
        if answer.status not in good:
            # Whatever comes from Maru is JSON; the rest is the proxy's own word.
            is_broken = "json" not in answer.headers.get("content-type", "")
            told = " ".join(answer.body[:300].decode(errors="replace").split())
            journal.fail(what, f"{answer.status} {told} (token {seq})", is_broken)
            raise Failed
        return answer

    async def write(self, method, path, body=None, *, good, events=1):
        """A command. 202 without an outcome is accepted as well; then its outcome is waited for."""
        key = f"{self.name}-{next(self.keys)}"
        answer = await self.ask(method, path, body, good={*good, 202}, key=key)
        told, journal = answer.json, self.town.journal
        if answer.status >= 300:
            return answer
        journal.accept(f"{method} {path}", told, events=events, headers=answer.headers)
        if self.town.dice.random() < 0.1:
            again = await self.ask(method, path, body, good={*good, 202}, key=key)
            is_same = again.json.get("commandId") == told["commandId"] and again.json.get("id") == told["id"]
            if not is_same or again.headers.get("idempotency-replayed") != "true":
                journal.fail(f"{method} {path} again by {self.name}", f"another answer: {again.body[:300]}")
        if told.get("status") == "pending":
            journal.answers["pending at first"] += 1
            told |= await self.outcome(told["commandId"])
        answer.told = told
        self.has_token = bool(told.get("seq"))
        if not self.has_token:
            journal.fail(f"{method} {path} by {self.name}", f"done, and without the token to read it with: {told}")
        self.seq = max(self.seq, told.get("seq") or 0)
        return answer

    async def outcome(self, command):
        for _ in range(60):
            await asyncio.sleep(0.5)
            told = (await self.ask("GET", f"/v1/commands/{command}", good={200})).json
            # Its token may come a moment after its outcome.
            if told["status"] == "done" and told.get("seq"):
                return told
            if told["status"] != "pending":
                break
        self.town.journal.fail(f"command {command} of {self.name}", f"accepted, and then {told}")
        raise Failed

    async def read(self, path, holds, what):
        """Reads with the token of the own write, and has to find it. Without one nothing was promised."""
        if not self.has_token:
            return
        answer = await self.ask("GET", path, good={200}, seq=self.seq)
        if not holds(answer.json):
            why = f"{what} is not there at {self.seq}: {answer.body[:300]}"
            self.town.journal.fail(f"GET {path} by {self.name}", why)
            raise Failed

    async def sign_up(self):
        body = {"username": self.name, "password": PASSWORD, "nickname": self.name, "role": "author"}
        await self.write("POST", "/v1/auth/signup", body, good={201})
        self.town.journal.people.append(self)
        await self.log_in()
        self.id = (await self.ask("GET", "/v1/members/me", good={200})).json["memberId"]

    async def log_in(self):
        body = {"username": self.name, "password": PASSWORD}
        self.token = (await self.ask("POST", "/v1/auth/login", body, good={200})).json["accessToken"]
        self.since = time.monotonic()

    async def write_book(self):
        title, price = f"Book {self.nth}-{next(self.keys)}", self.town.dice.randrange(1000, 20000, 1000)
        body = {"title": title, "contents": f"What {title} tells.", "price": price}
        book = (await self.write("POST", "/v1/books", body, good={201}, events=None)).told["id"]
        self.town.journal.books[book] = self
        self.mine.append(book)
        await self.read(f"/v1/books/{book}", lambda told: told["title"] == title, title)
        mine = lambda told: any(one["bookId"] == book for one in told["items"])  # noqa: E731
        await self.read("/v1/me/books?limit=100", mine, title)
        self.town.market.append((book, self.nth, price))

    async def edit_book(self):
        if not self.mine:
            return await self.write_book()
        book, title = self.town.dice.choice(self.mine), f"Book {self.nth}-{next(self.keys)}, again"
        await self.write("PATCH", f"/v1/books/{book}", {"title": title}, good={200})
        await self.read(f"/v1/books/{book}", lambda told: told["title"] == title, title)

    async def draft(self):
        title = f"Tale {self.nth}-{next(self.keys)}"
        body = {"title": title, "synopsis": "Somebody goes away, and another one takes over.", "price": 5000}
        book = (await self.write("POST", "/v1/books", body, good={201}, events=None)).told["id"]
        self.town.journal.books[book] = self
        await self.write("POST", f"/v1/books/{book}/ai-draft", {}, good={202})
        self.town.readers.append((self, book, title))

    async def buy(self):
        others = [one for one in self.town.market if one[1] != self.nth and one[0] not in self.bought]
        if not others:
            return await self.write_book()
        book, _, price = self.town.dice.choice(others)
        self.bought.add(book)
        is_declined = self.town.dice.random() < 0.1
        body = {"bookId": book} | ({"card": DECLINED} if is_declined else {})
        await self.ask("GET", f"/v1/books/{book}/contents", good={402})
        answer = await self.write("POST", "/v1/purchases", body, good={201})
        purchase = answer.told["id"]
        self.town.journal.purchases[purchase] = {"by": self, "book": book, "price": price, "declined": is_declined}
        end = time.monotonic() + PURCHASE_WITHIN
        while (told := (await self.ask("GET", f"/v1/purchases/{purchase}", good={200})).json)["state"] == "PAYING":
            if time.monotonic() > end:
                self.town.journal.fail(f"purchase {purchase} of {self.name}", f"unpaid after {PURCHASE_WITHIN} s")
                raise Failed
            await asyncio.sleep(0.3)
        if is_declined:
            return
        await self.ask("GET", f"/v1/books/{book}/contents", good={200})
        await self.ask("POST", "/v1/purchases", {"bookId": book}, good={409}, key=f"{self.name}-{next(self.keys)}")
        if self.town.dice.random() < 0.6:
            await self.review(book)

    async def review(self, book):
        body = {"content": f"{self.name} read it.", "rating": self.town.dice.choice([3, 4.5, 5])}
        review = (await self.write("POST", f"/v1/books/{book}/reviews", body, good={201})).told["id"]
        self.town.journal.reviews[review] = {"by": self, "book": book}
        ids = lambda told: any(one["reviewId"] == review for one in told["items"])  # noqa: E731
        await self.read(f"/v1/books/{book}/reviews?limit=100", ids, "the review")

    async def look(self):
        await self.ask("GET", "/v1/books?limit=20", good={200})
        await self.ask("GET", "/v1/me/library", good={200}, seq=self.seq)

    async def act(self):
        ways = (self.write_book, self.edit_book, self.draft, self.buy, self.look)
        way = self.town.dice.choices(ways, (3, 2, 0.5, 4, 2))[0]
        if time.monotonic() - self.since > TOKEN_GOOD_FOR:
            await self.log_in()
        try:
            await way()
        except Failed:
            pass


async def visit(town):
    """One after the other: each signs up, does a few things, and goes."""
    while not town.leaving.is_set():
        person = Person(town)
        try:
            await person.sign_up()
        except Failed:
            continue
        for _ in range(VISIT):
            if town.leaving.is_set():
                break
            await person.act()
        person.connection.close()


async def reside(person):
    """Somebody who stays to the end."""
    while not person.town.leaving.is_set():
        await person.act()
