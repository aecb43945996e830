"""A provider whose weather can be chosen: `well`, `down` (every call is a 500), `waiting` (no story comes as long as it
is), or `calm` (well, and storms in titles are forgiven).
"""

import io
import time

from provider import Handler, Server


class Weather(Handler):
    def do_POST(self):
        sky, is_story = self.server, not self.path.endswith("/images/generations")
        sky.stories += is_story
        while is_story and sky.weather == "waiting":
            time.sleep(0.2)
        if sky.weather == "down":
            self.rfile.read(int(self.headers["content-length"]))
            self.answer(500, {"error": {"message": "down", "type": "server_error"}})
            return
        if sky.weather == "calm":
            body = self.rfile.read(int(self.headers["content-length"]))
            self.rfile = io.BytesIO(body.replace(b"storm", b"swarm"))
        super().do_POST()


class Sky(Server):
    def __init__(self):
        self.weather, self.stories = "well", 0
        super().__init__(Weather)
