//! The effect ledger: every call to the outside world is written down before it is made. Afterwards
//! the row says what is known of it:
//!
//! - `done`: it was made, here is what came of it; it is never made again;
//! - `failed`: it was not made, or came to nothing; it may be made again;
//! - `cancelled`: it was broken off, because nobody waited for it any more;
//! - `begun`: maybe. Somebody began it and was not heard of again. Whoever begins it anew gets the
//!   next fence, and should the first one come back, its fence no longer counts.
//!
//! How many tries were lost in that way stays written down, so that operators see what was done once
//! and what may have been done twice.

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use surrealdb::types::Value;
use uuid::Uuid;

use crate::store::{Key, Part, Store, StoreError, Tx, range, retry};

/// The ledger.
#[derive(Clone)]
pub struct Effects {
    store: Store,
}

/// The right to make one call and to say what came of it.
#[derive(Debug)]
pub struct Effect {
    key: Key,
    /// Grows with every try; what is written under an older one no longer counts.
    pub(crate) fence: i64,
    /// How many earlier tries were never heard of again: each may have gone through. With the same
    /// idempotency key at the provider, making it again is safe.
    pub lost: i64,
}

/// What the ledger says of a call that is about to be made.
#[derive(Debug)]
pub enum Begun<T> {
    /// Make it.
    Now(Effect),
    /// It was made before, and this came of it.
    Before(T),
}

#[derive(Deserialize)]
struct Row {
    status: String,
    fence: i64,
    #[serde(default)]
    lost: Option<i64>,
    #[serde(default)]
    result: serde_json::Value,
}

/// What is known of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// It was made, and no other try of it was lost.
    DoneOnce,
    /// It was made; an earlier try that was never heard of again may have been made too.
    MaybeTwice,
    /// It is being made, or was begun and never heard of again.
    Maybe,
    /// It came to nothing, and no try of it was lost.
    NotDone,
    /// It was broken off, because nobody waited for it any more.
    Cancelled,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Noted {
    /// Which of the job's calls.
    pub step: String,
    /// What is known of it.
    pub known: Known,
    /// How often it was begun.
    pub tries: i64,
    /// How many of these were never heard of again, the present one not counted.
    pub lost: i64,
}

/// A line as the database has it.
#[derive(Deserialize)]
struct Line {
    step: String,
    #[serde(flatten)]
    row: Row,
}

impl From<Line> for Noted {
    fn from(Line { step, row }: Line) -> Self {
        let lost = row.lost.unwrap_or_default();
        let known = match row.status.as_str() {
            "done" if lost == 0 => Known::DoneOnce,
            "done" => Known::MaybeTwice,
            "failed" if lost == 0 => Known::NotDone,
            "cancelled" => Known::Cancelled,
            _ => Known::Maybe,
        };
        Self {
            step,
            known,
            tries: row.fence,
            lost,
        }
    }
}

impl Effects {
    /// The ledger of this database.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Writes down that a job is about to make a call.
    ///
    /// # Errors
    /// When it could not be written, or somebody else began the same call at this moment: then it
    /// must not be made now.
    pub async fn begin<T: DeserializeOwned>(&self, job: Uuid, step: &str) -> Result<Begun<T>, StoreError> {
        let key = Key::new("effect", [Part::from(job), Part::from(step)]);
        let mut rows = self
            .store
            .db()
            .query("SELECT status, fence, lost, result FROM ONLY $id")
            .bind(("id", key.record()))
            .await?;
        let row: Option<serde_json::Value> = rows.take(0)?;
        let row: Option<Row> = row
            .map(|row| serde_json::from_value(row).map_err(StoreError::Row))
            .transpose()?;
        let (text, before, lost) = match row {
            Some(row) if row.status == "done" => {
                let result = row.result["is"].clone();
                return Ok(Begun::Before(serde_json::from_value(result).map_err(StoreError::Row)?));
            }
            Some(row) => (
                "UPDATE $id SET status = 'begun', fence = $before + 1, lost = $lost, at = time::now() \
                 WHERE fence = $before RETURN VALUE fence",
                row.fence,
                row.lost.unwrap_or_default() + i64::from(row.status == "begun"),
            ),
            None => (
                "CREATE $id CONTENT { status: 'begun', fence: $before + 1, lost: $lost, at: time::now() } \
                 RETURN VALUE fence",
                0,
                0,
            ),
        };
        let run = || {
            self.store
                .db()
                .query(text)
                .bind(("id", key.record()))
                .bind(("before", before))
                .bind(("lost", lost))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(changed) if has_rows(&changed) => {
                if lost > 0 {
                    tracing::info!(%job, step, lost, "an earlier try of this call may have gone through");
                }
                Ok(Begun::Now(Effect {
                    key,
                    fence: before + 1,
                    lost,
                }))
            }
            Tx::Done(_) | Tx::Duplicate(_) => Err(StoreError::Commit("somebody else is making this call".to_owned())),
            other => Err(other.into()),
        }
    }

    /// Notes that the call was made, and what came of it. False if somebody else has begun it anew
    /// meanwhile: then their word counts.
    ///
    /// # Errors
    /// When it could not be written; then the ledger says maybe.
    pub async fn done(&self, effect: &Effect, result: &impl Serialize) -> Result<bool, StoreError> {
        let result = serde_json::json!({ "is": result });
        self.note(effect, "done", Some(result)).await
    }

    /// Notes that the call came to nothing and may be made again.
    ///
    /// # Errors
    /// When it could not be written; then the ledger says maybe.
    pub async fn failed(&self, effect: &Effect) -> Result<bool, StoreError> {
        self.note(effect, "failed", None).await
    }

    /// Notes that the call was broken off because nobody waits for it any more.
    ///
    /// # Errors
    /// When it could not be written; then the ledger says maybe.
    pub async fn cancelled(&self, effect: &Effect) -> Result<bool, StoreError> {
        self.note(effect, "cancelled", None).await
    }

    /// Notes that the try before this one is not lost after all: this one goes on where it was.
    ///
    /// # Errors
    /// When it could not be written; then the ledger says maybe twice, which is the honest direction.
    pub async fn goes_on(&self, effect: &mut Effect) -> Result<(), StoreError> {
        let lost = (effect.lost - 1).max(0);
        let run = || {
            self.store
                .db()
                .query("UPDATE $id SET lost = $lost WHERE fence = $fence RETURN NONE")
                .bind(("id", effect.key.record()))
                .bind(("lost", lost))
                .bind(("fence", effect.fence))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(_) => {
                effect.lost = lost;
                Ok(())
            }
            other => Err(other.into()),
        }
    }

    /// What the ledger says of every call of a job.
    ///
    /// # Errors
    /// When the database does not answer, or a row is not what it should be.
    pub async fn status(&self, job: Uuid) -> Result<Vec<Noted>, StoreError> {
        let mut rows = self
            .store
            .db()
            .query("SELECT VALUE { step: record::id(id)[1], status: status, fence: fence, lost: lost } FROM $range")
            .bind(("range", range("effect", &[Part::from(job)], &[])))
            .await?;
        let rows: Vec<serde_json::Value> = rows.take(0)?;
        rows.into_iter()
            .map(|row| {
                serde_json::from_value::<Line>(row)
                    .map(Noted::from)
                    .map_err(StoreError::Row)
            })
            .collect()
    }

    async fn note(
        &self,
        effect: &Effect,
        status: &'static str,
        result: Option<serde_json::Value>,
    ) -> Result<bool, StoreError> {
        let run = || {
            self.store
                .db()
                .query(
                    "UPDATE $id SET status = $status, result = $result, at = time::now() \
                     WHERE fence = $fence AND (status = 'begun' OR status = $status) RETURN VALUE fence",
                )
                .bind(("id", effect.key.record()))
                .bind(("status", status))
                .bind(("result", result.clone()))
                .bind(("fence", effect.fence))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(changed) => Ok(has_rows(&changed)),
            other => Err(other.into()),
        }
    }
}

pub(crate) fn has_rows(value: &Value) -> bool {
    match value {
        Value::Array(rows) => !rows.is_empty(),
        Value::None | Value::Null => false,
        _ => true,
    }
}
