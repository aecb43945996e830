"""What all parts use: how trouble is told, how is waited, where is listened."""

import asyncio
import socket
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
BEGAN = time.monotonic()


class Trouble(Exception):
    """Why nothing could be proven, in one sentence."""


def say(words):
    print(f"rolling {time.monotonic() - BEGAN:6.1f} s: {words}", file=sys.stderr, flush=True)


def ports():
    """Free ports above those that the system gives to outgoing connections, each once."""
    for port in range(61_000, 65_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        yield port
    raise Trouble("no port above 61000 is free")


async def until(what, within, look, every=0.1):
    """Waits until `look` answers with something true, and gives it."""
    end = time.monotonic() + within
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > end:
            raise Trouble(f"{what}: not within {within} s")
        await asyncio.sleep(every)
