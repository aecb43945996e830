"""Which trouble is caused where and when: for each installation its rounds, one after the other; in each the lines that
run beside each other; in each the troubles, one after the other.
"""

import troubles_data as data
import troubles_disk as disk
import troubles_doors as doors
import troubles_servers as servers
import troubles_single as single
import troubles_workers as workers
from installations import Single, Small, Split

# Before any installation is there.
WATCHED = workers.nobody_is_watched
PLAN = {
    Split: [
        [
            [workers.a_lane_is_deaf],
            [workers.workers_are_missing, workers.a_context_is_unusable],
            [workers.a_run_ends_its_process],
            [workers.a_process_restarts, workers.a_lane_is_late],
            [doors.a_door_promises_nothing, doors.the_door_turns_away, doors.files_run_out],
            [data.money_does_not_add_up, data.a_tick_fails],
        ],
        [
            [
                # Its window is two minutes, whatever comes next.
                servers.the_database_is_away,
                data.the_door_answers_500,
                doors.no_door_is_open,
                workers.a_connection_flaps,
                data.a_refund_is_given_up,
                servers.the_database_is_slow,
                servers.a_stream_is_full,
                data.a_view_waits,
            ]
        ],
    ],
    Single: [
        [
            [single.a_lane_is_paused],
            [single.a_budget_is_empty, single.the_provider_is_down, single.stories_fail_now_and_then],
        ],
        [[single.nats_hangs]],
    ],
    Small: [[[disk.errors_trickle, disk.the_disk_fills, disk.an_unclean_start, disk.healing_is_incomplete]]],
}


def troubles():
    yield WATCHED
    for rounds in PLAN.values():
        for lines in rounds:
            for line in lines:
                yield from line


def is_wanted(trouble, names):
    return not names or bool(set(trouble.alerts) & set(names))


def selected(names):
    """The installations that are needed, each with what is left of its rounds."""
    found = []
    for kind, rounds in PLAN.items():
        left = [[[one for one in line if is_wanted(one, names)] for line in lines] for lines in rounds]
        left = [[line for line in lines if line] for lines in left]
        left = [lines for lines in left if lines]
        if left:
            found.append((kind, left))
    # What is true of all installations needs one.
    return found or [(Single, [])]
