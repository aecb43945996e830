"""HTTP/1.1 as a strict client speaks it: nothing is sent twice, and whatever breaks is told.

The clients of the usual libraries send some requests again by themselves when a connection turns out to be
closed. Here that would hide what is looked for, so this one does everything by hand.
"""

import asyncio
import json

from common import HOST

LONGEST = 60


class Broken(Exception):
    """An exchange without a whole answer."""


class Answer:
    def __init__(self, status, headers, body=b""):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


class Connection:
    """One connection, kept open from request to request as browsers do."""

    def __init__(self, port):
        self.port = port
        self.reader = self.writer = None

    async def send(self, method, path, headers=None, body=None):
        """Sends a request and reads status and headers."""
        try:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection(HOST, self.port, limit=1 << 20)
            lines = [f"{method} {path} HTTP/1.1", f"host: {HOST}:{self.port}"]
            lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
            data = b"" if body is None else body
            if body is not None and not isinstance(body, bytes):
                data = json.dumps(body).encode()
                lines.append("content-type: application/json")
            if method != "GET":
                lines.append(f"content-length: {len(data)}")
            self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + data)
            await self.writer.drain()
            first = await self.line()
            told = {}
            while line := await self.line():
                name, _, value = line.partition(":")
                told[name.strip().lower()] = value.strip()
            return Answer(int(first.split()[1]), told)
        except (OSError, ValueError, IndexError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Broken(f"{type(error).__name__}: {error}") from None

    async def line(self):
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise asyncio.IncompleteReadError(line, None)
        return line.decode("latin-1").rstrip("\r\n")

    async def pieces(self, answer):
        """The body as it comes. A body that ends without its end is broken."""
        try:
            if "content-length" in answer.headers:
                yield await self.reader.readexactly(int(answer.headers["content-length"]))
            elif answer.headers.get("transfer-encoding") == "chunked":
                while size := int(await self.line(), 16):
                    yield await self.reader.readexactly(size)
                    await self.line()
                await self.line()
            elif answer.status not in (204, 304):
                raise Broken("an answer that does not say how long it is")
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Broken(f"in the middle of the answer: {type(error).__name__}: {error}") from None

    async def ask(self, method, path, headers=None, body=None):
        """A whole exchange."""

        async def whole():
            answer = await self.send(method, path, headers, body)
            answer.body = b"".join([piece async for piece in self.pieces(answer)])
            if answer.headers.get("connection", "").lower() == "close":
                self.close()
            return answer

        try:
            return await asyncio.wait_for(whole(), LONGEST)
        except TimeoutError:
            self.close()
            raise Broken(f"no answer within {LONGEST} s") from None

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


async def once(port, method, path, headers=None, body=None):
    """One exchange on a connection of its own; none if it broke."""
    connection = Connection(port)
    try:
        return await asyncio.wait_for(connection.ask(method, path, headers, body), 10)
    except (Broken, TimeoutError):
        return None
    finally:
        connection.close()


async def events(connection, answer):
    """Server-sent events of a stream: id, event, data."""
    fields, rest = {}, b""
    async for piece in connection.pieces(answer):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            line = line.decode()
            if not line:
                if "event" in fields or "data" in fields:
                    yield fields
                fields = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
