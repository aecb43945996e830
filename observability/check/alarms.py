"""Watches what fires in a running Prometheus, and remembers when."""

import threading
import time

CRITICAL = "critical"


class Episode:
    """An alert that fired, from when to when; still, if there is no end."""

    def __init__(self, alert, now):
        self.labels, self.summary = alert["labels"], alert["annotations"]["summary"].strip()
        self.name, self.namespace = self.labels["alertname"], self.labels.get("namespace", "")
        self.began, self.seen, self.ended = now, now, None

    def is_one_of(self, namespace, name, where):
        # What is true of all installations has none.
        return (
            self.name == name
            and self.namespace in (namespace, "")
            and all(self.labels.get(key) == value for key, value in where.items())
        )


class Alarms:
    def __init__(self, prometheus):
        self.prometheus, self.episodes = prometheus, []
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.firing = {}
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.stop.wait(0.5):
            try:
                told = self.prometheus.ask("alerts")["alerts"]
            except (OSError, ValueError):
                continue
            now = time.monotonic()
            with self.lock:
                fires = {tuple(sorted(one["labels"].items())): one for one in told if one["state"] == "firing"}
                for key in self.firing.keys() - fires.keys():
                    self.firing.pop(key).ended = now
                for key in fires.keys() - self.firing.keys():
                    self.firing[key] = Episode(fires[key], now)
                    self.episodes.append(self.firing[key])

    def first(self, namespace, name, where, since):
        """When it first fired after this moment."""
        with self.lock:
            began = [one.began for one in self.episodes if one.is_one_of(namespace, name, where) and one.began >= since]
        return min(began, default=None)

    def last(self, namespace, name, where):
        """When it last ended."""
        with self.lock:
            ended = [one.ended for one in self.episodes if one.is_one_of(namespace, name, where) and one.ended]
        return max(ended, default=0)

    def fires(self, namespace, name, where):
        with self.lock:
            return any(one.is_one_of(namespace, name, where) for one in self.firing.values())

    def critical(self):
        with self.lock:
            return [one for one in self.episodes if one.labels["severity"] == CRITICAL]

    def close(self):
        self.stop.set()
        self.thread.join(30)
