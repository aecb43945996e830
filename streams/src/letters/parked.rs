//! The order of a key, in a lane that keeps order: as long as one of its messages is retrying or dead, the
//! later ones wait. The database has a row for each that waits, in the order of their stream:
//!
//! ```text
//!  parked:[flow-checkout, purchase 7, 41]   is_retrying or dead: the head
//!                                     44    behind it
//!                                     52    behind it
//! ```
//!
//! When the head leaves, whatever is first then is released. Two things may happen at the same moment: the
//! last row leaves, and somebody is put behind it. So putting writes the first row too, and leaving deletes
//! it; the database lets only one of the two through, and the other looks again.

use std::ops::Bound;

use serde::Deserialize;
use surrealdb::types::{RecordId, RecordIdKey, RecordIdKeyRange};
use uuid::Uuid;

use crate::store::{Key, Part, Store, StoreError, Tx, range, retry};

/// A message's place in the order of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lane: String,
    pub(crate) key: Uuid,
    /// Its sequence in the stream.
    pub(crate) seq: u64,
    pub(crate) message: Uuid,
}

/// The first of a key's messages that wait.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct First {
    pub(crate) seq: u64,
    pub(crate) message: Uuid,
    pub(crate) is_retrying: bool,
}

impl Place {
    fn parts(&self) -> [Part; 2] {
        [Part::from(self.lane.as_str()), Part::from(self.key)]
    }

    fn row(&self) -> RecordId {
        let [lane, key] = self.parts();
        Key::new("parked", [lane, key, number(self.seq)]).record()
    }

    /// Every row before this one.
    fn before(&self) -> RecordId {
        let bound = |parts: Vec<Part>| Key::new("parked", parts).record().key;
        let [lane, key] = self.parts();
        RecordId::new(
            "parked",
            RecordIdKey::Range(Box::new(RecordIdKeyRange {
                start: Bound::Included(bound(vec![lane.clone(), key.clone()])),
                end: Bound::Excluded(bound(vec![lane, key, number(self.seq)])),
            })),
        )
    }

    /// The first of the key that waits, be it this one or another.
    pub(crate) async fn first(&self, store: &Store) -> Result<Option<First>, StoreError> {
        let mut rows = store
            .db()
            .query(
                "SELECT VALUE { seq: record::id(id)[2], message: message, is_retrying: is_retrying } FROM $all LIMIT 1",
            )
            .bind(("all", range("parked", &self.parts(), &[])))
            .await?;
        let rows: Vec<serde_json::Value> = rows.take(0)?;
        rows.into_iter()
            .next()
            .map(|row| serde_json::from_value(row).map_err(StoreError::Row))
            .transpose()
    }

    /// Has the later ones wait for this one: until it is done, or until somebody decides about it.
    pub(crate) async fn take(&self, store: &Store, is_retrying: bool) -> Result<(), StoreError> {
        let run = || async {
            store
                .db()
                .query("UPSERT $row SET message = $message, is_retrying = $retrying RETURN NONE")
                .bind(("row", self.row()))
                .bind(("message", self.message.to_string()))
                .bind(("retrying", is_retrying))
                .await
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(()),
            other => Err(other.into()),
        }
    }

    /// Puts this one behind the first. False if there is none before it any more.
    pub(crate) async fn follow(&self, store: &Store) -> Result<bool, StoreError> {
        const TEXT: &str = "{
            LET $first = (SELECT VALUE id FROM $before LIMIT 1)[0];
            IF $first = NONE { THROW 'nobody_before' };
            UPDATE $first SET behind += 1 RETURN NONE;
            UPSERT $row SET message = $message, is_retrying = false RETURN NONE;
            RETURN true;
        }";
        let run = || async {
            store
                .db()
                .query(TEXT)
                .bind(("before", self.before()))
                .bind(("row", self.row()))
                .bind(("message", self.message.to_string()))
                .await
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(true),
            Tx::Refused(why) if why == "nobody_before" => Ok(false),
            other => Err(other.into()),
        }
    }

    /// Lets the later ones go on.
    pub(crate) async fn leave(&self, store: &Store) -> Result<(), StoreError> {
        let run = || async {
            store
                .db()
                .query("DELETE $row RETURN NONE")
                .bind(("row", self.row()))
                .await
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(()),
            other => Err(other.into()),
        }
    }
}

fn number(seq: u64) -> Part {
    Part::Number(i64::try_from(seq).unwrap_or(i64::MAX))
}
