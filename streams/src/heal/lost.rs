//! A database that knows nothing under streams that tell much: its disk was lost, or the wrong server was named. Whoever
//! worked on it would decide as if nothing had ever happened, give versions away a second time, and leave nothing that
//! could be healed. An event is published after it was committed, so the two can only part like this by such an accident.

use super::HealError;
use crate::nats::{Nats, latest};
use crate::store::{Part, Store, StoreError, range};
use crate::topology::{EVENTS, is_missing_stream};

/// A context whose events are told, and kept nowhere.
///
/// # Errors
/// When one of the servers does not answer.
pub async fn lost_context(
    nats: &Nats,
    store: &Store,
    contexts: &[&'static str],
) -> Result<Option<&'static str>, HealError> {
    let unread = |error: &dyn std::fmt::Display| HealError::Stream(format!("read EVENTS: {error}"));
    match nats.jetstream().get_stream(EVENTS).await {
        // Canaries are told too, and kept by nobody.
        Ok(stream) if stream.cached_info().state.messages == 0 => return Ok(None),
        Ok(_) => {}
        Err(error) if is_missing_stream(&error) => return Ok(None),
        Err(error) => return Err(unread(&error)),
    }
    for context in contexts {
        if keeps_any(store, context).await? {
            continue;
        }
        let told = latest(nats, EVENTS, &format!("evt.{context}.>")).await;
        // It may have been decided, kept and told between the two looks.
        if told.map_err(|error| unread(&error))?.is_some() && !keeps_any(store, context).await? {
            return Ok(Some(context));
        }
    }
    Ok(None)
}

async fn keeps_any(store: &Store, context: &str) -> Result<bool, StoreError> {
    let mut rows = store
        .of(context)
        .query("SELECT VALUE id FROM array::first([$all]) LIMIT 1")
        .bind(("all", range("event", &[Part::from(context)], &[])))
        .await?;
    let rows: Vec<surrealdb::types::RecordId> = rows.take(0)?;
    Ok(!rows.is_empty())
}
