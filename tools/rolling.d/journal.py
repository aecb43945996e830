"""What people were told: the only witness that the installation is held against."""

import collections
import time

from common import BEGAN


class Journal:
    def __init__(self):
        self.statuses = collections.Counter()
        self.slowest, self.took = 0.0, []
        self.failed = []
        # What happens to the installation right now, for whoever reads about a failed request.
        self.doing = "starting"
        # Accepted commands: id -> what, subject, version, and how many events it makes.
        self.accepted = {}
        self.people, self.purchases, self.reviews, self.books, self.stories = [], {}, {}, {}, []
        self.answers = collections.Counter()
        self.began = time.monotonic()

    @property
    def requests(self):
        return sum(self.statuses.values())

    def answered(self, status, began):
        self.statuses[status] += 1
        took = time.monotonic() - began
        self.took.append(took)

    def fail(self, what, why, is_broken=False):
        """A request that was not answered as it should be; broken, if Maru did not answer it at all."""
        at, code = round(time.monotonic() - BEGAN, 2), "broken_request" if is_broken else "failed_request"
        self.failed.append({"code": code, "at_s": at, "request": what, "why": why, "while": self.doing})

    def accept(self, what, told, *, events, headers):
        """A 2xx to a command, which must be finished now and once."""
        tag = headers.get("etag", "").strip('"')
        first = self.accepted.setdefault(
            told["commandId"],
            {"what": what, "subject": told["id"], "version": int(tag) if tag else None, "events": events},
        )
        return first["subject"] == told["id"]

    def percentile(self, share):
        took = sorted(self.took)
        return round(took[min(len(took) - 1, int(len(took) * share))], 3) if took else None
