"""What lies between Maru and nats-server: a wire that can be cut, or loses what a worker asks, and a way to ask
nats-server something by hand.
"""

import contextlib
import json
import re
import socket
import threading

END = b"\r\n"


class Wire:
    """A port that leads to another one. `lost`: a pattern of subjects; what is published there gets lost on its way."""

    def __init__(self, port):
        self.there, self.lost, self.open = port, None, set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(("127.0.0.1", self.there))
            except OSError:
                here.close()
                continue
            self.open |= {here, there}
            threading.Thread(target=self.ask, args=(here, there), daemon=True).start()
            threading.Thread(target=self.answer, args=(there, here), daemon=True).start()

    def cut(self):
        """Whoever is connected is not any more."""
        for one in list(self.open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            self.open.discard(one)

    def answer(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        self.end(source, sink)

    def ask(self, source, sink):
        """Towards nats-server, message by message."""
        kept = b""
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                kept += data
                while (at := kept.find(END)) >= 0:
                    line = kept[:at]
                    size = int(line.split()[-1]) + 2 if line.upper().startswith((b"PUB ", b"HPUB ")) else 0
                    whole = at + 2 + size
                    if len(kept) < whole:
                        break
                    if not (size and self.lost and re.search(self.lost, line.split()[1].decode())):
                        sink.sendall(kept[:whole])
                    kept = kept[whole:]
        self.end(source, sink)

    def end(self, *ends):
        for one in ends:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            self.open.discard(one)

    def close(self):
        self.listener.close()
        self.cut()


def ask(port, subject, body):
    """One question to nats-server in its own words, and the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        text = json.dumps(body).encode()
        told = wire.makefile("rb")
        told.readline()
        wire.sendall(
            b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB drill.answer 1\r\n'
            + f"PUB {subject} drill.answer {len(text)}\r\n".encode()
            + text
            + END
        )
        while line := told.readline():
            if line.startswith(b"PING"):
                wire.sendall(b"PONG\r\n")
            elif line.startswith(b"MSG"):
                return json.loads(told.read(int(line.split()[-1])))
            elif line.startswith(b"-ERR"):
                raise OSError(line.decode())
    raise OSError(f"nats-server did not answer {subject}")
