"""Lanes: what waits, what runs, what fails, what was given up."""

from kit import GREEN, RED, YELLOW, board, graph, number, quantile, row

READ = """
A lane is a durable consumer: `cmd-…` decides commands, `job-…` asks the outside, `flow-…` follows events; `late-…`
is the back of a lane whose members take turns, `redo-…` brings replayed letters. **Verdicts**: `done` and
`already` are well, `snooze` and `hold` wait by policy, `later` is the house out of order, `retry` is tried again,
`poison` can never work. Waiting that grows while a run takes as long as ever: too few workers. Waiting that grows
while nothing is done: none. `docs/operating/status.md` says what to do about each.
"""

LANE = 'lane=~"$lane"'
MINE = "{$mine," + LANE + "}"
HERE = "{$here," + LANE + "}"

BOARD = board(
    "lanes",
    "Lanes",
    "Durable work: what waits, what runs, what fails, what was given up.",
    READ,
    number(
        "Waiting",
        "Messages that were not delivered yet.",
        "short",
        f"sum(lane:pending_messages:max{HERE})",
        (GREEN, (100, YELLOW), (10000, RED)),
        alert="LaneGrows",
    ),
    number(
        "Oldest",
        "Age of the oldest message that is not settled.",
        "s",
        f"max(lane:oldest_seconds:max{HERE})",
        (GREEN, (60, YELLOW), (900, RED)),
        alert="LaneLate",
    ),
    number(
        "Dead letters",
        "Messages that were given up and wait for somebody.",
        "short",
        f"sum(max by (lane) (maru_dead_letters_open{HERE}))",
        (GREEN, (1, RED)),
        alert="DeadLetters",
    ),
    number(
        "Deaf",
        "Lanes to which nothing is delivered although they ask.",
        "short",
        f"sum(max by (lane) (maru_lane_deaf{MINE}))",
        (GREEN, (1, RED)),
        alert="LaneDeaf",
    ),
    number(
        "Unattended",
        "Lanes in which something waits and nobody asks for it.",
        "short",
        f"count(lane:pending_messages:max{HERE} > 0 and lane:pulls:max == 0 and lane:unsettled_messages:max == 0)"
        " or vector(0)",
        (GREEN, (1, RED)),
        alert="NoWorkers",
    ),
    number(
        "Held for a budget",
        "Jobs that lie aside until their member's budget is topped up.",
        "short",
        f"sum(max by (lane) (maru_lane_held_jobs{HERE}))",
        (GREEN, (1, YELLOW)),
        alert="BudgetEmpty",
    ),
    row("Rate, errors, duration"),
    graph(
        "Settled",
        "Messages that were handled a second.",
        "ops",
        (f"sum by (lane) (rate(maru_lane_messages_total{MINE}[$rate]))", "{{lane}}"),
        stacked=True,
    ),
    graph(
        "Failed",
        "Runs that are tried again, put off, or can never work, a second.",
        "ops",
        (
            "sum by (lane, verdict) (rate(maru_lane_messages_total{$mine,"
            + LANE
            + ',verdict=~"retry|poison|later"}[$rate]))',
            "{{lane}} {{verdict}}",
        ),
        none="none failed",
        alert="LaneFails",
    ),
    graph(
        "Duration, p95",
        "One run in twenty takes longer.",
        "s",
        (quantile(0.95, "maru_lane_handler_seconds", by="lane", labels="$mine," + LANE), "{{lane}}"),
    ),
    row("How full they are"),
    graph(
        "Waiting",
        "Not delivered yet, by lane.",
        "short",
        (f"lane:pending_messages:max{HERE}", "{{lane}}"),
        alert="LaneGrows",
    ),
    graph(
        "Delivered, not settled",
        "They run, or wait for their retry.",
        "short",
        (f"lane:unsettled_messages:max{HERE}", "{{lane}}"),
    ),
    graph(
        "Delivered again",
        "Not settled, and delivered more than once.",
        "short",
        (f"max by (lane) (maru_lane_redelivered_messages{HERE})", "{{lane}}"),
    ),
    graph(
        "Oldest",
        "Age of the oldest message that is not settled.",
        "s",
        (f"lane:oldest_seconds:max{HERE}", "{{lane}}"),
        alert="LaneLate",
    ),
    graph(
        "Done in",
        "So long until what waits now is settled.",
        "s",
        (f"max by (lane) (maru_lane_drain_seconds{HERE}) >= 0", "{{lane}}"),
        none="nobody can tell",
    ),
    graph(
        "In flight",
        "Messages that a process holds unsettled.",
        "short",
        (f"sum by (lane, instance) (maru_lane_in_flight{MINE})", "{{lane}} {{instance}}"),
    ),
    row("Given up"),
    graph(
        "Dead letters, open",
        "By lane.",
        "short",
        (f"max by (lane) (maru_dead_letters_open{HERE})", "{{lane}}"),
        none="none",
        alert="DeadLetters",
    ),
    graph(
        "Given up in an hour",
        "By lane and reason.",
        "short",
        (f"sum by (lane, reason) (increase(maru_dead_letters_total{MINE}[1h]))", "{{lane}} {{reason}}"),
        none="none",
        alert="MoneyDeadLetters",
    ),
    graph(
        "Run alone",
        "Messages that seem to end their process, in an hour.",
        "short",
        (f"sum by (lane) (increase(maru_lane_quarantined_total{MINE}[1h]))", "{{lane}}"),
        none="none",
        alert="RunsQuarantined",
    ),
    row("Whether they hear"),
    graph(
        "Canary's age",
        "How long ago the last canary came; one is sent each minute.",
        "s",
        (f"lane:canary_age_seconds:min{HERE}", "{{lane}}"),
        alert="LaneSilent",
    ),
    graph(
        "Canary's way, p95",
        "From sending a canary until the lane has read it.",
        "s",
        (quantile(0.95, "maru_lane_canary_seconds", by="lane", labels="$mine," + LANE, over="5m"), "{{lane}}"),
    ),
    graph(
        "Asking",
        "Requests for messages that wait at the server.",
        "short",
        (f"lane:pulls:max{HERE}", "{{lane}}"),
        alert="NoWorkers",
    ),
    graph(
        "Began anew",
        "Sessions lost and consumers made anew, in an hour.",
        "short",
        (f"sum by (lane) (increase(maru_lane_sessions_lost_total{MINE}[1h]))", "{{lane}} lost"),
        (f"sum by (lane) (increase(maru_lane_consumers_made_total{MINE}[1h]))", "{{lane}} made"),
        none="none",
        alert="LaneDeaf",
    ),
    graph(
        "Not confirmed",
        "Settlements a second that the server did not confirm; the message comes again, harmlessly.",
        "ops",
        ("sum by (instance) (rate(maru_lane_unconfirmed_acks_total{$mine}[$rate]))", "{{instance}}"),
        none="none",
    ),
    row("By policy"),
    graph(
        "Breaker",
        "0 closed, 1 tries a probe, 2 open.",
        "short",
        (f"max by (lane) (maru_lane_breaker{MINE})", "{{lane}}"),
        none="never opened",
        high=2,
        alert="BreakerOpen",
    ),
    graph(
        "Paused",
        "1 while an operator has paused it.",
        "short",
        (f"lane:paused:max{HERE}", "{{lane}}"),
        high=1,
        alert="LanePaused",
    ),
    graph(
        "Held, moved back",
        "Jobs a second that wait for a budget, or behind others' turns.",
        "ops",
        (f"sum by (lane) (rate(maru_lane_held_total{MINE}[$rate]))", "{{lane}} held"),
        (f"sum by (lane) (rate(maru_lane_moved_back_total{MINE}[$rate]))", "{{lane}} moved back"),
        none="none",
        alert="BudgetEmpty",
    ),
    choices=[("lane", "Lane", 'label_values(maru_lane_pending_messages{namespace=~"$namespace"}, lane)')],
)
