//! The effect ledger: every call to the outside world is written down before it is made. Afterwards
//! the row says what is known of it:
//!
//! - `done`: it was made, here is what came of it; it is never made again;
//! - `failed`: it was not made, or came to nothing; it may be made again;
//! - `begun`: maybe. Somebody began it and was not heard of again. Whoever begins it anew gets the
//!   next fence, and should the first one come back, its fence no longer counts.

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use surrealdb::types::Value;
use uuid::Uuid;

use crate::store::{Key, Part, Store, StoreError, Tx, retry};

/// The ledger.
#[derive(Clone)]
pub struct Effects {
    store: Store,
}

/// The right to make one call and to say what came of it.
#[derive(Debug)]
pub struct Effect {
    key: Key,
    fence: i64,
    /// Whether an earlier try of it may have gone through. With the same idempotency key at the
    /// provider, making it again is safe.
    pub maybe_made: bool,
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
    result: serde_json::Value,
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
            .query("SELECT status, fence, result FROM ONLY $id")
            .bind(("id", key.record()))
            .await?;
        let row: Option<serde_json::Value> = rows.take(0)?;
        let row: Option<Row> = row
            .map(|row| serde_json::from_value(row).map_err(StoreError::Row))
            .transpose()?;
        let (text, before, maybe_made) = match row {
            Some(row) if row.status == "done" => {
                let result = row.result["is"].clone();
                return Ok(Begun::Before(serde_json::from_value(result).map_err(StoreError::Row)?));
            }
            Some(row) => (
                "UPDATE $id SET status = 'begun', fence = $before + 1 WHERE fence = $before RETURN VALUE fence",
                row.fence,
                row.status == "begun",
            ),
            None => (
                "CREATE $id CONTENT { status: 'begun', fence: $before + 1 } RETURN VALUE fence",
                0,
                false,
            ),
        };
        let run = || {
            self.store
                .db()
                .query(text)
                .bind(("id", key.record()))
                .bind(("before", before))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(changed) if has_rows(&changed) => {
                if maybe_made {
                    tracing::info!(%job, step, "an earlier try of this call may have gone through");
                }
                Ok(Begun::Now(Effect {
                    key,
                    fence: before + 1,
                    maybe_made,
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
                    "UPDATE $id SET status = $status, result = $result \
                     WHERE fence = $fence AND status = 'begun' RETURN VALUE fence",
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

fn has_rows(value: &Value) -> bool {
    match value {
        Value::Array(rows) => !rows.is_empty(),
        Value::None | Value::Null => false,
        _ => true,
    }
}
