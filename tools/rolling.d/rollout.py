"""What is done to the installation while people use it: a rollout, scaling, and three ways to do it wrong.

A rollout goes as k3s/deploy does it: the gate with the new build, its streams, and then every process in turn,
surge 1 and unavailable 0. The new one runs and is ready before the old one is told anything. A gateway that is to go
gets no new requests from then on, goes on answering for the preStop pause, and only then gets its SIGTERM.
"""

import asyncio
import signal
import time

from common import say, until
from installation import GRACE, GROUPS, START

PRE_STOP = 5
MIN_READY = 5
SCALES = (1, 4, 1)


class Operator:
    def __init__(self, installation, journal, teller):
        self.site, self.journal, self.teller, self.steps = installation, journal, teller, []
        # Whether a gateway is to be replaced, which ends its live streams.
        self.expects_resume = False

    def now(self, what):
        self.journal.doing = what
        say(what)

    async def replace_gateway(self, slot, free):
        site, began = self.site, time.monotonic()
        old = site.gateways[slot]
        self.now(f"{old.name}: its successor starts")
        new = site.gateway(site.new, free)
        await until(f"{new.name} is ready", START, new.is_ready)
        await site.proxy.admit(free)
        await until("the proxy finds it well", 30, lambda: site.proxy.is_up(free))
        await asyncio.sleep(MIN_READY)
        ready = time.monotonic()
        self.now(f"{old.name} leaves, {new.name} is there")
        await site.proxy.leave(slot)
        await asyncio.sleep(PRE_STOP)
        told = time.monotonic()
        await site.end(old, GRACE["gateway"])
        await site.proxy.forget(slot)
        del site.gateways[slot]
        self.step(old, ready - began, time.monotonic() - told)

    async def replace_worker(self, group, old):
        site, began = self.site, time.monotonic()
        self.now(f"{old.name}: its successor starts")
        new = site.worker(site.new, group)
        await until(f"{new.name} is ready", START, new.is_ready)
        ready = time.monotonic()
        self.now(f"{old.name} leaves, {new.name} is there")
        await self.remove_worker(group, old, ready - began)

    async def remove_worker(self, group, old, start=None):
        began = time.monotonic()
        await self.site.end(old, GRACE["workers"])
        self.site.workers[group].remove(old)
        self.step(old, start, time.monotonic() - began)

    def step(self, old, start, end):
        """How long the successor took until it was there, if there is one, and how long the end took."""
        start = None if start is None else round(start, 1)
        self.steps.append({"process": old.name, "start_s": start, "end_s": round(end, 1), "exit": old.child.returncode})

    async def roll(self):
        """Every process, old to new."""
        self.expects_resume = True
        self.now("the gate: deploy-check and streams apply with the new build")
        await asyncio.to_thread(self.site.call, self.site.new, "deploy-check")
        await asyncio.to_thread(self.site.call, self.site.new, "streams", "apply")
        for slot, free in ((0, 2), (1, 0)):
            await self.replace_gateway(slot, free)
        for group in GROUPS:
            for old in list(self.site.workers[group]):
                await self.replace_worker(group, old)
        self.now("everything is replaced")

    async def scale(self, pause):
        """Each kind of workers to four and back to one, with some time at each size."""
        for size in SCALES:
            self.now(f"{size} of each kind of workers")
            added = [
                self.site.worker(self.site.new, group)
                for group in GROUPS for _ in range(size - len(self.site.workers[group]))
            ]
            for new in added:
                await until(f"{new.name} is ready", START, new.is_ready)
            leaving = [(group, old) for group in GROUPS for old in self.site.workers[group][size:]]
            await asyncio.gather(*(self.remove_worker(group, old) for group, old in leaving))
            await asyncio.sleep(pause)

    async def kill_gateway(self):
        """A gateway that dies with requests in its hands."""
        self.now("sabotage: SIGKILL for a gateway that has requests")
        await asyncio.sleep(3)
        self.site.gateways[1].signal(signal.SIGKILL)
        await asyncio.sleep(5)

    async def no_waiting(self):
        """A rollout by somebody who does not wait for readiness, and ends the old one at once."""
        self.now("sabotage: a gateway is replaced without waiting for anything")
        await asyncio.sleep(3)
        self.site.gateway(self.site.new, 2)
        await self.site.proxy.admit(2)
        for slot in (0, 1):
            self.site.gateways[slot].signal(signal.SIGTERM)
        await asyncio.sleep(8)

    async def kill_worker(self):
        """A worker that is killed in the middle of a story, which is then written by somebody else."""
        self.now("sabotage: SIGKILL for who writes stories, once somebody is in the middle of one")
        begun, finished = self.teller.begun, self.teller.finished
        await until("somebody writes a story", 60, lambda: begun.total() > finished.total())
        await asyncio.sleep(2)
        for process in self.site.workers["write-story"]:
            process.signal(signal.SIGKILL)
        self.site.workers["write-story"].clear()
        new = self.site.worker(self.site.new, "write-story")
        await until(f"{new.name} is ready", START, new.is_ready)
        await asyncio.sleep(8)


# What is done wrong, and what has to be found at least.
SABOTAGES = {
    "kill-gateway": (Operator.kill_gateway, {"broken_request", "exit"}),
    "no-waiting": (Operator.no_waiting, {"broken_request"}),
    "kill-worker": (Operator.kill_worker, {"story_calls", "exit"}),
}
