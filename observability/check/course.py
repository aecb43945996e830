"""The course of one trouble: it is caused, its alerts fire, its runbooks are looked at and followed, its alerts end."""

import http.client
import shlex
import subprocess
import threading
import time

from people import Refused
from sites import Failed
from trouble import looks, wait_for

# How long something else that fires may take to end before an alert is caused.
REST = 180
# What others felt of a trouble may fire a little later.
AFTER = 30
LONGEST_COMMAND = 120
TROUBLES = (
    *(Failed, Refused, OSError, http.client.HTTPException, subprocess.SubprocessError),
    *(KeyError, TypeError, ValueError, RuntimeError),
)


class Course:
    def __init__(self, drill, site, trouble):
        self.drill, self.site, self.trouble = drill, site, trouble
        self.namespace, self.names = site.name if site else "", ", ".join(trouble.alerts)
        self.fired = {}

    def complain(self, reason):
        kind = "" if isinstance(reason, str | Failed) else f"{type(reason).__name__}: "
        self.drill.complain(f"{self.namespace}: {self.names}: {kind}{reason}")

    def where(self, name):
        return self.namespace, name, self.trouble.where.get(name, {})

    def run(self, lingering):
        """All of it; the end of one that lingers goes on beside what comes next."""
        try:
            for name in self.trouble.alerts:
                self.rests(f"{name} rests before it is caused", name, REST)
        except Failed as reason:
            self.complain(reason)
            return
        self.began = time.monotonic()
        self.span = self.drill.span(self.namespace, self.began, None, {*self.trouble.alerts, *self.trouble.with_it})
        self.steps = self.trouble.run(self.site)
        try:
            self.caused = next(self.steps)
        except TROUBLES as reason:
            self.complain(reason)
            self.steps.close()
            self.span[2] = time.monotonic() + AFTER
            return
        self.caused_at = time.monotonic()
        self.drill.say(f"{self.namespace}: {self.names}: {self.caused}")
        for name in self.trouble.alerts:
            self.fires(name)
        if self.site:
            self.look()
        try:
            self.done = next(self.steps)
        except TROUBLES as reason:
            self.complain(reason)
            self.done = "nothing helped"
        self.helped = time.monotonic()
        if self.trouble.lingers:
            lingering.append(threading.Thread(target=self.end))
            lingering[-1].start()
        else:
            self.end()

    def rests(self, what, name, within):
        wait_for(what, within, lambda: not self.drill.alarms.fires(*self.where(name)))

    def fires(self, name):
        first = self.drill.alarms.first
        try:
            within = self.caused_at + self.trouble.fires_within - time.monotonic()
            at = wait_for(f"{name} fires", max(round(within), 1), lambda: first(*self.where(name), self.began))
            # Some fire while they are being caused.
            self.fired[name] = max(at - self.caused_at, 0)
        except Failed as reason:
            self.drill.complain(f"{self.namespace}: {self.caused}, and {reason}")

    def look(self):
        """Does what the runbooks say to look at, while it is there."""
        tried = {}
        for name in self.fired:
            commands, queries = looks(name)
            for command in commands:
                if command in tried:
                    continue
                try:
                    tried[command] = self.site.maru(*shlex.split(command)[1:], timeout=LONGEST_COMMAND)
                except subprocess.TimeoutExpired:
                    tried[command] = None
                    self.complain(f"{name}.md: `{command}` says nothing for {LONGEST_COMMAND} s")
                    continue
                # 1: it has found something.
                if tried[command].returncode not in (0, 1):
                    said = (tried[command].stdout + tried[command].stderr).strip()[-300:]
                    self.complain(f"{name}.md: `{command}` ended with {tried[command].returncode}: {said}")
            try:
                if queries and not any(self.drill.prometheus.now(query) for query in queries):
                    self.complain(f"{name}.md: none of its queries shows anything while it fires")
            except ValueError as reason:
                self.complain(f"{name}.md: {reason}")

    def end(self):
        for name, after in self.fired.items():
            told = f"{name}: {self.caused}; fired after {after:.0f} s; {self.done}"
            try:
                self.rests(f"{name} ends", name, self.trouble.ends_within)
                after = self.drill.alarms.last(*self.where(name)) - self.helped
                self.drill.say(f"ok     {told}; " + (f"ended after {after:.0f} s" if after > 0 else "ended by then"))
            except Failed as reason:
                self.drill.complain(f"{told}; {reason}")
        try:
            next(self.steps, None)
        except TROUBLES as reason:
            self.complain(f"afterwards: {reason}")
        self.span[2] = time.monotonic() + AFTER
