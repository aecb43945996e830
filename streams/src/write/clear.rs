//! Clearing the outbox, in company: nobody waits for that, so it should cost as little as it can.

use std::sync::Arc;
use std::time::Duration;

use surrealdb::types::{RecordId, SurrealValue};

use super::company::Together;
use crate::store::{Store, StoreError, Tx, retry};

/// Published rows go, and each command's inbox row learns where its last event lies.
const CLEAR: &str = "{
    DELETE $published RETURN NONE;
    FOR $one IN $told { UPDATE $one.inbox SET outcome.seq = $one.seq RETURN NONE };
    RETURN NONE;
}";

/// What one command left in the outbox.
#[derive(Debug, Default)]
pub(super) struct Cleared {
    /// Its rows.
    pub(super) published: Vec<RecordId>,
    /// What inbox rows learn.
    pub(super) told: Vec<Told>,
}

/// Where the last event of a command lies.
#[derive(Debug, Clone, SurrealValue)]
pub(super) struct Told {
    pub(super) inbox: RecordId,
    pub(super) seq: i64,
}

/// Clears what several left in one database, for it is one commit.
pub(super) struct Clearing {
    pub(super) store: Store,
}

impl Together for Clearing {
    type What = Cleared;
    type Outcome = Result<(), Arc<StoreError>>;

    const REST: Duration = Duration::from_millis(25);

    async fn work(&self, group: &[Arc<Cleared>]) -> Vec<Self::Outcome> {
        let published = group.iter().flat_map(|what| what.published.clone()).collect();
        let told = group.iter().flat_map(|what| what.told.clone()).collect();
        let outcome = self.commit(published, told).await.map_err(Arc::new);
        vec![outcome; group.len()]
    }
}

impl Clearing {
    async fn commit(&self, published: Vec<RecordId>, told: Vec<Told>) -> Result<(), StoreError> {
        let run = || {
            self.store
                .db()
                .query(CLEAR)
                .bind(("published", published.clone()))
                .bind(("told", told.clone()))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(()),
            other => Err(other.into()),
        }
    }
}
