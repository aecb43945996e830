"""Money: what the bank is asked, what moves, and whether it adds up."""

from kit import GREEN, RED, YELLOW, board, graph, number, quantile, row, share

READ = """
A purchase asks the bank for a **charge**; a refund gives it back, and a charge that comes too late is **cancelled**.
`declined` is an answer; `unavailable` is tried again. **Mismatches** are payments and purchases that contradict each
other for longer than a quarter of an hour; there should be none, ever. A dead letter of `job-cancel_charge` is money
that was taken for nothing: `observability/runbooks/MoneyDeadLetters.md`.
"""

LANES = 'lane=~".*(charge|refund|payments|purchases|checkout).*"'

BOARD = board(
    "money",
    "Money",
    "Payments and purchases: the bank, what moves, whether it adds up.",
    READ,
    number(
        "Mismatches",
        "Payments and purchases that contradict each other.",
        "short",
        "sum(max by (kind) (maru_money_mismatches{$here}))",
        (GREEN, (1, RED)),
        alert="LedgerMismatch",
    ),
    number(
        "Compared",
        "How long ago they were last compared.",
        "s",
        "time() - max(maru_money_checked_timestamp_seconds{$here})",
        (GREEN, (900, YELLOW), (1800, RED)),
        alert="LedgerUnchecked",
    ),
    number(
        "Given up",
        "Dead letters about money.",
        "short",
        'sum(max by (lane) (maru_dead_letters_open{$here,lane=~"job-(charge|refund|cancel_charge)"}))',
        (GREEN, (1, RED)),
        alert="MoneyDeadLetters",
    ),
    number(
        "Bank away",
        "Share of calls that the bank did not answer.",
        "percentunit",
        share('maru_bank_calls_total{$mine,outcome="unavailable"}', "maru_bank_calls_total{$mine}"),
        (GREEN, (0.05, YELLOW), (0.5, RED)),
        alert="BreakerOpen",
    ),
    number(
        "Charged, in this range",
        "In won.",
        "short",
        'sum(increase(maru_money_won_total{$mine,movement="charged"}[$__range]))',
        (GREEN,),
    ),
    number(
        "Given back, in this range",
        "Refunded and cancelled, in won.",
        "short",
        'sum(increase(maru_money_won_total{$mine,movement=~"refunded|cancelled"}[$__range]))',
        (GREEN,),
    ),
    row("Rate, errors, duration"),
    graph(
        "Asking the bank",
        "Calls a second.",
        "ops",
        ("sum by (call, outcome) (rate(maru_bank_calls_total{$mine}[$rate]))", "{{call}} {{outcome}}"),
        stacked=True,
    ),
    graph(
        "Not approved",
        "Declined, or not answered, a second.",
        "ops",
        (
            'sum by (call, outcome) (rate(maru_bank_calls_total{$mine,outcome!="approved"}[$rate]))',
            "{{call}} {{outcome}}",
        ),
        none="all approved",
    ),
    graph(
        "Duration",
        "Half and 95 of a hundred calls end within this.",
        "s",
        (quantile(0.5, "maru_bank_call_seconds", by="call"), "{{call}} p50"),
        (quantile(0.95, "maru_bank_call_seconds", by="call"), "{{call}} p95"),
    ),
    row("Whether it adds up"),
    graph(
        "Mismatches",
        "By kind.",
        "short",
        ("max by (kind) (maru_money_mismatches{$here})", "{{kind}}"),
        alert="LedgerMismatch",
    ),
    graph(
        "Won that moved",
        "Won a second.",
        "short",
        ("sum by (movement) (rate(maru_money_won_total{$mine}[$rate]))", "{{movement}}"),
    ),
    graph(
        "Dead letters",
        "Open, by lane.",
        "short",
        (
            'max by (lane) (maru_dead_letters_open{$here,lane=~"job-(charge|refund|cancel_charge)|flow-checkout"})',
            "{{lane}}",
        ),
        none="none",
        alert="MoneyDeadLetters",
    ),
    row("On its way"),
    graph(
        "Commands",
        "Commands of payments and purchases, a second.",
        "ops",
        (
            'sum by (context, outcome) (rate(maru_commands_total{$mine,context=~"payments|purchases"}[$rate]))',
            "{{context}} {{outcome}}",
        ),
    ),
    graph(
        "Waiting",
        "Messages that wait in lanes about money.",
        "short",
        ("lane:pending_messages:max{$here," + LANES + "}", "{{lane}}"),
        alert="LaneGrows",
    ),
    graph(
        "Oldest",
        "Age of the oldest of them; job-cancel_charge may take hours.",
        "s",
        ("lane:oldest_seconds:max{$here," + LANES + "}", "{{lane}}"),
        alert="LaneLate",
    ),
)
