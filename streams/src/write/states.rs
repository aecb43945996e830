//! States of a context's aggregates, a page at a time and in the order of their ids: for whoever looks at all of
//! them. And when an aggregate was changed, which only the event log knows.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use surrealdb::types::RecordId;
use uuid::Uuid;

use crate::store::{Key, Part, Store, StoreError, range};

#[derive(Deserialize)]
struct Row<T> {
    id: Uuid,
    version: u64,
    state: T,
}

/// The next states of a context behind this id: id, version and state.
///
/// # Errors
/// When the database does not answer, or a state cannot be read by this build.
pub async fn page<T: DeserializeOwned>(
    store: &Store,
    context: &'static str,
    after: Option<Uuid>,
    most: usize,
) -> Result<Vec<(Uuid, u64, T)>, StoreError> {
    let after: Vec<Part> = after.into_iter().map(Part::from).collect();
    let mut rows = store
        .of(context)
        .query("SELECT VALUE { id: record::id(id)[0], version: version, state: state } FROM array::first([$range]) LIMIT $most")
        .bind(("range", range(context, &[], &after)))
        .bind(("most", i64::try_from(most).unwrap_or(i64::MAX)))
        .await?;
    let rows: Vec<serde_json::Value> = rows.take(0)?;
    let read = |row| serde_json::from_value::<Row<T>>(row).map_err(StoreError::Row);
    let rows = rows.into_iter().map(read);
    rows.map(|row| row.map(|row| (row.id, row.version, row.state)))
        .collect()
}

/// These states of a context, by id, with their versions; of ids that are not there, nothing.
///
/// # Errors
/// When the database does not answer, or a state cannot be read by this build.
pub async fn many<T: DeserializeOwned>(
    store: &Store,
    context: &'static str,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, (u64, T)>, StoreError> {
    let ids: Vec<RecordId> = ids.iter().map(|id| Key::of(context, *id).record()).collect();
    let mut rows = store
        .of(context)
        .query("SELECT VALUE { id: record::id(id)[0], version: version, state: state } FROM $ids")
        .bind(("ids", ids))
        .await?;
    let rows: Vec<serde_json::Value> = rows.take(0)?;
    let read = |row| serde_json::from_value::<Row<T>>(row).map_err(StoreError::Row);
    let rows = rows.into_iter().map(read);
    rows.map(|row| row.map(|row| (row.id, (row.version, row.state))))
        .collect()
}

/// When an aggregate came to this version: when what led to it was asked for.
///
/// # Errors
/// When the database does not answer.
pub async fn changed_at(
    store: &Store,
    context: &'static str,
    aggregate: Uuid,
    version: u64,
) -> Result<Option<Timestamp>, StoreError> {
    let version = Part::Number(i64::try_from(version).unwrap_or(i64::MAX));
    let key = Key::new("event", [Part::from(context), Part::from(aggregate), version]);
    let mut rows = store
        .of(context)
        .query("SELECT VALUE at FROM ONLY $id")
        .bind(("id", key.record()))
        .await?;
    let at: Option<String> = rows.take(0)?;
    Ok(at.and_then(|at| at.parse().ok()))
}
