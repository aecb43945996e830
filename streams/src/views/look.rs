//! What readers get: mark, colour and rows in one reading, so that a swap or a drop in between cannot
//! be noticed. Nothing is remembered from one reading to the next.

use serde::de::DeserializeOwned;
use serde_json::Value;
use surrealdb::types::RecordId;

use super::colour::Colour;
use super::plan::row;
use crate::store::{Key, Part, Store, StoreError, range};

/// Rows with the mark that they belong to.
#[derive(Debug)]
pub struct Look<T> {
    /// How far the view had read.
    pub seq: u64,
    /// What was there; none if the view has not read as far as was asked.
    pub rows: Option<T>,
}

const LOOK: &str = "{
    LET $is_green = (SELECT VALUE reads FROM ONLY $row) = 'green';
    LET $mark = IF $is_green { $green_mark } ELSE { $blue_mark };
    LET $seq = (SELECT VALUE seq FROM ONLY $mark) ?? 0;
    IF $seq < $wanted { RETURN { seq: $seq } };
    LET $from = IF $is_green { $green } ELSE { $blue };
    RETURN { seq: $seq, rows: (SELECT VALUE { key: record::id(id), doc: doc } FROM array::first([$from]) LIMIT $limit) };
}";

/// One row of a view that has read as far as `wanted`.
///
/// # Errors
/// When the database does not answer, or the row is not what it should be.
pub async fn get<T: DeserializeOwned>(
    store: &Store,
    view: &'static str,
    key: &Key,
    wanted: u64,
) -> Result<Look<Option<T>>, StoreError> {
    let one = |colour: Colour| colour.key(key).record();
    let found = look(store, view, one, 1, wanted).await?;
    let rows = found.rows.map(|rows| rows.into_iter().next());
    let rows = rows.map(|row| row.map(|(_, doc)| serde_json::from_value(doc)).transpose());
    Ok(Look {
        seq: found.seq,
        rows: rows.transpose().map_err(StoreError::Row)?,
    })
}

/// A page of rows of a view that has read as far as `wanted`, under a prefix in key order, each with the
/// rest of its key, which is what `after` takes to read on.
///
/// # Errors
/// When the database does not answer, or a row is not what it should be.
pub async fn page<T: DeserializeOwned>(
    store: &Store,
    view: &'static str,
    prefix: &[Part],
    after: &[Part],
    limit: usize,
    wanted: u64,
) -> Result<Look<Vec<(Vec<Part>, T)>>, StoreError> {
    let all = |colour: Colour| range(&colour.of(view), prefix, after);
    let found = look(store, view, all, limit, wanted).await?;
    let read = |(key, doc): (Vec<Part>, Value)| {
        let rest = key.into_iter().skip(prefix.len()).collect();
        Ok((rest, serde_json::from_value(doc).map_err(StoreError::Row)?))
    };
    let rows = found
        .rows
        .map(|rows| rows.into_iter().map(read).collect::<Result<_, StoreError>>());
    Ok(Look {
        seq: found.seq,
        rows: rows.transpose()?,
    })
}

async fn look(
    store: &Store,
    view: &'static str,
    from: impl Fn(Colour) -> RecordId,
    limit: usize,
    wanted: u64,
) -> Result<Look<Vec<(Vec<Part>, Value)>>, StoreError> {
    let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
    let mut answer = store
        .db()
        .query(LOOK)
        .bind(("row", row(view).record()))
        .bind(("blue_mark", Colour::Blue.mark(view).record()))
        .bind(("green_mark", Colour::Green.mark(view).record()))
        .bind(("blue", from(Colour::Blue)))
        .bind(("green", from(Colour::Green)))
        .bind(("wanted", signed(wanted)))
        .bind(("limit", i64::try_from(limit).unwrap_or(i64::MAX)))
        .await?;
    let found: Option<Value> = answer.take(0)?;
    let mut found = found.unwrap_or_default();
    let seq = found["seq"].as_u64().unwrap_or_default();
    let rows = match found["rows"].take() {
        Value::Array(rows) => Some(rows),
        _ => None,
    };
    let read = |mut row: Value| {
        let key = serde_json::from_value(row["key"].take()).map_err(StoreError::Row)?;
        Ok((key, row["doc"].take()))
    };
    let rows = rows.map(|rows| rows.into_iter().map(read).collect::<Result<_, StoreError>>());
    Ok(Look {
        seq,
        rows: rows.transpose()?,
    })
}
