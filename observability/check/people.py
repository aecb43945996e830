"""People who use a Maru for a while, so that there is something to see: they sign up, write, draft, buy, give
back, review, look around, listen, and are refused. Everything goes through the API.
"""

import http.client
import itertools
import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

PASSWORD = "a long password"
GOOD_CARD, BAD_CARD = "4242 4242 4242 4242", "4000 0000 0000 0002"


class Refused(Exception):
    """An answer that was not wanted."""


class Person:
    """One person with a connection and, once logged in, a token."""

    def __init__(self, address):
        self.address = address
        self.http = None
        self.token = None
        self.seq = None

    def ask(self, method, path, body=None, wanted=(200, 201, 202, 204)):
        headers = {"idempotency-key": str(uuid.uuid4())}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if self.seq and method == "GET":
            headers["maru-min-seq"] = str(self.seq)
        if body is not None:
            headers["content-type"] = "application/json"
        self.http = self.http or http.client.HTTPConnection(self.address, timeout=30)
        try:
            self.http.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = self.http.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.http = None
            raise
        if answer.status not in wanted:
            raise Refused(f"{method} {path}: {answer.status} {text[:200]!r}")
        is_json = text and "json" in answer.headers.get("content-type", "")
        told = json.loads(text) if is_json else {}
        if isinstance(told, dict) and told.get("seq"):
            self.seq = told["seq"]
        return told

    def join(self, role):
        name = f"{role}-{uuid.uuid4().hex[:12]}"
        self.ask(
            "POST", "/v1/auth/signup", {"username": name, "password": PASSWORD, "nickname": "Mina", "role": role}
        )
        return self.log_in(name)

    def log_in(self, name, password=PASSWORD):
        self.token = self.ask("POST", "/v1/auth/login", {"username": name, "password": password})["accessToken"]
        return self

    def until(self, path, field, *values, patience=60):
        for _ in range(patience * 4):
            seen = self.ask("GET", path)
            if seen.get(field) in values:
                return seen
            time.sleep(0.25)
        raise Refused(f"{path}: {field} is {seen.get(field)}, not {values}")


def draft(author, **more):
    book = {"title": "The whale who collected stars", "synopsis": "A whale gathers stars that fell.", "price": 12000}
    return author.ask("POST", "/v1/books", {**book, **more})["id"]


def write_and_sell(address, stop):
    """An author writes book after book; a reader buys, reads, reviews and gives back every other one."""
    author, reader = Person(address).join("author"), Person(address).join("reader")
    for turn in itertools.count():
        if stop.is_set():
            return
        book = draft(author)
        author.ask("POST", f"/v1/books/{book}/ai-draft", {})
        author.ask("GET", f"/v1/books/{book}/story")
        author.until(f"/v1/books/{book}", "storyStatus", "READY")
        author.until(f"/v1/books/{book}", "imageStatus", "READY")
        author.ask("POST", f"/v1/books/{book}/ai-image", wanted=(202, 409))
        author.ask("POST", f"/v1/books/{book}/publish")
        reader.seq = author.seq
        reader.ask("GET", f"/v1/books/{book}/contents", wanted=(402,))
        declined = reader.ask("POST", "/v1/purchases", {"bookId": book, "card": BAD_CARD})["id"]
        reader.until(f"/v1/purchases/{declined}", "state", "REJECTED")
        bought = reader.ask("POST", "/v1/purchases", {"bookId": book, "card": GOOD_CARD})["id"]
        reader.until(f"/v1/purchases/{bought}", "state", "COMPLETED")
        reader.ask("POST", "/v1/purchases", {"bookId": book}, wanted=(409,))
        reader.ask("POST", f"/v1/books/{book}/reviews", {"content": "The star went home.", "rating": 4.5})
        author.ask("PATCH", f"/v1/books/{book}", {"title": "The whale and the star"})
        if turn % 2 == 0:
            reader.ask("POST", f"/v1/purchases/{bought}/refund")
            reader.until(f"/v1/purchases/{bought}", "state", "REFUNDED")
            author.ask("DELETE", f"/v1/books/{book}")


def look_around(address, stop):
    """Somebody who reads everything there is to read, and asks for what is not there."""
    person = Person(address).join("reader")
    pages = ["/v1/books?limit=5", "/v1/me/library", "/v1/payments", "/v1/members/me", "/v1/auth/me", "/v1/me/books"]
    while not stop.wait(1):
        for page in pages:
            person.ask("GET", page, wanted=(200, 403))
        person.ask("GET", f"/v1/books/{uuid.uuid4()}", wanted=(404,))
        person.ask("GET", "/nowhere", wanted=(404,))
        Person(address).ask("GET", "/v1/me/library", wanted=(401,))


def hurry(address, stop):
    """Somebody who asks too often, by eight connections at once."""
    token = Person(address).join("reader").token

    def insist(_):
        person = Person(address)
        person.token = token
        for _ in range(20):
            person.ask("GET", "/v1/auth/me", wanted=(200, 429))

    while not stop.wait(1):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(insist, range(8)))


def listen(address, stop):
    """Somebody who keeps a live stream open."""
    person = Person(address).join("reader")
    wire = http.client.HTTPConnection(address, timeout=5)
    wire.request("GET", "/v1/live", headers={"authorization": f"Bearer {person.token}"})
    answer = wire.getresponse()
    if answer.status != 200:
        raise Refused(f"GET /v1/live: {answer.status}")
    stop.wait()
    wire.close()


def bad_weather(address, stop):
    """An author of books that the provider breaks down at, or will not write."""
    author = Person(address).join("author")
    while not stop.is_set():
        for title in ("A storm", "A forbidden tale"):
            book = draft(author, title=title)
            author.ask("POST", f"/v1/books/{book}/ai-draft", {})
            author.until(f"/v1/books/{book}", "storyStatus", "FAILED")
        stop.wait(15)


def keep_house(address, stop, password):
    """An administrator gives somebody a budget for one story, so that the second one has to wait."""
    admin = Person(address).log_in("admin", password)
    author = Person(address).join("author")
    member = author.ask("GET", "/v1/members/me")["memberId"]
    admin.ask("PUT", "/v1/ops/budgets", {"kind": "write_story", "member": member, "runs": 1})
    for _ in range(2):
        author.ask("POST", f"/v1/books/{draft(author)}/ai-draft", {})
    while not stop.wait(2):
        for page in ("lanes", "views", "budgets", "dead-letters"):
            admin.ask("GET", f"/v1/ops/{page}")


class Crowd:
    """All of them at once; what goes wrong with one is kept."""

    def __init__(self, address, password):
        self.stop = threading.Event()
        self.troubles = []
        work = [write_and_sell, write_and_sell, look_around, hurry, listen, bad_weather]
        jobs = [(kind, (address, self.stop)) for kind in work]
        jobs.append((keep_house, (address, self.stop, password)))
        self.threads = [threading.Thread(target=self.live, args=job, daemon=True) for job in jobs]
        for thread in self.threads:
            thread.start()

    def live(self, kind, arguments):
        try:
            kind(*arguments)
        except (OSError, http.client.HTTPException, Refused, KeyError, ValueError) as trouble:
            self.troubles.append(f"{kind.__name__}: {trouble}")

    def leave(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
