"""Troubles of a split installation's workers: they are missing, die, are cut off or hear nothing."""

import signal
import time
import urllib.request

from common import run
from people import Person, draft
from sites import Failed
from trouble import causes, follow, meanwhile, says, typed, wait_for
from visitors import OK_OR_LATER, editor, wisher
from wire import Wire


@causes("NothingWatched", lingers=True)
def nobody_is_watched(_):
    yield "Prometheus was started with nothing among its targets"
    # The installations write themselves into these lists when they start, which is after this.
    yield "the installations were put into `targets/`"


@causes(
    *("NoWorkers", "CommandsLate", "LaneGrows", "ViewLags"),
    where={"NoWorkers": {"lane": "cmd-reviews"}, "LaneGrows": {"lane": "job-paint_image"}},
)
def workers_are_missing(site):
    missing = ("reviews", "images", "views")
    for role in missing:
        site.stop(role)
    with meanwhile(*(wisher(site.api, "ai-image", pause=0.6) for _ in range(4)), editor(site.api)):
        yield "no worker of reviews, paint_image and the views, and people go on asking"
    for role in missing:
        # The name behind the first dash.
        words = typed("NoWorkers", "maru workers --only NAME", NAME=site.WORKERS[role])
        site.role(role, *words, job="maru-workers", metrics=site.metrics(role))
        site.start(role)
    yield "`maru workers --only NAME` for each"


@causes("ContextUnusable", with_it=["NoWorkers", "CommandsLate"])
def a_context_is_unusable(site):
    wait_for("the lane hears a canary", 120, lambda: heard(site, "reviews"))
    site.stop("reviews")
    yield "no worker of reviews for minutes"
    site.start("reviews")
    yield "`maru workers --only reviews`"


@causes("LaneLate", with_it=["NoWorkers"], where={"LaneLate": {"lane": "job-cancel_charge"}})
def a_lane_is_late(site):
    site.stop("cancels")
    yield "no worker of cancel_charge, and nothing to do there but canaries"
    site.start("cancels")
    yield "`maru workers --only cancel_charge`"


def is_decided(author, book):
    return author.ask("GET", f"/v1/books/{book}", wanted=OK_OR_LATER).get("storyStatus") in ("READY", "FAILED")


@causes("RunsQuarantined", "ProcessDown", lingers=True, fires_within=300)
def a_run_ends_its_process(site):
    site.provider.weather = "waiting"
    author = Person(site.api).join("author")
    book = draft(author)
    begun = site.provider.stories
    author.ask("POST", f"/v1/books/{book}/ai-draft", {})

    def kill(stop):
        nth = begun
        while not stop.is_set():
            # It has begun to be written.
            while site.provider.stories == nth and not stop.wait(0.2):
                pass
            if stop.wait(1):
                return
            nth = site.provider.stories
            site.stop("stories", signal.SIGKILL, watched=True)
            if stop.wait(6):
                break
            site.start("stories")

    with meanwhile(kill):
        yield "its worker was killed as often as it began to write one book"
    site.provider.weather = "well"
    if "stories" not in site.running:
        site.start("stories")
    author.seq = None
    wait_for("the book is written", 240, lambda: is_decided(author, book))
    follow(site, "RunsQuarantined", "maru dead-letters list --reason ended_its_process")
    yield "nobody kills it any more: the book is written"


@causes("ProcessRestarts", with_it=["ProcessDown"], lingers=True)
def a_process_restarts(site):
    for _ in range(3):
        # Long enough to be scraped.
        time.sleep(4)
        site.stop("flows", signal.SIGKILL, watched=True)
        site.start("flows")
    yield "the worker of the flows was killed three times and started again"
    yield "let run"


@causes("ConnectionFlaps")
def a_connection_flaps(site):
    wire = Wire(site.nats_port)
    url = f"nats://127.0.0.1:{wire.port}"
    site.role("far", "workers", "--only", "refund", job="maru-workers", NATS_URL=url)
    site.start("far")

    def cut(stop):
        while not stop.wait(1):
            wire.cut()

    with meanwhile(cut):
        yield "a worker behind a network that breaks off each second"
    yield "the network mended"
    site.stop("far")
    wire.close()


@causes(
    *("LaneDeaf", "LaneSilent"),
    with_it=["NoWorkers", "ProcessDown"],
    fires_within=480,
    where={"LaneDeaf": {"lane": "job-refund"}, "LaneSilent": {"lane": "job-refund"}},
)
def a_lane_is_deaf(site):
    wire = Wire(site.nats_port)
    site.stop("refunds")
    url = f"nats://127.0.0.1:{wire.port}"
    site.role("deaf", "workers", "--only", "refund", job="maru-workers", NATS_URL=url)
    site.start("deaf")
    # One that has never heard a canary is not known to have become silent.
    wait_for("the lane hears a canary", 120, lambda: heard(site, "deaf"))
    wire.lost = r"CONSUMER\.MSG\.NEXT\.JOBS\.job-refund"
    yield "what the worker of refund asks for gets lost on its way to nats-server"
    says("LaneDeaf", "of the worker's metrics port: 503 names the lane")
    if "job-refund" not in (told := run("curl", "-si", f"http://{site.metrics('deaf')}/livez").stdout):
        raise Failed(f"/livez does not name the lane: {told}")
    site.stop("deaf")
    wire.close()
    site.start("refunds")
    yield "that worker restarted, by another way"


def heard(site, role):
    page = urllib.request.urlopen(f"http://{site.metrics(role)}/metrics", timeout=5).read().decode()
    return "maru_lane_canary_timestamp_seconds" in page
