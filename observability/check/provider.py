"""An OpenAI-compatible provider of our own, so that tokens, failures and dead letters can be seen too.

A story with "storm" in its title breaks the provider down, one with "forbidden" is refused; everything else is
written, and everything painted, with the tokens counted as a real one counts them.
"""

import base64
import http.server
import json
import struct
import threading
import time
import zlib


def png():
    """One white dot."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\x00\xff\xff\xff")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = json.dumps(asked)
        if self.path.endswith("/images/generations"):
            usage = {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106}
            image = {"b64_json": base64.b64encode(png()).decode()}
            self.answer(200, {"created": 1, "data": [image], "usage": usage})
        elif "storm" in text:
            self.answer(500, {"error": {"message": "down", "type": "server_error"}})
        elif "forbidden" in text:
            self.answer(400, {"error": {"message": "no", "type": "invalid_request_error"}})
        else:
            self.story(asked["model"])

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def story(self, model):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for words in [
            "A small whale ",
            "swam up every night ",
            "to gather the stars ",
            "that fell into the sea. ",
        ] * 3:
            self.say({"model": model, "choices": [{"index": 0, "delta": {"content": words}, "finish_reason": None}]})
            time.sleep(0.01)
        self.say({"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": 120, "completion_tokens": 60, "total_tokens": 180}
        self.say({"model": model, "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def say(self, chunk):
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Serves until the process ends."""

    daemon_threads = True

    def __init__(self, handler=Handler):
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_):
        """Whoever hangs up in the middle of a story has a reason."""
