"""Troubles of `maru up`: lanes that operators and providers stop, and a nats-server that hangs."""

import os
import signal
import time

from people import Person, draft
from trouble import SETTLED, causes, follow, meanwhile, wait_for
from visitors import editor, wisher


@causes("LanePaused")
def a_lane_is_paused(site):
    follow(site, "LaneFails", "maru lanes pause NAME", NAME="conclude_replay")
    yield "`maru lanes pause conclude_replay`, and forgotten"
    follow(site, "LanePaused", "maru lanes resume NAME", NAME="conclude_replay")
    yield "`maru lanes resume conclude_replay`"


@causes("BudgetEmpty")
def a_budget_is_empty(site):
    author = Person(site.api).join("author")
    member = author.ask("GET", "/v1/members/me")["memberId"]
    follow(site, "LaneGrows", "maru budgets set write_story MEMBER 100", MEMBER=member, **{"100": 1})
    for _ in range(3):
        author.ask("POST", f"/v1/books/{draft(author)}/ai-draft", {})
    yield "a member has a budget for one story and wants three"
    follow(site, "BudgetEmpty", "maru budgets top-up write_story MEMBER 20", MEMBER=member)
    yield f"`maru budgets top-up write_story {member} 20`"


@causes(
    *("LaneFails", "DeadLetters"),
    where={"LaneFails": {"lane": "job-write_story"}, "DeadLetters": {"lane": "job-write_story"}},
)
def stories_fail_now_and_then(site):
    # The provider breaks down at every storm, and writes everything else.
    storms, whales = wisher(site.api, pause=2.5, title="A storm"), [wisher(site.api, pause=1) for _ in range(3)]
    with meanwhile(storms, *whales):
        yield "the provider answers 500 to some stories"
    follow(site, "LaneFails", "maru lanes pause NAME", NAME="write_story")
    follow(site, "LaneFails", "maru dead-letters list --lane LANE", LANE="job-write_story")
    site.provider.weather = "calm"
    follow(site, "LanePaused", "maru lanes resume NAME", NAME="write_story")
    follow(site, "DeadLetters", "maru dead-letters replay --lane LANE --dry-run", LANE="job-write_story")
    follow(site, "DeadLetters", "maru dead-letters replay --lane LANE --rate 2", LANE="job-write_story")
    yield "lane paused, provider mended, lane resumed, letters replayed"


@causes(
    *("BreakerOpen", "StoriesFail"),
    where={"BreakerOpen": {"lane": "job-write_story"}, "StoriesFail": {"what": "story"}},
)
def the_provider_is_down(site):
    site.provider.weather = "down"
    with meanwhile(*(wisher(site.api, pause=1) for _ in range(4))):
        yield "the provider answers 500 to everything"
        site.provider.weather = "well"
        yield "the provider mended, and nothing done in Maru"
        # The probe that closes the breaker, and what has waited.


@causes(
    *("StreamFrozen", "StreamingServerUnwell", "ErrorBudgetBurnsFast"),
    with_it=[
        "ContextUnusable",
        "PublishingFails",
        "HouseOutOfOrder",
        "OutboxStuck",
        "CommandsLate",
        "NoWorkers",
        "LaneDeaf",
    ],
    fires_within=300,
)
def nats_hangs(site):
    hanging = site.nats()
    with meanwhile(*(editor(site.api, 0.2) for _ in range(4))):
        time.sleep(SETTLED)
        os.kill(hanging, signal.SIGSTOP)
        yield "nats-server was stopped and answers nothing"
    os.kill(hanging, signal.SIGKILL)
    wait_for("maru up has started another nats-server", 60, lambda: site.nats() != hanging)
    yield "nats-server was ended with SIGKILL; `maru up` started it again"
