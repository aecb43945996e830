//! Our own count of attempts. The server counts deliveries, which a neighbour's crash and a restart of
//! the server change in both directions; only what failed by its own fault counts here. Nothing is
//! written for a message that works the first time.
//!
//! From its second delivery on, a run is also written down before it begins, and taken back when it is
//! heard of. What began again and again and was never heard of may be what ends the process: it is run
//! once more with nobody beside it, and if that ends the process too, it is the culprit.

use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use crate::store::{Key, Part, Store, StoreError, Tx, range, retry};

/// Two clocks and a way between them may differ by so much; nobody asked for a wait so exact.
const SLACK: Duration = Duration::from_millis(250);

/// So many unheard-of runs make a message a suspect.
const SUSPECT_FROM: u32 = 3;

/// What is known of a message's runs before this one.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Tried {
    /// How often it failed by its own fault.
    pub(super) failures: u32,
    /// How many runs began and were not heard of.
    #[serde(default)]
    starts: Option<u32>,
    /// Whether one of them had nobody beside it.
    #[serde(default)]
    alone: Option<bool>,
    /// How long it is yet until it is to be tried again, in milliseconds.
    #[serde(default)]
    early_ms: i64,
    /// Whether it was there before, so that its runs are written down.
    #[serde(skip)]
    pub(super) comes_again: bool,
    /// Whether it may never have run: nothing is known of it, and the server does not remember it either.
    #[serde(skip)]
    may_be_new: bool,
}

impl Tried {
    /// It failed at least so often, whatever is written down.
    pub(super) fn at_least(self, failures: u32) -> Self {
        Self {
            failures: self.failures.max(failures),
            ..self
        }
    }

    /// How long it has yet to wait: the server waits by itself, and forgets how long when it dies.
    pub(super) fn is_early_by(&self) -> Option<Duration> {
        let early = Duration::from_millis(u64::try_from(self.early_ms).unwrap_or_default());
        (early > SLACK).then_some(early)
    }

    /// Whether it may run in company no more.
    pub(super) fn is_suspect(&self) -> bool {
        self.starts.unwrap_or_default() + 1 >= SUSPECT_FROM
    }

    /// Whether it ended the process when there was nobody else who could have.
    pub(super) fn is_culprit(&self) -> bool {
        self.is_suspect() && self.alone.unwrap_or_default()
    }
}

fn key(lane: &str, message: Uuid) -> Key {
    Key::new("attempts", [Part::from(lane), Part::from(message)])
}

/// What is known of a message that comes again.
pub(super) async fn tried(store: &Store, lane: &str, message: Uuid, deliveries: u64) -> Result<Tried, StoreError> {
    let mut rows = store
        .db()
        .query(
            "SELECT failures, starts, alone,
                IF due > time::now() { duration::millis(due - time::now()) } ELSE { 0 } AS early_ms FROM ONLY $id",
        )
        .bind(("id", key(lane, message).record()))
        .await?;
    let row: Option<serde_json::Value> = rows.take(0)?;
    let tried: Option<Tried> = row
        .map(|row| serde_json::from_value(row).map_err(StoreError::Row))
        .transpose()?;
    Ok(Tried {
        comes_again: true,
        may_be_new: tried.is_none() && deliveries <= 1,
        ..tried.unwrap_or_default()
    })
}

async fn set(store: &Store, lane: &str, message: Uuid, what: &str) -> Result<(), StoreError> {
    let text = format!("UPSERT $id SET failures = failures ?? 0, reason = reason ?? '', {what} RETURN NONE");
    let id = key(lane, message).record();
    let run = || store.db().query(text.clone()).bind(("id", id.clone())).into_future();
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(other.into()),
    }
}

/// The messages of a lane of which something is known.
pub(super) async fn all(store: &Store, lane: &str) -> Result<Vec<Uuid>, StoreError> {
    let mut rows = store
        .db()
        .query("SELECT VALUE record::id(id)[1] FROM $all")
        .bind(("all", range("attempts", &[Part::from(lane)], &[])))
        .await?;
    let rows: Vec<String> = rows.take(0)?;
    Ok(rows.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect())
}

/// A message that comes again is about to run, alone or in company. Of one that may be new this is the first run,
/// which is not counted. Writing the number, not adding to it, so that a repeat changes nothing.
pub(super) async fn begin(store: &Store, lane: &str, message: Uuid, tried: Tried) -> Result<(), StoreError> {
    let nth = tried.starts.unwrap_or_default() + u32::from(!tried.may_be_new);
    let alone = if tried.is_suspect() { ", alone = true" } else { "" };
    set(store, lane, message, &format!("starts = {nth}{alone}")).await
}

/// Its run was heard of, and was no failure of its own.
pub(super) async fn heard(store: &Store, lane: &str, message: Uuid) -> Result<(), StoreError> {
    set(store, lane, message, "starts = 0, alone = false").await
}

/// Notes the nth failure, and how long it waits now. Writing the number, not adding to it, so that a repeat changes nothing.
pub(super) async fn note(
    store: &Store,
    lane: &str,
    message: Uuid,
    nth: u32,
    reason: &str,
    wait: Duration,
) -> Result<(), StoreError> {
    let run = || {
        store
            .db()
            .query(
                "UPSERT $id CONTENT { failures: $nth, reason: $reason, at: time::now(), due: time::now() + $wait }
                    RETURN NONE",
            )
            .bind(("wait", surrealdb::types::Duration::from(wait)))
            .bind(("id", key(lane, message).record()))
            .bind(("nth", i64::from(nth)))
            .bind(("reason", reason.to_owned()))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(other.into()),
    }
}

/// What came of it is decided.
pub(super) async fn forget(store: &Store, lane: &str, message: Uuid) -> Result<(), StoreError> {
    let id = key(lane, message).record();
    let run = || {
        store
            .db()
            .query("DELETE $id RETURN NONE")
            .bind(("id", id.clone()))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The database may have committed what it was asked, and still not have said so; then it is asked again.
    #[tokio::test]
    async fn a_run_that_is_written_down_twice_is_one_run() {
        let store = Store::open("mem://", None).await.unwrap();
        let (new, old) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for (id, deliveries, unheard) in [(new, 1, [0, 1, 2]), (old, 2, [1, 2, 3])] {
            for expected in unheard {
                let before = tried(&store, "x", id, deliveries).await.unwrap();
                assert!(before.comes_again && !before.is_culprit());
                for _ in 0..2 {
                    begin(&store, "x", id, before).await.unwrap();
                }
                let after = tried(&store, "x", id, deliveries).await.unwrap();
                assert_eq!(after.starts, Some(expected));
            }
        }
        heard(&store, "x", old).await.unwrap();
        assert!(!tried(&store, "x", old, 2).await.unwrap().is_suspect());
        assert!(tried(&store, "x", new, 1).await.unwrap().is_suspect());
        let mut known = all(&store, "x").await.unwrap();
        known.sort_unstable();
        assert_eq!(known, [new, old]);
        assert!(all(&store, "y").await.unwrap().is_empty());
    }
}
