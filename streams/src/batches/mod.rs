//! # Batches
//!
//! Work that belongs together, and one job that is sent when all of it is settled.
//!
//! ```text
//! begin ─▶ batch_item:[batch, lane, message] … , batch:[batch], batch_open:[batch]
//! publish the messages, each with the header `maru-batch`
//!   lane settles one for good ─▶ note: what came of it, and the batch's count, in one transaction
//!   the last one was noted    ─▶ tell: the callback job, once, and batch_open is gone
//! ```
//!
//! What came of a message is written once, so a redelivery counts nothing twice; the callback's id derives from
//! the batch's, so telling twice is telling once. A crash between noting and telling is mended by [`sweep`].
//! Work outside batches pays nothing: a lane looks at one header.
//!
//! Whoever begins a batch does so before publishing, with ids that are fixed, and may repeat both.

mod rows;
mod tell;

use std::sync::Arc;

use async_nats::HeaderMap;
use jiff::Timestamp;
use maru_schemas::message::Message;
use maru_schemas::replays::Came;
use serde::Deserialize;
use serde_json::Value;
use surrealdb::types::{RecordId, SurrealValue};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::headers;
use crate::intention::Clock;
use crate::nats::Nats;
use crate::publish::Publisher;
use crate::store::{Store, StoreError, Tx, retry};
use crate::topology::JOBS;

use self::rows::{batch_key, item_key, open_key};
pub use self::tell::sweep;

/// The header that says to which batch a message belongs.
pub(crate) const BATCH: &str = "maru-batch";

/// Items that are stored in one transaction.
const PAGE: usize = 500;

/// Work that belongs together and begins now.
#[derive(Debug, Clone)]
pub struct Begin {
    /// Unique for ever.
    pub id: Uuid,
    /// What kind of work, in a word: `replay`.
    pub what: &'static str,
    /// Who asked for it.
    pub by: String,
    /// What else is to be known about it.
    pub about: Value,
    /// What is sent when all of it is settled.
    pub callback: Callback,
}

/// The job that is sent when a batch is settled.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Callback {
    kind: String,
    body: String,
}

/// One message of a batch, in the lane that settles it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which lane.
    pub lane: String,
    /// Which message, by its id.
    pub message: Uuid,
    /// What people call it by.
    pub number: u64,
}

/// A batch as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Which.
    pub id: Uuid,
    /// What kind of work.
    pub what: String,
    /// Who asked for it.
    pub by: String,
    /// What else is known about it.
    pub about: Value,
    /// Since when.
    pub began: Timestamp,
    /// When the last message was settled.
    pub finished: Option<Timestamp>,
    /// How many messages it is.
    pub of: u64,
    /// How many came to what: done, refused, dead, skipped.
    pub counts: [u64; 4],
    callback: Callback,
}

impl Batch {
    /// How many messages are settled.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What is known of one message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// The message.
    pub item: Item,
    /// What came of it; none as long as nobody knows.
    pub came: Option<Came>,
    /// Why it was skipped.
    pub why: Option<String>,
}

impl Callback {
    /// This job.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn job(job: &maru_schemas::jobs::Job) -> Result<Self, StoreError> {
        Ok(Self {
            kind: job.kind().to_owned(),
            body: serde_json::to_string(job).map_err(StoreError::Row)?,
        })
    }
}

/// The batches of an installation.
#[derive(Clone)]
pub struct Batches {
    store: Store,
    jobs: Publisher,
    clock: Clock,
    /// Those who settle messages of the same batch in one process take turns, instead of colliding in the
    /// database.
    turn: Arc<Mutex<()>>,
}

#[derive(SurrealValue, Clone)]
struct ItemRow {
    id: RecordId,
    nth: i64,
    number: i64,
}

const BEGIN: &str = "{
    CREATE $batch CONTENT {
        what: $what, asker: $by, about: $about, callback: $callback, began: $began, total: $total
    } RETURN NONE;
    CREATE $open CONTENT { due: time::now() + $rest } RETURN NONE;
    RETURN NONE;
}";

/// Whoever finds the item without a word writes it and counts it; anybody else changes nothing.
const NOTE: &str = "{
    LET $changed = (UPDATE $item SET came = $came, why = $why WHERE came = NONE RETURN VALUE true);
    IF array::len($changed) != 1 { RETURN false };
    LET $row = (UPDATE $batch SET
        done += IF $came = 'done' { 1 } ELSE { 0 },
        refused += IF $came = 'refused' { 1 } ELSE { 0 },
        dead += IF $came = 'dead' { 1 } ELSE { 0 },
        skipped += IF $came = 'skipped' { 1 } ELSE { 0 }
        RETURN VALUE total - done - refused - dead - skipped)[0];
    IF $row != 0 { RETURN false };
    UPDATE $batch SET finished = $now RETURN NONE;
    UPDATE $open SET due = time::now() RETURN NONE;
    RETURN true;
}";

/// To which batch a message belongs, if to any.
pub(crate) fn batch_of(headers: Option<&HeaderMap>) -> Option<Uuid> {
    Uuid::parse_str(headers::header(headers?, BATCH)?).ok()
}

/// The header for a message of a batch; nothing for one of none.
pub(crate) fn header(batch: Option<Uuid>) -> Option<(&'static str, String)> {
    batch.map(|batch| (BATCH, batch.to_string()))
}

impl Batches {
    /// The batches of this database; callbacks go to this server.
    #[must_use]
    pub fn new(nats: Nats, store: Store, clock: Clock) -> Self {
        Self {
            jobs: Publisher::start(nats, JOBS),
            store,
            clock,
            turn: Arc::default(),
        }
    }

    /// Stores a batch with all its messages; from then on it will come to its end. One that is there already
    /// stays as it is.
    ///
    /// # Errors
    /// When the database does not answer. Then nothing may be published yet; beginning again is right.
    pub async fn begin(&self, begin: &Begin, items: &[Item]) -> Result<(), StoreError> {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let row = |(nth, item): (u64, &Item)| ItemRow {
            id: item_key(begin.id, item).record(),
            nth: signed(nth),
            number: signed(item.number),
        };
        let rows: Vec<ItemRow> = (0..).zip(items).map(row).collect();
        for page in rows.chunks(PAGE) {
            let run = || {
                let text = "{ INSERT IGNORE INTO batch_item $rows RETURN NONE; RETURN NONE; }";
                self.store.db().query(text).bind(("rows", page.to_vec())).into_future()
            };
            done(retry(run).await?)?;
        }
        // The batch itself comes last: one without all its messages is none.
        let Callback { kind, body } = &begin.callback;
        let run = || {
            self.store
                .db()
                .query(BEGIN)
                .bind(("batch", batch_key(begin.id).record()))
                .bind(("open", open_key(begin.id).record()))
                .bind(("what", begin.what))
                .bind(("by", begin.by.clone()))
                .bind(("about", begin.about.clone()))
                .bind(("callback", serde_json::json!({ "kind": kind, "body": body })))
                .bind(("began", self.clock.now().to_string()))
                .bind(("total", signed(items.len() as u64)))
                .bind(("rest", surrealdb::types::Duration::from(tell::CLAIM)))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(_) | Tx::Duplicate(_) => Ok(()),
            other => Err(other.into()),
        }
    }

    /// Notes what came of a message, once; whoever notes the last one sends the callback.
    ///
    /// # Errors
    /// When the database does not answer. Noting it again is right.
    pub(crate) async fn note(&self, batch: Uuid, lane: &str, message: Uuid, came: Came) -> Result<(), StoreError> {
        self.note_why(batch, lane, message, came, None).await
    }

    pub(crate) async fn note_why(
        &self,
        batch: Uuid,
        lane: &str,
        message: Uuid,
        came: Came,
        why: Option<&str>,
    ) -> Result<(), StoreError> {
        let item = Item {
            lane: lane.to_owned(),
            message,
            number: 0,
        };
        let was_last = {
            let _turn = self.turn.lock().await;
            let run = || {
                self.store
                    .db()
                    .query(NOTE)
                    .bind(("item", item_key(batch, &item).record()))
                    .bind(("batch", batch_key(batch).record()))
                    .bind(("open", open_key(batch).record()))
                    .bind(("came", came.as_str()))
                    .bind(("why", why.map(str::to_owned)))
                    .bind(("now", self.clock.now().to_string()))
                    .into_future()
            };
            done(retry(run).await?)? == surrealdb::types::Value::Bool(true)
        };
        if was_last && let Err(error) = self.tell(batch).await {
            // Whoever looks after open batches does it.
            tracing::warn!(%batch, %error, "that a batch is settled could not be told yet");
        }
        Ok(())
    }
}

fn done(outcome: Tx) -> Result<surrealdb::types::Value, StoreError> {
    match outcome {
        Tx::Done(value) => Ok(value),
        other => Err(other.into()),
    }
}
