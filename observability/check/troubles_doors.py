"""Troubles of a split installation's doors: none is open, or one that is promises less, has too little room or too few
files.
"""

import http.client
import os
import resource

from trouble import causes, meanwhile
from visitors import reader


@causes("DoorClosed", with_it=["ProcessDown"])
def no_door_is_open(site):
    site.stop("gateway", watched=True)
    yield "the only gateway was ended"
    site.start("gateway")
    yield "`maru gateway`"


def second_door(site, *words, **env):
    site.role("door", "gateway", *words, job="maru-gateway", MARU_API=site.second, **env)
    site.start("door")


@causes("DurabilityNotAsPromised")
def a_door_promises_nothing(site):
    # Without the address of nats-server's monitoring it cannot know.
    second_door(site, NATS_MONITOR_URL="http://127.0.0.1:9")
    yield "a gateway with a wrong NATS_MONITOR_URL"
    site.stop("door")
    second_door(site)
    yield "restarted with the right one"
    site.stop("door")


@causes("DoorTurnsAway", with_it=["ErrorBudgetBurnsFast"])
def the_door_turns_away(site):
    second_door(site, "--requests-at-once", "1")
    crowd = [reader(site.second, pause=0.02) for _ in range(6)]
    with meanwhile(*crowd):
        yield "six people at a gateway that serves one request at once"
        site.stop("door")
        second_door(site)
        yield "restarted with room for 1024"
    site.stop("door")


@causes("FilesRunOut")
def files_run_out(site):
    second_door(site)
    people = [http.client.HTTPConnection(site.second, timeout=30) for _ in range(40)]
    for one in people:
        one.request("GET", "/livez")
        one.getresponse().read()
    pid = site.pid("door")
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    least = len(os.listdir(f"/proc/{pid}/fd")) * 8 // 7
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (least, most))
    yield f"a gateway with forty connections may open {least} files"
    site.stop("door")
    for one in people:
        one.close()
    second_door(site)
    yield "restarted with the limit as it was"
    site.stop("door")
