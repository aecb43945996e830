"""Whether anybody notices a deployment."""

from kit import GREEN, RED, YELLOW, board, graph, number, quantile, row, share

READ = """
During a deployment two **builds** run side by side: the lines of one fall while the other's rise, and nothing else on
this page should move. New processes come first, become ready, then old ones drain: they stop being ready, finish what
they hold, end. **Errors** must stay at nothing, live streams dip and come back at another process, redelivered
messages stay few. A build that stays half way is `observability/runbooks/VersionsMixed.md`. Blue marks on every page
are deployments.
"""

BOARD = board(
    "rolling-deploys",
    "Rolling deploys",
    "Builds side by side, and what people notice of it.",
    READ,
    number(
        "Builds",
        "How many different builds run.",
        "short",
        "count(count by (version, commit) (maru_build_info{$mine}))",
        (GREEN, (2, YELLOW)),
        alert="VersionsMixed",
    ),
    number(
        "Processes",
        "That answer Prometheus.",
        "short",
        'sum(up{$mine,job=~"maru.*"})',
        (RED, (1, GREEN)),
        alert="ProcessDown",
    ),
    number(
        "Not ready",
        "Processes that take no work: they start, or drain.",
        "short",
        "count(maru_ready{$mine} == 0) or vector(0)",
        (GREEN, (1, YELLOW)),
    ),
    number(
        "Errors",
        "Share of requests that were answered 5xx.",
        "percentunit",
        share('maru_http_requests_total{$mine,status=~"5.."}', "maru_http_requests_total{$mine}"),
        (GREEN, (0.0001, YELLOW), (0.01, RED)),
        alert="ErrorBudgetBurnsFast",
    ),
    number(
        "Killed, not closed",
        "Processes whose database had not been closed when they started.",
        "short",
        "sum(maru_start_unclean{$mine})",
        (GREEN, (1, YELLOW)),
        none="no database here",
        alert="UncleanStart",
    ),
    number(
        "Not brought back",
        "Aggregates that the last start could not heal.",
        "short",
        "sum(maru_heal_missing_aggregates{$mine})",
        (GREEN, (1, RED)),
        none="no database here",
        alert="HealIncomplete",
    ),
    row("Builds"),
    graph(
        "Processes by build",
        "How many processes run each build.",
        "short",
        ("count by (version, commit, job) (maru_build_info{$mine})", "{{job}} {{version}} {{commit}}"),
        stacked=True,
    ),
    graph(
        "Age",
        "How long each process has run.",
        "s",
        ("time() - process_start_time_seconds{$mine}", "{{job}} {{instance}}"),
        alert="ProcessRestarts",
    ),
    graph(
        "Ready",
        "1 while a process takes work: what /readyz of its metrics port says.",
        "short",
        ("maru_ready{$mine}", "{{instance}}"),
        high=1,
    ),
    row("What people notice"),
    graph(
        "Requests by process",
        "Answered a second.",
        "reqps",
        ("sum by (instance) (rate(maru_http_requests_total{$mine}[$rate]))", "{{instance}}"),
        stacked=True,
    ),
    graph(
        "Errors",
        "Answers with 5xx, a second.",
        "reqps",
        (
            'sum by (instance, status) (rate(maru_http_requests_total{$mine,status=~"5.."}[$rate]))',
            "{{instance}} {{status}}",
        ),
        none="no errors",
    ),
    graph(
        "Duration, p99",
        "One request in a hundred takes longer.",
        "s",
        (quantile(0.99, "maru_http_request_seconds", by="instance"), "{{instance}}"),
    ),
    graph(
        "Live streams",
        "Open event streams by process; they dip and come back at another.",
        "short",
        ("sum by (instance) (maru_http_live_streams{$mine})", "{{instance}}"),
    ),
    graph(
        "In flight",
        "Messages that each process holds; nothing when it has drained.",
        "short",
        ("sum by (instance) (maru_lane_in_flight{$mine})", "{{instance}}"),
    ),
    graph(
        "Delivered again",
        "Messages that a stopped process did not settle.",
        "short",
        ("sum(max by (lane) (maru_lane_redelivered_messages{$here}))", "all lanes"),
    ),
    row("What it leaves behind"),
    graph(
        "Waiting",
        "Messages that were not delivered yet, all lanes.",
        "short",
        ("sum(lane:pending_messages:max{$here})", "all lanes"),
    ),
    graph(
        "Connections",
        "Connected and disconnected, in ten minutes.",
        "short",
        (
            'sum by (event) (increase(maru_nats_events_total{$mine,event=~"connected|disconnected"}[10m]))',
            "{{event}}",
        ),
    ),
    graph(
        "Healed at the start",
        "Rows that the last start brought back.",
        "short",
        ("maru_heal_restored_rows{$mine}", "{{instance}}"),
        none="no database here",
        alert="UncleanStart",
    ),
)
