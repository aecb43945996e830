"""A slow OpenAI-compatible server, so that there are stories that somebody is in the middle of at every restart.

The same title gives the same story. It counts what was asked, because a story that is paid for twice is a doubled
effect that no table of ours would show.
"""

import asyncio
import base64
import collections
import json
import re
import struct
import zlib

from common import HOST

# Some eight seconds: shorter than the twenty that a drain gives to what runs.
SENTENCES = 80
EVERY = 0.1


def story(title):
    return " ".join(f"{title} goes on, {nth}." for nth in range(SENTENCES)) + " The end."


def picture():
    """The smallest PNG."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


class Storyteller:
    def __init__(self, port):
        self.port = port
        self.begun, self.continued, self.finished = (collections.Counter() for _ in range(3))
        self.painted = collections.Counter()

    async def start(self):
        self.server = await asyncio.start_server(self.answer, HOST, self.port)

    async def answer(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: (\d+)", head)
                asked = json.loads(await reader.readexactly(int(length[1])))
                if b"/images/" in head.split(b"\r\n", 1)[0]:
                    await self.paint(asked, writer)
                else:
                    await self.write(asked, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def paint(self, asked, writer):
        self.painted[re.search(r'book is called "(.*?)"', asked["prompt"])[1]] += 1
        await asyncio.sleep(1)
        body = json.dumps({"data": [{"b64_json": base64.b64encode(picture()).decode()}]}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    async def write(self, asked, writer):
        messages = asked["messages"]
        title = re.search(r"Title: (.*)", messages[1]["content"])[1]
        told = next((message["content"] for message in messages if message["role"] == "assistant"), "")
        (self.continued if told else self.begun)[title] += 1
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for words in re.findall(r"[^.]*\.", story(title)[len(told):]):
            self.chunk(writer, {"content": words}, None)
            await writer.drain()
            await asyncio.sleep(EVERY)
        self.chunk(writer, {}, "stop")
        data = b"data: [DONE]\n\n"
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
        await writer.drain()
        self.finished[title] += 1

    @staticmethod
    def chunk(writer, delta, reason):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        data = b"data: %s\n\n" % json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode()
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
