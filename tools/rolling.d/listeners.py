"""Who listens: to what happens to the own things (/v1/live), and to a story while it is written.

A stream that ends as it should, with the end of its answer, is gone on with from the last id, as a browser does. One
that breaks off, and one that cannot be opened, is a failed request.
"""

import asyncio
import json
import time

import people
from client import Broken, Connection, events

STORY_WITHIN = 120


class Listener:
    """Follows a stream of server-sent events over as many connections as it takes."""

    def __init__(self, person, path):
        self.person, self.path = person, path
        self.last, self.opened, self.retry, self.is_done = None, 0, 2.0, False

    def take(self, event):
        """What an event brings; True if it was the last one."""
        raise NotImplementedError

    async def follow(self):
        while not self.is_done:
            connection = Connection(self.person.town.port)
            try:
                await self.listen(connection)
            except Broken as broken:
                self.person.town.journal.statuses["broken"] += 1
                self.failed("broken", str(broken), is_broken=True)
            finally:
                connection.close()
            if not self.is_done:
                await asyncio.sleep(self.retry)

    async def listen(self, connection):
        if time.monotonic() - self.person.since > people.TOKEN_GOOD_FOR:
            await self.person.log_in()
        began, headers = time.monotonic(), self.person.headers()
        if self.last is not None:
            headers["last-event-id"] = self.last
        answer = await asyncio.wait_for(connection.send("GET", self.path, headers), 60)
        self.person.town.journal.answered(answer.status, began)
        if answer.status != 200:
            by = "Maru" if "json" in answer.headers.get("content-type", "") else "the proxy"
            self.failed(f"answered {answer.status}", f"by {by}", is_broken=by != "Maru")
            return
        self.opened += 1
        async for event in events(connection, answer):
            if event.get("event") == "hello":
                self.retry = int(event.get("retry", 2000)) / 1000
            if self.take(event):
                self.is_done = True
                return
            self.last = event.get("id", self.last)

    def failed(self, what, why, is_broken):
        self.person.town.journal.fail(f"GET {self.path} by {self.person.name}", f"{what}: {why}", is_broken)


class Live(Listener):
    """Everything that happens to what is one's own, in order: the sequences of the events."""

    def __init__(self, person):
        super().__init__(person, "/v1/live")
        self.since, self.seen = None, []

    def take(self, event):
        if event["event"] == "hello":
            if self.since is None:
                self.since = int(event["id"])
        else:
            self.seen.append(int(event["id"]))
        return False


class Story(Listener):
    """A story from its first words to its end."""

    def __init__(self, person, book, title):
        super().__init__(person, f"/v1/books/{book}/story")
        self.book, self.title, self.text = book, title, ""
        self.restarts, self.end, self.wrong = 0, None, []

    def take(self, event):
        kind, data = event["event"], json.loads(event.get("data", "{}"))
        if kind == "text":
            self.text += data["text"]
        elif kind == "restart":
            self.text, self.restarts = "", self.restarts + 1
        elif kind != "hello":
            self.end = kind
        characters = int(event["id"].split("-")[0])
        if characters != len(self.text):
            self.wrong.append(f"{kind} at {characters} with {len(self.text)} characters read")
        return self.end is not None

    async def read(self):
        try:
            await asyncio.wait_for(self.follow(), STORY_WITHIN)
        except TimeoutError:
            self.end = self.end or f"none within {STORY_WITHIN} s"
        except people.Failed:
            self.end = self.end or "a failed request"


async def read_stories(town):
    """Opens a listener for each story that is asked for, and waits for all of them."""
    running, taken = [], 0
    while not town.leaving.is_set() or taken < len(town.readers):
        while taken < len(town.readers):
            story = Story(*town.readers[taken])
            town.journal.stories.append(story)
            running.append(asyncio.create_task(story.read()))
            taken += 1
        await asyncio.sleep(0.05)
    await asyncio.gather(*running)
