"""The streams: how full they are, how quickly they store, and whether anything comes through."""

from kit import GREEN, RED, YELLOW, board, graph, number, quantile, row

READ = """
COMMANDS keeps what was asked, JOBS what the outside is asked, EVENTS what happened, DEAD what was given up, SCHEDULES
what waits for its time. **Stored**: how much comes in. **Publishing**: how long storing takes, and what is not known
to be stored. A **canary** a minute goes through every lane: if the newest of a stream is old, the stream is frozen,
although the server answers. Everything here is read by Maru itself; no exporter is needed.
"""

BOARD = board(
    "jetstream",
    "JetStream",
    "The streaming server: streams, storing, and whether anything comes through.",
    READ,
    number(
        "Healthy",
        "1 while nats-server's /healthz says so.",
        "short",
        "max(maru_nats_healthy{$here})",
        (RED, (1, GREEN)),
        none="not known here",
        alert="StreamingServerUnwell",
    ),
    number(
        "Fullest stream",
        "Share of what it may hold.",
        "percentunit",
        "max(stream:fill:ratio{$here})",
        (GREEN, (0.7, YELLOW), (0.95, RED)),
        alert="StreamFills",
    ),
    number(
        "Newest canary",
        "Age of the newest canary of the stream that has had none for longest.",
        "s",
        "max(stream:canary_age_seconds:min{$here})",
        (GREEN, (120, YELLOW), (180, RED)),
        alert="StreamFrozen",
    ),
    number(
        "Stored",
        "Messages that were stored a second, all streams.",
        "ops",
        "sum(rate(maru_publish_group_messages_sum{$mine}[$rate]))",
        (GREEN,),
    ),
    number(
        "Not stored",
        "Messages a second that are not known to be stored.",
        "ops",
        "sum(rate(maru_publish_failures_total{$mine}[$rate])) or vector(0)",
        (GREEN, (0.01, RED)),
        alert="PublishingFails",
    ),
    number(
        "Accepted means",
        "What an accepted command is worth here.",
        "short",
        "max by (durability) (maru_durability_info{$mine}) == 1",
        (GREEN,),
        legend="{{durability}}",
        alert="DurabilityNotAsPromised",
    ),
    row("Rate, errors, duration"),
    graph(
        "Stored",
        "Messages a second, by the streams' own numbers.",
        "ops",
        ("deriv((max by (stream) (maru_stream_last_sequence{$here}))[2m:10s])", "{{stream}}"),
    ),
    graph(
        "Not stored",
        "By reason.",
        "ops",
        ("sum by (stream, reason) (rate(maru_publish_failures_total{$mine}[$rate]))", "{{stream}} {{reason}}"),
        none="all stored",
        alert="PublishingFails",
    ),
    graph(
        "Storing a group",
        "Half and 95 of a hundred groups are stored within this.",
        "s",
        (quantile(0.5, "maru_publish_seconds", by="stream"), "{{stream}} p50"),
        (quantile(0.95, "maru_publish_seconds", by="stream"), "{{stream}} p95"),
    ),
    row("How full they are"),
    graph(
        "Fill",
        "Share of what each may hold. A full one refuses.",
        "percentunit",
        ("stream:fill:ratio{$here}", "{{stream}}"),
        high=1,
        alert="StreamFull",
    ),
    graph("Bytes", "What each holds.", "bytes", ("max by (stream) (maru_stream_bytes{$here})", "{{stream}}")),
    graph("Messages", "What each holds.", "short", ("max by (stream) (maru_stream_messages{$here})", "{{stream}}")),
    row("Whether anything comes through"),
    graph(
        "Newest canary",
        "Age of the newest canary that any lane of the stream has heard.",
        "s",
        ("stream:canary_age_seconds:min{$here}", "{{stream}}"),
        alert="StreamFrozen",
    ),
    graph(
        "Connection",
        "What happened to the connections, in ten minutes.",
        "short",
        ("sum by (event, instance) (increase(maru_nats_events_total{$mine}[10m]))", "{{event}} {{instance}}"),
        alert="ConnectionFlaps",
    ),
    graph(
        "Purged",
        "Settled messages that the janitor took away, in an hour.",
        "short",
        ("sum by (stream) (increase(maru_janitor_messages_total{$mine}[1h]))", "{{stream}}"),
        none="none",
        alert="StreamFills",
    ),
    row("Who reads"),
    graph(
        "Consumers of lanes",
        "Messages that wait for a lane.",
        "short",
        ("lane:pending_messages:max{$here}", "{{lane}}"),
    ),
    graph(
        "Consumers of views",
        "Messages that wait for the reader of a view.",
        "short",
        ('max by (lane) (maru_lane_pending_messages{$here,lane=~"view-.*"})', "{{lane}}"),
    ),
    graph(
        "Group size",
        "Messages that were stored together, on average; from 8 on it is one atomic batch.",
        "short",
        (
            "sum by (stream) (rate(maru_publish_group_messages_sum{$mine}[$rate]))"
            + " / sum by (stream) (rate(maru_publish_group_messages_count{$mine}[$rate])) >= 0",
            "{{stream}}",
        ),
    ),
)
