//! Reading batches.

use maru_schemas::replays::Came;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Batch, Batches, Item, Noted};
use crate::store::{Key, Part, StoreError, range};

pub(super) fn batch_key(batch: Uuid) -> Key {
    Key::new("batch", [Part::from(batch)])
}

pub(super) fn open_key(batch: Uuid) -> Key {
    Key::new("batch_open", [Part::from(batch)])
}

pub(super) fn item_key(batch: Uuid, item: &Item) -> Key {
    let lane = Part::from(item.lane.as_str());
    Key::new("batch_item", [Part::from(batch), lane, Part::from(item.message)])
}

#[derive(Deserialize)]
struct BatchRow {
    key: (Uuid,),
    what: String,
    asker: String,
    about: Value,
    callback: super::Callback,
    began: jiff::Timestamp,
    finished: Option<jiff::Timestamp>,
    total: u64,
    done: u64,
    refused: u64,
    dead: u64,
    skipped: u64,
}

impl From<BatchRow> for Batch {
    fn from(row: BatchRow) -> Self {
        Self {
            id: row.key.0,
            what: row.what,
            by: row.asker,
            about: row.about,
            began: row.began,
            finished: row.finished,
            of: row.total,
            counts: [row.done, row.refused, row.dead, row.skipped],
            callback: row.callback,
        }
    }
}

#[derive(Deserialize)]
struct NotedRow {
    key: (Uuid, String, Uuid),
    nth: u64,
    number: u64,
    came: Option<Came>,
    why: Option<String>,
}

/// What is read of a batch.
const ROW: &str = "SELECT VALUE {
    key: record::id(id), what: what, asker: asker, about: about, callback: callback, began: began,
    finished: finished, total: total, done: done, refused: refused, dead: dead, skipped: skipped
}";

fn read<T: serde::de::DeserializeOwned>(row: Value) -> Result<T, StoreError> {
    serde_json::from_value(row).map_err(StoreError::Row)
}

impl Batches {
    /// A batch as it stands.
    ///
    /// # Errors
    /// When the database does not answer, or the row is not what it should be.
    pub async fn get(&self, batch: Uuid) -> Result<Option<Batch>, StoreError> {
        let mut rows = self
            .store
            .db()
            .query(format!("{ROW} FROM ONLY $batch"))
            .bind(("batch", batch_key(batch).record()))
            .await?;
        let row: Option<Value> = rows.take(0)?;
        row.map(|row| read::<BatchRow>(row).map(Batch::from)).transpose()
    }

    /// The newest batches of a kind, the newest first.
    ///
    /// # Errors
    /// When the database does not answer, or a row is not what it should be.
    pub async fn newest(&self, what: &'static str, limit: usize) -> Result<Vec<Batch>, StoreError> {
        let mut rows = self
            .store
            .db()
            .query(format!("{ROW} FROM $all WHERE what = $what"))
            .bind(("all", range("batch", &[], &[])))
            .bind(("what", what))
            .await?;
        let rows: Vec<Value> = rows.take(0)?;
        let read = |row| read::<BatchRow>(row).map(Batch::from);
        let mut batches: Vec<Batch> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        // Retention keeps them to some weeks' worth, so that reading all of them is little.
        batches.sort_by_key(|batch| std::cmp::Reverse((batch.began, batch.id)));
        batches.truncate(limit);
        Ok(batches)
    }

    /// The messages of a batch in their order.
    ///
    /// # Errors
    /// When the database does not answer, or a row is not what it should be.
    pub async fn items(&self, batch: Uuid) -> Result<Vec<Noted>, StoreError> {
        let mut rows = self
            .store
            .db()
            .query("SELECT VALUE { key: record::id(id), nth: nth, number: number, came: came, why: why } FROM $all")
            .bind(("all", range("batch_item", &[Part::from(batch)], &[])))
            .await?;
        let rows: Vec<Value> = rows.take(0)?;
        let mut rows: Vec<NotedRow> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        rows.sort_by_key(|row| row.nth);
        let noted = |row: NotedRow| {
            let (_, lane, message) = row.key;
            Noted {
                item: Item {
                    lane,
                    message,
                    number: row.number,
                },
                came: row.came,
                why: row.why,
            }
        };
        Ok(rows.into_iter().map(noted).collect())
    }
}
