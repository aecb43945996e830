//! Our own count of attempts. The server counts deliveries, which a neighbour's crash and a restart of
//! the server change in both directions; only what failed by its own fault counts here. Nothing is
//! written for a message that works the first time.

use serde::Deserialize;
use uuid::Uuid;

use crate::store::{Key, Part, Store, StoreError, Tx, retry};

#[derive(Deserialize)]
struct Row {
    failures: u32,
}

fn key(lane: &str, message: Uuid) -> Key {
    Key::new("attempts", [Part::from(lane), Part::from(message)])
}

/// How often a message has failed in a lane.
pub(super) async fn failures(store: &Store, lane: &str, message: Uuid) -> Result<u32, StoreError> {
    let mut rows = store
        .db()
        .query("SELECT failures FROM ONLY $id")
        .bind(("id", key(lane, message).record()))
        .await?;
    let row: Option<serde_json::Value> = rows.take(0)?;
    let row: Option<Row> = row
        .map(|row| serde_json::from_value(row).map_err(StoreError::Row))
        .transpose()?;
    Ok(row.map_or(0, |row| row.failures))
}

/// Notes the nth failure. Writing the number, not adding to it, so that a repeat changes nothing.
pub(super) async fn note(store: &Store, lane: &str, message: Uuid, nth: u32, reason: &str) -> Result<(), StoreError> {
    let run = || {
        store
            .db()
            .query("UPSERT $id CONTENT { failures: $nth, reason: $reason } RETURN NONE")
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
