//! What a run has to pass before it begins: how many run in the whole cluster, how often the lane and each
//! member may, and what a member has left to spend.
//!
//! All of it is kept in the database, so that it holds for all processes together. Rates are kept as in a
//! leaky bucket (GCRA): a row holds the moment at which what was let through is paid off, a run moves it on
//! by its share, and may not move it further ahead than a burst.

use std::pin::pin;
use std::time::{Duration, Instant};

use serde::Deserialize;
use surrealdb::types::{RecordId, SurrealValue};
use uuid::Uuid;

use super::policy::Rate;
use crate::leases::{Lease, Leases};
use crate::store::{Key, Part, Store, StoreError, Tx, retry};

/// How long a run waits for a place in the cluster, or for its rate, before its message is looked at again
/// later.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Go.
    Open,
    /// Not before this long.
    Wait(Duration),
    /// The member has nothing left to spend here.
    Spent,
}

/// One place of so many in the whole cluster; none if all are taken for long, or the lane is told to stop
/// meanwhile. It is given back when it is dropped, and some seconds after its holder died.
pub(super) async fn place(
    leases: &Leases,
    lane: &str,
    across: u32,
    closing: impl Future<Output = ()>,
) -> Result<Option<Lease>, StoreError> {
    let name = format!("slot/{lane}");
    let until = Instant::now() + PATIENCE;
    let mut closing = pin!(closing);
    // A try is never broken off: the database may have given a place by then, which nobody would give back.
    while Instant::now() < until {
        if let Some(place) = leases.many(&name, across).await? {
            return Ok(Some(place));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY.mul_f64(rand::random_range(0.5..1.5))) => {}
            () = &mut closing => return Ok(None),
        }
    }
    Ok(None)
}

#[derive(Clone, SurrealValue)]
struct Bucket {
    id: RecordId,
    every_ms: i64,
    burst: i64,
}

/// All of it in one transaction: who is let through has paid everywhere, who is not nowhere.
const PASS: &str = "{
    IF $budget IS NOT NONE {
        LET $left = (SELECT VALUE cap - spent FROM ONLY $budget);
        IF $left IS NOT NONE AND $left <= 0 { RETURN { spent: true } };
    };
    LET $now = time::millis(time::now());
    LET $waits = $buckets.map(|$bucket: object| {
        LET $ahead = ((SELECT VALUE due FROM ONLY $bucket.id) ?? 0) - $now;
        RETURN $ahead - $bucket.every_ms * ($bucket.burst - 1);
    });
    LET $wait = math::max(array::concat([0], $waits));
    IF $wait > 0 { RETURN { wait_ms: $wait } };
    FOR $bucket IN $buckets {
        LET $due = (SELECT VALUE due FROM ONLY $bucket.id) ?? 0;
        UPSERT $bucket.id SET due = math::max([$due, $now]) + $bucket.every_ms RETURN NONE;
    };
    IF $budget IS NOT NONE { UPDATE $budget SET spent += 1 RETURN NONE };
    RETURN {};
}";

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    spent: bool,
    wait_ms: Option<i64>,
}

/// Asks to run once, and pays for it.
pub(super) async fn pass(
    store: &Store,
    lane: &str,
    member: Option<Uuid>,
    rate: Option<Rate>,
    is_metered: bool,
) -> Result<Gate, StoreError> {
    let budget = member
        .filter(|_| is_metered)
        .map(|member| budget_key(lane, member).record());
    let mut buckets = Vec::new();
    if let Some(rate) = rate {
        buckets.push(Bucket {
            id: Key::new("rate", [Part::from(lane)]).record(),
            every_ms: i64::from(1000_u16.div_ceil(rate.per_second.get())),
            burst: i64::from(rate.per_second.get()),
        });
        buckets.extend(member.map(|member| Bucket {
            id: Key::new("rate", [Part::from(lane), Part::from(member)]).record(),
            every_ms: i64::from(60_000_u16.div_ceil(rate.each_per_minute.get())),
            burst: i64::from(rate.each_per_minute.get()),
        }));
    }
    if budget.is_none() && buckets.is_empty() {
        return Ok(Gate::Open);
    }
    let run = || {
        store
            .db()
            .query(PASS)
            .bind(("budget", budget.clone()))
            .bind(("buckets", buckets.clone()))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(said) => {
            let said: Said = serde_json::from_value(said.into_json_value()).map_err(StoreError::Row)?;
            Ok(match said {
                Said { spent: true, .. } => Gate::Spent,
                Said { wait_ms: Some(ms), .. } => Gate::Wait(Duration::from_millis(ms.unsigned_abs())),
                _ => Gate::Open,
            })
        }
        other => Err(other.into()),
    }
}

/// Where a member's budget in a lane is kept.
pub(super) fn budget_key(lane: &str, member: Uuid) -> Key {
    Key::new("budget", [Part::from(lane), Part::from(member)])
}
