"""Who writes and paints: how often, how well, how quickly, for how much."""

from kit import GREEN, RED, YELLOW, board, graph, number, quantile, row, share

READ = """
A **call** is one request to the provider; a story that goes on behind its half is another call. `unavailable` may
work later and is tried again, `refused` will not, `unusable` is an answer that is no story or image. **Cost** is
tokens times the prices in `observability/prometheus/rules/recording.yml`: write your provider's there. The built-in
storyteller counts no tokens. With the **breaker** open nothing is asked, and what waits stays in the lane.
"""

LANES = 'lane=~"(job|late|redo-job)-(write_story|paint_image)"'
CALLS = "maru_ai_calls_total{$mine}"


def within(q):
    return quantile(q, "maru_ai_call_seconds", by="what")


BOARD = board(
    "ai",
    "AI",
    "Stories and images: calls, failures, latency, tokens, cost, breaker.",
    READ,
    number("Calls", "Calls that ended, a second.", "ops", f"sum(rate({CALLS}[$rate]))", (GREEN,)),
    number(
        "Failed",
        "Share of calls that came to nothing; those that were called off left out.",
        "percentunit",
        share(
            'maru_ai_calls_total{$mine,outcome!~"done|cancelled"}', 'maru_ai_calls_total{$mine,outcome!="cancelled"}'
        ),
        (GREEN, (0.1, YELLOW), (0.5, RED)),
        alert="StoriesFail",
    ),
    number(
        "p95",
        "One call in twenty takes longer.",
        "s",
        quantile(0.95, "maru_ai_call_seconds"),
        (GREEN, (60, YELLOW), (120, RED)),
    ),
    number(
        "Cost an hour",
        "At the speed of the last five minutes, in US dollars.",
        "currencyUSD",
        "sum(what:ai_cost_usd:rate5m{$here}) * 3600",
        (GREEN, (10, YELLOW), (100, RED)),
        none="no tokens counted",
    ),
    number(
        "Waiting",
        "Stories and images that nobody has begun.",
        "short",
        "sum(lane:pending_messages:max{$here," + LANES + "})",
        (GREEN, (100, YELLOW), (1000, RED)),
        alert="LaneGrows",
    ),
    number(
        "Breaker",
        "0 closed, 1 tries a probe, 2 open.",
        "short",
        "max(maru_lane_breaker{$mine," + LANES + "}) or vector(0)",
        (GREEN, (1, YELLOW), (2, RED)),
        alert="BreakerOpen",
    ),
    row("Rate, errors, duration"),
    graph(
        "Calls",
        "Calls that ended, a second.",
        "ops",
        (f"sum by (what, outcome) (rate({CALLS}[$rate]))", "{{what}} {{outcome}}"),
        stacked=True,
    ),
    graph(
        "Failed",
        "Calls that came to nothing, a second.",
        "ops",
        (
            'sum by (what, outcome) (rate(maru_ai_calls_total{$mine,outcome!~"done|cancelled"}[$rate]))',
            "{{what}} {{outcome}}",
        ),
        none="none failed",
        alert="StoriesFail",
    ),
    graph(
        "Duration",
        "Half and 95 of a hundred calls end within this.",
        "s",
        (within(0.5), "{{what}} p50"),
        (within(0.95), "{{what}} p95"),
    ),
    row("What it costs"),
    graph(
        "Tokens",
        "Tokens a second, as the provider counts them.",
        "short",
        ("sum by (what, side) (rate(maru_ai_tokens_total{$mine}[$rate]))", "{{what}} {{side}}"),
        none="no tokens counted",
    ),
    graph(
        "Cost an hour",
        "In US dollars, by the prices in recording.yml.",
        "currencyUSD",
        ("what:ai_cost_usd:rate5m{$here} * 3600", "{{what}}"),
        none="no tokens counted",
    ),
    number(
        "Cost in this range",
        "In US dollars.",
        "currencyUSD",
        "sum by (what) (avg_over_time(what:ai_cost_usd:rate5m{$here}[$__range])) * $__range_s",
        (GREEN,),
        width=8,
        none="no tokens counted",
        legend="{{what}}",
    ),
    row("How people feel it"),
    graph(
        "First words",
        "Half and 95 of a hundred stories have begun within this.",
        "s",
        (quantile(0.5, "maru_ai_first_piece_seconds"), "p50"),
        (quantile(0.95, "maru_ai_first_piece_seconds"), "p95"),
    ),
    graph(
        "Waiting",
        "Not begun yet, and the age of the oldest.",
        "short",
        ("lane:pending_messages:max{$here," + LANES + "}", "{{lane}} waiting"),
        ("lane:oldest_seconds:max{$here," + LANES + "}", "{{lane}} oldest, s"),
        alert="LaneLate",
    ),
    graph(
        "Verdicts",
        "What became of the runs, a second.",
        "ops",
        (
            "sum by (lane, verdict) (rate(maru_lane_messages_total{$mine," + LANES + "}[$rate]))",
            "{{lane}} {{verdict}}",
        ),
    ),
    row("By policy"),
    graph(
        "Breaker",
        "0 closed, 1 tries a probe, 2 open.",
        "short",
        ("max by (lane, instance) (maru_lane_breaker{$mine," + LANES + "})", "{{lane}} {{instance}}"),
        none="never opened",
        high=2,
        alert="BreakerOpen",
    ),
    graph(
        "In flight",
        "Stories and images that a process holds.",
        "short",
        ("sum by (lane, instance) (maru_lane_in_flight{$mine," + LANES + "})", "{{lane}} {{instance}}"),
    ),
    graph(
        "Held for a budget",
        "Jobs that lie aside.",
        "short",
        ("max by (lane) (maru_lane_held_jobs{$here})", "{{lane}}"),
        alert="BudgetEmpty",
    ),
)
