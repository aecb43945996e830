"""What everything stands on: the database, the views, the process, the disk."""

from kit import GREEN, RED, YELLOW, board, graph, number, quantile, row

READ = """
**Transactions** are decided and committed commands, further tries included; *conflicts* are two that met and one
tried again. The **outbox** holds what is committed and not published yet: rows come and go, but none grows old. A
**view**'s lag of a few events is normal. Memory that only grows is a leak. Full disks stop everything:
`observability/runbooks/DiskFills.md`.
"""

BOARD = board(
    "database-and-process",
    "Database and process",
    "The database, the views, the process and its disk.",
    READ,
    number(
        "Transactions, p95",
        "One in twenty takes longer.",
        "s",
        "max(context:database_transaction_seconds:p95_5m{$here})",
        (GREEN, (0.25, YELLOW), (1, RED)),
        alert="DatabaseSlow",
    ),
    number(
        "Outbox, oldest",
        "Age of the oldest event that is committed and not published.",
        "s",
        "max(maru_outbox_oldest_seconds{$here})",
        (GREEN, (10, YELLOW), (60, RED)),
        alert="OutboxStuck",
    ),
    number(
        "Views behind",
        "Events that the view furthest behind has still to read.",
        "short",
        "max(view:lag_events:max{$here})",
        (GREEN, (100, YELLOW), (1000, RED)),
        alert="ViewLags",
    ),
    number("Memory", "Of the largest process.", "bytes", "max(process_resident_memory_bytes{$mine})", (GREEN,)),
    number(
        "Files open",
        "Share of what the fullest process may open.",
        "percentunit",
        "max(process_open_fds{$mine} / process_max_fds{$mine})",
        (GREEN, (0.5, YELLOW), (0.8, RED)),
        alert="FilesRunOut",
    ),
    number(
        "Disk free",
        "Share of the fullest disk under the data.",
        "percentunit",
        "min(maru_disk_free_bytes{$mine} / maru_disk_size_bytes{$mine})",
        (RED, (0.05, YELLOW), (0.15, GREEN)),
        none="not known here",
        alert="DiskFills",
    ),
    row("Database: rate, errors, duration"),
    graph(
        "Transactions",
        "Committed a second.",
        "ops",
        ("sum by (context) (rate(maru_database_transaction_seconds_count{$mine}[$rate]))", "{{context}}"),
    ),
    graph(
        "Conflicts, leases lost",
        "Transactions a second that met another one; leases lost in an hour.",
        "short",
        ("sum(rate(maru_database_conflicts_total{$mine}[$rate]))", "conflicts a second"),
        ("sum(increase(maru_leases_lost_total{$mine}[1h]))", "leases lost in an hour"),
        none="none",
    ),
    graph(
        "Duration",
        "Half, 95 and 99 of a hundred transactions end within this.",
        "s",
        *[
            (quantile(q, "maru_database_transaction_seconds"), name)
            for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ],
        alert="DatabaseSlow"
    ),
    graph(
        "Duration by context, p95",
        "One transaction in twenty takes longer.",
        "s",
        ("context:database_transaction_seconds:p95_5m{$here}", "{{context}}"),
    ),
    graph(
        "Outbox",
        "Rows that are not published or not cleared yet, and the age of the oldest.",
        "short",
        ("max(maru_outbox_rows{$here})", "rows"),
        ("max(maru_outbox_oldest_seconds{$here})", "oldest, s"),
        alert="OutboxStuck",
    ),
    graph(
        "By the clock",
        "Ticks in an hour, by how they ended.",
        "short",
        ("sum by (tick, outcome) (increase(maru_ticks_total{$mine}[1h]))", "{{tick}} {{outcome}}"),
        alert="ClockStandsStill",
    ),
    graph(
        "Forgotten",
        "Old rows that were to go, in a day.",
        "short",
        ("sum by (table) (increase(maru_forgotten_rows_total{$mine}[1d]))", "{{table}}"),
        none="none yet",
    ),
    row("Views"),
    graph(
        "Behind",
        "Events that each view has still to read.",
        "short",
        ("view:lag_events:max{$here}", "{{view}}"),
        alert="ViewLags",
    ),
    graph(
        "Folded",
        "Events a second; *other* is the version that nobody reads yet.",
        "ops",
        ("sum by (view, colour) (rate(maru_view_events_total{$mine}[$rate]))", "{{view}} {{colour}}"),
    ),
    graph(
        "Folding a batch, p95",
        "One batch in twenty takes longer.",
        "s",
        (quantile(0.95, "maru_view_batch_seconds", by="view"), "{{view}}"),
    ),
    graph(
        "Waiting",
        "1 while a view waits at an event that it cannot fold.",
        "short",
        ("max by (view) (maru_view_waiting{$here})", "{{view}}"),
        high=1,
        alert="ViewWaits",
    ),
    graph(
        "Where they are",
        "The sequence of EVENTS that each has read.",
        "short",
        ("max by (view) (maru_view_mark_sequence{$here})", "{{view}}"),
    ),
    graph(
        "Began anew",
        "Readings that broke, in an hour.",
        "short",
        ("sum by (view) (increase(maru_view_restarts_total{$mine}[1h]))", "{{view}}"),
        none="none",
    ),
    row("Process"),
    graph(
        "Processor",
        "Cores in use.",
        "short",
        ("rate(process_cpu_seconds_total{$mine}[$rate])", "{{job}} {{instance}}"),
    ),
    graph("Memory", "Resident.", "bytes", ("process_resident_memory_bytes{$mine}", "{{job}} {{instance}}")),
    graph(
        "Files",
        "Open file descriptors.",
        "short",
        ("process_open_fds{$mine}", "{{job}} {{instance}}"),
        alert="FilesRunOut",
    ),
    graph(
        "Tasks",
        "Living tasks, and those that wait for a thread.",
        "short",
        ("maru_runtime_tasks{$mine}", "{{instance}} living"),
        ("maru_runtime_queued_tasks{$mine}", "{{instance}} waiting"),
    ),
    graph("Threads", "Of the operating system.", "short", ("process_threads{$mine}", "{{job}} {{instance}}")),
    graph(
        "Disk free",
        "Under the data folder.",
        "bytes",
        ("maru_disk_free_bytes{$mine}", "{{instance}}"),
        none="not known here",
        alert="DiskFull",
    ),
)
