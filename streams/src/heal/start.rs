//! How the database was found when Maru last started on it, for who asks later: the log of that moment may be
//! gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Report;
use crate::store::{Key, Part, Store, StoreError, Tx, retry};

/// One start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// When.
    pub at: Timestamp,
    /// What healing found, if the database had not been closed at its last end or is another one.
    pub healed: Option<Report>,
}

fn key() -> Key {
    Key::new("heal_mark", [Part::from("start")])
}

impl Start {
    /// The last start on a database; none if there was none that wrote it down.
    ///
    /// # Errors
    /// When it does not answer, or the row is not what it should be.
    pub async fn of(store: &Store) -> Result<Option<Self>, StoreError> {
        store.get(&key()).await
    }

    /// Writes it into the database, in place of the one before. What stays broken is counted and not named:
    /// healing again names it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn keep(mut self, store: &Store) -> Result<(), StoreError> {
        if let Some(report) = &mut self.healed {
            report.unhealable.clear();
        }
        let doc = serde_json::to_value(self).map_err(StoreError::Row)?;
        let run = || {
            store
                .db()
                .query("UPSERT $id CONTENT { doc: $doc } RETURN NONE")
                .bind(("id", key().record()))
                .bind(("doc", doc.clone()))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(()),
            other => Err(other.into()),
        }
    }
}
