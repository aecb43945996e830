"""Whether promises are kept, and where to look if not."""

from kit import GREEN, RED, YELLOW, board, graph, number, quantile, row, share

READ = """
From left to right, from what people notice to what it stands on. **Promises**: each context may miss a few requests a
month; *left* is what remains of that, below 0 the promise is broken. A *burn* of 1 spends the month's budget in a
month, 14.4 in two days. Colours in the first row are the bounds of the alerts. Go on: errors and slowness in
*Gateway*, waiting in *Lanes*, what it stands on in *JetStream* and *Database and process*.
"""

BURN = "context:http_errors:ratio_{window}{$here} / on (context) group_left () (1 - context:objective:ratio)"


def burn(window):
    return BURN.replace("{window}", window)


BOARD = board(
    "overview",
    "Overview",
    "Promises, people, work and money at one glance.",
    READ,
    number(
        "Critical alerts",
        "Alerts that should have woken somebody.",
        "short",
        'count(ALERTS{alertstate="firing",severity="critical",$here}) or vector(0)',
        (GREEN, (1, RED)),
        width=3,
    ),
    number(
        "Requests",
        "Answered requests a second, all routes.",
        "reqps",
        "sum(rate(maru_http_requests_total{$mine}[$rate]))",
        (GREEN,),
        width=3,
    ),
    number(
        "Errors",
        "Share of requests that were answered 5xx.",
        "percentunit",
        share('maru_http_requests_total{$mine,status=~"5.."}', "maru_http_requests_total{$mine}"),
        (GREEN, (0.0005, YELLOW), (0.01, RED)),
        width=3,
        alert="ErrorBudgetBurnsFast",
    ),
    number(
        "p95",
        "One request in twenty takes longer.",
        "s",
        "max(namespace:http_request_seconds:p95_5m{$here})",
        (GREEN, (0.25, YELLOW), (1, RED)),
        width=3,
        alert="AnswersSlow",
    ),
    number(
        "Oldest work",
        "Age of the oldest message of any lane that is not settled.",
        "s",
        "max(lane:oldest_seconds:max{$here})",
        (GREEN, (60, YELLOW), (900, RED)),
        width=3,
        alert="LaneLate",
    ),
    number(
        "Dead letters",
        "Messages that were given up and wait for somebody.",
        "short",
        "sum(max by (lane) (maru_dead_letters_open{$here}))",
        (GREEN, (1, RED)),
        width=3,
        alert="DeadLetters",
    ),
    number(
        "Views behind",
        "Events that the view furthest behind has still to read.",
        "short",
        "max(view:lag_events:max{$here})",
        (GREEN, (100, YELLOW), (1000, RED)),
        width=3,
        alert="ViewLags",
    ),
    number(
        "Money differs",
        "Payments and purchases that contradict each other.",
        "short",
        "sum(max by (kind) (maru_money_mismatches{$here}))",
        (GREEN, (1, RED)),
        width=3,
        alert="LedgerMismatch",
    ),
    row("People: rate, errors, duration"),
    graph(
        "Requests by context",
        "Answered requests a second.",
        "reqps",
        ("context:http_requests:rate5m{$here}", "{{context}}"),
    ),
    graph(
        "Errors by context",
        "Share of requests that were answered 5xx, over five minutes.",
        "percentunit",
        ("context:http_errors:ratio_5m{$here}", "{{context}}"),
        alert="InternalErrors",
    ),
    graph(
        "Duration",
        "Half, 95 and 99 of a hundred requests to the API are answered within this.",
        "s",
        *[
            (quantile(q, "maru_http_request_seconds", labels='$mine,route=~"/v1/.*"'), name)
            for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ],
        alert="AnswersSlow"
    ),
    row("Promises"),
    graph(
        "Budget left, 30 days",
        "Share of the errors a context may make in 30 days that it has not made. Below 0: broken.",
        "percentunit",
        ("context:error_budget_left:ratio_30d{$here}", "{{context}}"),
        low=-1,
        high=1,
        alert="ErrorBudgetBurnsSlowly",
    ),
    graph(
        "Burn, 1 hour",
        "How many times faster than allowed the budget is spent. From 14.4 on somebody is woken.",
        "short",
        (burn("1h"), "{{context}}"),
        alert="ErrorBudgetBurnsFast",
    ),
    graph(
        "Burn, 6 hours",
        "The same over six hours; from 6 on somebody is woken.",
        "short",
        (burn("6h"), "{{context}}"),
        alert="ErrorBudgetBurnsFast",
    ),
    number(
        "Answered, in this range",
        "Share of requests of each context that were not answered 5xx, beside what was promised.",
        "percentunit",
        "1 - sum_over_time(context:http_errors:rate5m{$here}[$__range])"
        " / (sum_over_time(context:http_requests:rate5m{$here}[$__range]) > 0)",
        (RED, (0.999, YELLOW), (0.9995, GREEN)),
        width=8,
        legend="{{context}}",
    ),
    number(
        "Usable, in this range",
        "Share of the time in which a door was open and the context's canary came, whether anybody asked or not.",
        "percentunit",
        "avg_over_time(context:probe:up{$here}[$__range])",
        (RED, (0.999, YELLOW), (0.9995, GREEN)),
        width=8,
        legend="{{context}}",
    ),
    number(
        "Promised",
        "What each context has promised.",
        "percentunit",
        "context:objective:ratio",
        (GREEN,),
        width=8,
        legend="{{context}}",
    ),
    row("Work"),
    graph(
        "Commands",
        "Commands that were decided a second; refused ones had a reason that their sender was told.",
        "ops",
        ("sum by (context, outcome) (rate(maru_commands_total{$mine}[$rate]))", "{{context}} {{outcome}}"),
    ),
    graph(
        "Waiting",
        "Messages that were not delivered yet, by lane.",
        "short",
        ("lane:pending_messages:max{$here} > 0 or topk(1, lane:pending_messages:max{$here})", "{{lane}}"),
        alert="LaneGrows",
    ),
    graph(
        "Processes",
        "Processes that answer Prometheus.",
        "short",
        ('sum by (job) (up{$mine,job=~"maru.*"})', "{{job}}"),
        alert="ProcessDown",
    ),
)
