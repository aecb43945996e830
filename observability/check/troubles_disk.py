"""Troubles of `maru up` on a small disk of its own: it fills, Maru is killed, its database loses something, and its
promises are kept only nearly."""

import os
import shutil
import signal
import time

from common import free_port
from live import Process
from people import Person, draft
from sites import Failed
from trouble import SETTLED, causes, follow, meanwhile, says, wait_for
from visitors import editor
from wire import ask

GIB = 1 << 30
# What a nats-server that hangs may do beside.
HANGS = ("StreamingServerUnwell", "PublishingFails", "HouseOutOfOrder", "OutboxStuck")


@causes("ErrorBudgetBurnsSlowly", with_it=["ErrorBudgetBurnsFast", *HANGS], lingers=True, ends_within=1000)
def errors_trickle(site):
    hanging = site.nats()
    # Ten errors that are counted, and the first of each kind is not.
    with meanwhile(*(editor(site.api, 0.2) for _ in range(8))):
        time.sleep(SETTLED)
        os.kill(hanging, signal.SIGSTOP)
        time.sleep(20)
        os.kill(hanging, signal.SIGCONT)
        time.sleep(SETTLED)
    yield "nats-server was stopped for 20 s while people went on"
    says("ErrorBudgetBurnsSlowly", "hours without new errors have gone by")
    yield "nothing but hours without new errors"


@causes("DiskFills", "DiskFull", ends_within=300)
def the_disk_fills(site):
    if site.unmounted:
        raise Failed(f"a small disk could not be mounted: {site.unmounted}")
    log = site.disk / "somebody.log"
    free = os.statvfs(site.disk)
    free = free.f_bavail * free.f_frsize
    with open(log, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - GIB // 4)
    yield "somebody's log took all but 256 MiB of the disk"
    log.unlink()
    follow(site, "DiskFull", "maru clock run janitor")
    yield "the log deleted, `maru clock run janitor`"


@causes("UncleanStart", with_it=["ProcessDown", "DoorClosed"])
def an_unclean_start(site):
    Person(site.api).join("author")
    site.stop("up", signal.SIGKILL, watched=True)
    site.start("up")
    yield "`maru up` was killed and started again"
    site.maru("doctor")
    yield "`maru doctor`"


@causes("HealIncomplete", with_it=["ProcessDown", "DoorClosed"])
def healing_is_incomplete(site):
    book = draft(Person(site.api).join("author"), contents="Once.")
    told = ask(site.nats_port(), "$JS.API.STREAM.PURGE.COMMANDS", {})
    if "error" in told:
        raise Failed(f"COMMANDS could not be emptied: {told['error']}")
    site.stop("up", signal.SIGKILL, watched=True)
    # Somebody has a copy that is newer than what is lost.
    copy = site.folder / "copy"
    shutil.copytree(site.data / "db", copy)
    lose(site, book)
    refused = site.start("up", ready=False)
    wait_for("maru up refuses to start", 120, lambda: refused.process.poll() is not None)
    site.role("unhealed", *site.roles["up"][0], "--unhealed", job="maru", metrics=site.metrics("up"))
    site.start("unhealed")
    yield "the database lost a book whose commands are gone from COMMANDS, and `maru up --unhealed`"
    site.stop("unhealed", watched=True)
    shutil.rmtree(site.data / "db")
    shutil.copytree(copy, site.data / "db")
    site.start("up")
    follow(site, "HealIncomplete", "maru heal --dry-run")
    yield "Maru stopped, a newer copy of the database put back, started"


def lose(site, book):
    """What only a crash does: takes a book out of the database of a Maru that does not run."""
    where = f"127.0.0.1:{free_port()}"
    env = {"MARU_DB_USER": "drill", "MARU_DB_PASSWORD": site.password}
    server = Process(site.folder, "by-hand", site.binary, "database", "--data", site.data, "--bind", where, **env)
    site.every.append(server)
    server.wait_for(f"http://{where}/health")
    site.database = f"http://{where}"
    site.sql(f"DELETE event:['books', '{book}', NONE]..['books', '{book}', ..]")
    site.sql(f"DELETE books:['{book}']; DELETE inbox WHERE outcome.subject = '{book}'")
    server.stop()
