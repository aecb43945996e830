"""The door: rate, errors, duration, and who is turned away."""

from kit import GREEN, RED, YELLOW, board, graph, number, quantile, row, share

READ = """
**Rate, errors, duration** by route; a route is the pattern, never an address. The time of a command counts its
waiting for the decision (unless it asked `respond-async`); a live stream counts until its head. **Turned away**:
`rate` is one person who asks too often, `load` and `busy` are the house's own limits. 503 with failures in
*JetStream* is a streaming server that is away, 503 without is load. Go on: *Overview* for what it costs the promises,
*Lanes* for `busy`.
"""

REQUESTS = "maru_http_requests_total{$mine}"


def within(q, by=""):
    return quantile(q, "maru_http_request_seconds", by=by, labels='$mine,route=~"$route"')


BOARD = board(
    "gateway",
    "Gateway",
    "The door of the house: what is asked, what is answered, what is turned away.",
    READ,
    number("Requests", "Answered requests a second.", "reqps", f"sum(rate({REQUESTS}[$rate]))", (GREEN,)),
    number(
        "5xx",
        "Share that was answered with an error of ours.",
        "percentunit",
        share('maru_http_requests_total{$mine,status=~"5.."}', "maru_http_requests_total{$mine}"),
        (GREEN, (0.0005, YELLOW), (0.01, RED)),
        alert="ErrorBudgetBurnsFast",
    ),
    number(
        "4xx",
        "Share that was refused: a mistake, a missing token, too often.",
        "percentunit",
        share('maru_http_requests_total{$mine,status=~"4.."}', "maru_http_requests_total{$mine}"),
        (GREEN, (0.2, YELLOW)),
    ),
    number(
        "p95",
        "One request in twenty takes longer.",
        "s",
        within(0.95),
        (GREEN, (0.25, YELLOW), (1, RED)),
        alert="AnswersSlow",
    ),
    number(
        "Being answered",
        "Requests that are being answered now.",
        "short",
        "sum(maru_http_in_flight{$mine})",
        (GREEN, (512, YELLOW), (1024, RED)),
        alert="DoorTurnsAway",
    ),
    number(
        "Accepted means",
        "What an accepted command is worth: 1 at fsynced, replicated or buffered.",
        "short",
        "max by (durability) (maru_durability_info{$mine}) == 1",
        (GREEN,),
        legend="{{durability}}",
        alert="DurabilityNotAsPromised",
    ),
    row("Rate, errors, duration"),
    graph(
        "Rate by route",
        "Answered requests a second.",
        "reqps",
        (
            'sum by (method, route) (rate(maru_http_requests_total{$mine,route=~"$route"}[$rate]))',
            "{{method}} {{route}}",
        ),
        stacked=True,
    ),
    graph(
        "Errors by route",
        "Answers with 5xx a second.",
        "reqps",
        (
            'sum by (route, status) (rate(maru_http_requests_total{$mine,route=~"$route",status=~"5.."}[$rate]))',
            "{{status}} {{route}}",
        ),
        none="no errors",
        alert="InternalErrors",
    ),
    graph(
        "Duration",
        "Half, 95 and 99 of a hundred requests are answered within this.",
        "s",
        (within(0.5), "p50"),
        (within(0.95), "p95"),
        (within(0.99), "p99"),
        alert="AnswersSlow",
    ),
    row("Whom, and what they are told"),
    graph(
        "Answers by status",
        "Answers a second by status.",
        "reqps",
        ('sum by (status) (rate(maru_http_requests_total{$mine,route=~"$route"}[$rate]))', "{{status}}"),
        stacked=True,
    ),
    graph("p95 by route", "One request in twenty takes longer, by route.", "s", (within(0.95, "route"), "{{route}}")),
    graph(
        "Turned away",
        "Requests a second that are told to come again.",
        "reqps",
        ("sum by (reason) (rate(maru_http_refused_total{$mine}[$rate]))", "{{reason}}"),
        none="nobody",
        alert="DoorTurnsAway",
    ),
    row("How full it is"),
    graph(
        "Being answered",
        "Requests that are being answered, by process.",
        "short",
        ("maru_http_in_flight{$mine}", "{{instance}}"),
    ),
    graph(
        "Live streams",
        "Open event streams.",
        "short",
        ("sum by (route) (maru_http_live_streams{$mine})", "{{route}}"),
    ),
    graph(
        "Ready",
        "1 while a process takes work: what /readyz of its metrics port says.",
        "short",
        ("maru_ready{$mine}", "{{instance}}"),
        high=1,
    ),
    row("Behind it"),
    graph(
        "Publishing",
        "p95 of storing a group of messages.",
        "s",
        (quantile(0.95, "maru_publish_seconds", by="stream"), "{{stream}}"),
    ),
    graph(
        "Not stored",
        "Messages a second that are not known to be stored.",
        "ops",
        ("sum by (stream, reason) (rate(maru_publish_failures_total{$mine}[$rate]))", "{{stream}} {{reason}}"),
        none="all stored",
        alert="PublishingFails",
    ),
    graph(
        "How long a lane would take",
        "What is asked now is done in so long; above MARU_LONGEST_WAIT_S it is turned away.",
        "s",
        ("max by (lane) (maru_lane_drain_seconds{$here}) >= 0", "{{lane}}"),
        none="nobody can tell",
        alert="LaneGrows",
    ),
    choices=[("route", "Route", 'label_values(maru_http_requests_total{namespace=~"$namespace"}, route)')],
)
