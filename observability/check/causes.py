"""The alarm drill: trouble after trouble is caused on running installations, its alerts have to fire in a real
Prometheus, what their runbooks say is done, and the alerts have to end.

Prometheus has the committed rules in a hurry (scaled.py). Installations stand side by side, each a namespace; in each
the rounds follow one another, and the lines of a round run beside each other (plan.py). A critical alert that no
trouble of its installation explains at that moment is a complaint, and so is a runbook's command that does not work, or
that none of its queries shows anything while its alert fires.
"""

import os
import shutil
import signal
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from alarms import Alarms
from common import BIN, alerts, free_port
from course import TROUBLES, Course
from live import Process, Prometheus
from plan import WATCHED, is_wanted, selected
from scaled import all_rules, configuration
from sites import Targets, forget_settings
from trouble import wait_for
from uncaused import NOT_CAUSED
from weather import Sky

# What a start and an end look like to Prometheus.
COMES_AND_GOES = {"NothingWatched", "ProcessDown", "DoorClosed"}


class Drill:
    def __init__(self, folder, binary, names):
        self.folder, self.binary, self.names = folder, binary, names
        self.complaints, self.spans, self.sites = [], [], []
        self.lock, self.began = threading.Lock(), time.monotonic()

    def say(self, line):
        with self.lock:
            print(f"{time.monotonic() - self.began:5.0f} s  {line}", flush=True)

    def complain(self, text):
        self.complaints.append(text)
        self.say(f"FAILED {text}")

    def span(self, *what):
        """In which namespace from when to when which critical alerts are explained."""
        made = list(what)
        with self.lock:
            self.spans.append(made)
        return made

    def run(self):
        self.targets = Targets(self.folder / "targets")
        rules, config = self.folder / "rules.yml", self.folder / "prometheus.yml"
        rules.write_text(yaml.safe_dump(all_rules()))
        config.write_text(yaml.safe_dump(configuration(rules, self.targets.folder)))
        address = f"127.0.0.1:{free_port()}"
        self.scraping = Process(
            *(self.folder, "prometheus", BIN / "prometheus", f"--config.file={config}"),
            *(f"--web.listen-address={address}", f"--storage.tsdb.path={self.folder}/tsdb"),
        )
        try:
            self.scraping.wait_for(f"http://{address}/-/ready")
            self.prometheus = Prometheus(f"http://{address}")
            self.alarms = Alarms(self.prometheus)
            lingering = []
            # Nobody is watched yet: that is a trouble too.
            if is_wanted(WATCHED, self.names):
                Course(self, None, WATCHED).run(lingering)
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda one: self.site(*one), selected(self.names)))
            for thread in lingering:
                thread.join()
            if not self.alarms.fires("", "Watchdog", {}):
                self.complain("Watchdog does not fire, and it always does")
            self.alarms.close()
            self.unexplained()
        finally:
            self.scraping.stop()
        return self.complaints

    def site(self, kind, rounds):
        """All that is practised on one installation."""
        site = kind(self.folder / kind.NAME, self.binary, self.targets, Sky())
        self.sites.append(site)
        lingering, began = [], time.monotonic()
        starts = self.span(site.name, began, None, COMES_AND_GOES)
        try:
            site.begin()
            self.say(f"{site.name}: it runs, after {time.monotonic() - began:.0f} s")
            starts[2] = time.monotonic() + 10
            for lines in rounds:
                with ThreadPoolExecutor(len(lines)) as pool:
                    list(pool.map(lambda line: self.line(site, line, lingering), lines))
            for thread in lingering:
                thread.join()
            # It has to be seen before it goes, if that is all it was wanted for.
            wait_for("something is watched", 60, lambda: not self.alarms.fires("", "NothingWatched", {}))
        except TROUBLES as reason:
            self.complain(f"{site.name}: {reason}")
        finally:
            self.span(site.name, time.monotonic(), None, COMES_AND_GOES)
            self.targets.forget(site.name)
            site.close()

    def line(self, site, troubles, lingering):
        for trouble in troubles:
            Course(self, site, trouble).run(lingering)

    def unexplained(self):
        now = time.monotonic()
        for one in self.alarms.critical():
            explained = any(
                one.name in names
                and one.namespace in ("", namespace)
                and since <= (one.ended or now)
                and one.began <= (until or now)
                for namespace, since, until, names in self.spans
            )
            if not explained:
                when = f"{one.began - self.began:.0f} s"
                self.complain(f"{one.namespace}: {one.name} fired at {when}, and nothing explains it: {one.summary}")

    def abort(self, *_):
        """Somebody has enough of it: nothing stays behind."""
        for site in self.sites:
            site.kill()
        self.scraping.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        print("check-observability: stopped before it was done.", flush=True)
        os._exit(1)


def check(binary, names):
    if unknown := [name for name in names if name not in alerts()]:
        yield f"there is no alert {', '.join(unknown)}"
        return
    forget_settings()
    with tempfile.TemporaryDirectory(prefix="maru-drill-") as scratch:
        drill = Drill(Path(scratch), binary, names)
        for which in (signal.SIGTERM, signal.SIGINT):
            signal.signal(which, drill.abort)
        yield from drill.run()
    print("not caused here:")
    for name, reason in NOT_CAUSED.items():
        print(f"       {name}: {reason}")
