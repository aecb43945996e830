"""What the installation says it did, read from its nats-server and its database without any of Maru's code."""

import asyncio
import base64
import json

import client
from common import HOST, Trouble, until

CONTEXTS = ("members", "books", "payments", "purchases", "reviews")
BATCH = 2000
QUIET_WITHIN = 180
LOOKS = 6


class Nats:
    """As much of the protocol as reading takes."""

    def __init__(self, port):
        self.port, self.count = port, 0

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(HOST, self.port, limit=16 << 20)
        await self.reader.readline()
        options = {"verbose": False, "headers": True, "no_responders": True, "lang": "python", "version": "0"}
        self.writer.write(b"CONNECT %s\r\nSUB rolling.reply.> 1\r\n" % json.dumps(options).encode())

    async def ask(self, subject, payload):
        self.count += 1
        data, reply = json.dumps(payload).encode(), f"rolling.reply.{self.count}"
        self.writer.write(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")
        return reply

    async def message(self, reply):
        """The next message to this reply: headers and body."""
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 30)).decode().split()
            if not line:
                raise Trouble("nats-server closed the connection")
            if line[0] == "PING":
                self.writer.write(b"PONG\r\n")
            if line[0] not in ("MSG", "HMSG"):
                continue
            whole = (await self.reader.readexactly(int(line[-1]) + 2))[:-2]
            split = int(line[-2]) if line[0] == "HMSG" else 0
            if line[1] != reply:
                continue
            status, *lines = whole[:split].decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if ": " in line)
            return status.partition(" ")[2], headers, whole[split:]

    async def api(self, name, payload):
        _, _, body = await self.message(await self.ask(f"$JS.API.{name}", payload))
        return json.loads(body)

    async def messages(self, stream):
        """Every message of a stream in order: sequence, subject, headers."""
        found, begin = [], 1
        while True:
            request = {"seq": begin, "batch": BATCH, "next_by_subj": ">"}
            reply, before = await self.ask(f"$JS.API.DIRECT.GET.{stream}", request), len(found)
            while True:
                status, headers, _ = await self.message(reply)
                if status:
                    break
                found.append((int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers))
            if len(found) == before:
                if not status.startswith(("204", "404")):
                    raise Trouble(f"{stream} cannot be read: {status}")
                return found
            begin = found[-1][0] + 1

    async def left(self):
        """What lanes and views have not settled yet."""
        left = {}
        for stream in ("COMMANDS", "JOBS", "EVENTS"):
            listed = await self.api(f"CONSUMER.LIST.{stream}", {"offset": 0})
            for consumer in listed["consumers"]:
                waits = consumer["num_pending"] + consumer["num_ack_pending"]
                # One without a durable name is somebody's who watches.
                if waits and consumer["config"].get("durable_name"):
                    left[consumer["name"]] = waits
        return left


class Database:
    def __init__(self, port, user, password):
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.port = port
        self.headers = {"authorization": f"Basic {token}", "surreal-ns": "maru", "surreal-db": "maru",
                        "accept": "application/json", "content-type": "text/plain"}

    async def select(self, form, table):
        connection = client.Connection(self.port)
        answer = await connection.ask("POST", "/sql", self.headers, f"SELECT VALUE {form} FROM {table};".encode())
        connection.close()
        told = answer.json
        if answer.status != 200 or told[0]["status"] != "OK":
            raise Trouble(f"{table} cannot be read: {answer.status} {answer.body[:300]}")
        return told[0]["result"]


async def quiet(nats, database):
    """Waits until there is nothing left to do, six looks in a row."""
    calm = 0

    async def look():
        nonlocal calm
        is_calm = not await nats.left() and not await database.select("id", "outbox")
        calm = calm + 1 if is_calm else 0
        return calm >= LOOKS

    try:
        await until("nothing is left to do", QUIET_WITHIN, look, 0.5)
    except Trouble:
        return await nats.left()
    return {}


async def read(nats, database):
    """Everything that is judged, as plain lists."""
    commands, events = await nats.messages("COMMANDS"), await nats.messages("EVENTS")
    states = [
        {"context": context, **row}
        for context in CONTEXTS
        for row in await database.select("{key: record::id(id), version: version}", context)
    ]
    return {
        "commands": [
            (subject.split(".")[-1], headers["ce-type"])
            for _, subject, headers in commands
            if subject.startswith("cmd.") and subject.split(".")[2] != "canary"
        ],
        "events": [
            {
                "seq": seq, "id": headers["ce-id"], "context": subject.split(".")[1], "kind": subject.split(".")[2],
                "aggregate": subject.split(".")[-1], "version": int(headers["maru-version"]),
                "owner": headers.get("maru-owner"), "command": headers.get("maru-causation"),
            }
            for seq, subject, headers in events
            if "maru-version" in headers
        ],
        "dead": [subject for _, subject, _ in await nats.messages("DEAD") if subject.startswith("dead.")],
        "inbox": await database.select("{key: record::id(id), outcome: outcome}", "inbox"),
        "log": await database.select("{key: record::id(id), command: command}", "event"),
        "outbox": await database.select("record::id(id)", "outbox"),
        "states": states,
        "payments": await database.select("state.payment", "purchases"),
        "bank": await database.select("{key: record::id(id), amount: doc.amount, log: doc.log}", "sandbox_charge"),
    }
