//! The order of a key, in a lane that keeps order: as long as one of its messages is retrying or dead, the
//! later ones wait. The database has a row for each that waits, in the order of their stream:
//!
//! ```text
//!  parked:[flow-checkout, purchase 7, 41]   is_retrying or dead: the head
//!                                     44    behind it
//!                                     52    behind it
//! ```
//!
//! Whatever makes a message wait gives it a row before it is returned to the server: a failure, a house that is
//! out of order, another one before it. So those that wait keep their order among themselves, too.
//!
//! When the head leaves, whatever is first then is released. Two things may happen at the same moment: the
//! last row leaves, and somebody is put behind it. So putting writes the first row too, and leaving deletes
//! it; the database lets only one of the two through, and the other looks again.

use std::ops::Bound;

use serde::Deserialize;
use surrealdb::types::{RecordId, RecordIdKey, RecordIdKeyRange};
use uuid::Uuid;

use super::{Found, LetterError, Letters};
use crate::jobs::settled_up_to;
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

/// Who is first of a key.
pub(crate) enum Foremost {
    /// A message of this sequence, which will come again.
    Message(u64),
    /// A letter.
    Letter(Box<Found>),
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
        // All that wait, who are none or a few: each event of a flow looks, and a lookup is the quicker one.
        let mut rows = store
            .db()
            .query("SELECT VALUE { seq: record::id(id)[2], message: message, is_retrying: is_retrying } FROM $all")
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

    /// Has the later ones wait for this one, which waits itself and has perhaps done so before.
    pub(crate) async fn wait(&self, store: &Store) -> Result<(), StoreError> {
        let mut rows = store
            .db()
            .query("SELECT VALUE is_retrying FROM ONLY $row")
            .bind(("row", self.row()))
            .await?;
        let waits: Option<bool> = rows.take(0)?;
        match waits {
            Some(_) => Ok(()),
            None => self.take(store, true).await,
        }
    }

    /// Puts this one behind the first. False if there is none before it any more.
    pub(crate) async fn follow(&self, store: &Store) -> Result<bool, StoreError> {
        const TEXT: &str = "{
            LET $first = (SELECT VALUE id FROM $before)[0];
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

impl Letters {
    /// Who is first of a key. Rows that mean nothing any more go: the database may lose a commit that took one
    /// away, and an event that was published twice can be put behind itself.
    pub(crate) async fn foremost(&self, of: &Place) -> Result<Option<Foremost>, LetterError> {
        while let Some(first) = of.first(&self.store).await? {
            if first.is_retrying {
                return Ok(Some(Foremost::Message(first.seq)));
            }
            match self.newest(&of.lane, first.message).await? {
                Some(found) if found.letter.seq == first.seq && found.letter.state.is_open() => {
                    return Ok(Some(Foremost::Letter(Box::new(found))));
                }
                Some(_) => {}
                // It is about to become one, unless all of that is long ago.
                None if first.seq > settled_up_to(&self.store, &of.lane).await? => {
                    return Ok(Some(Foremost::Message(first.seq)));
                }
                None => {}
            }
            tracing::warn!(
                lane = of.lane,
                seq = first.seq,
                "a message that is settled held its key up"
            );
            let place = Place {
                seq: first.seq,
                ..of.clone()
            };
            place.leave(&self.store).await?;
        }
        Ok(None)
    }
}

/// Takes away the rows of messages that would wait for another try, but are settled: the database may lose the
/// commit that took one away. `floor`: up to where all is settled.
pub(crate) async fn drop_settled(store: &Store, lane: &str, floor: u64) -> Result<(), StoreError> {
    let run = || async {
        store
            .db()
            .query("DELETE $all WHERE is_retrying = true AND record::id(id)[2] <= $floor RETURN NONE")
            .bind(("all", range("parked", &[Part::from(lane)], &[])))
            .bind(("floor", i64::try_from(floor).unwrap_or(i64::MAX)))
            .await
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(other.into()),
    }
}

fn number(seq: u64) -> Part {
    Part::Number(i64::try_from(seq).unwrap_or(i64::MAX))
}
