//! The database as it is at one moment, for who has more to read than one query should give.

use surrealdb::engine::any::Any;
use surrealdb::method::Transaction;

use super::{Key, PAGE, Part, Store, StoreError, range, read_page};

/// A moment. It is to be ended.
pub(crate) struct Snapshot {
    tx: Transaction<Any>,
}

impl Store {
    /// This moment.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        // A session of its own, which is what a transaction of several queries takes.
        let tx = self.db.as_ref().clone().begin().await?;
        Ok(Snapshot { tx })
    }
}

impl Snapshot {
    /// A document.
    pub async fn get(&self, key: &Key) -> Result<Option<serde_json::Value>, StoreError> {
        self.field(key, "SELECT VALUE doc FROM ONLY $id").await
    }

    /// A field of a row that is no document.
    pub async fn field(&self, key: &Key, text: &'static str) -> Result<Option<serde_json::Value>, StoreError> {
        let mut rows = self.tx.query(text).bind(("id", key.record())).await?;
        Ok(rows.take(0)?)
    }

    /// A page of a whole table, in the order of keys.
    pub async fn page(
        &self,
        table: &str,
        after: &[Part],
        limit: i64,
    ) -> Result<Vec<(Vec<Part>, serde_json::Value)>, StoreError> {
        let rows = self
            .tx
            .query(PAGE)
            .bind(("range", range(table, &[], after)))
            .bind(("limit", limit))
            .await?;
        read_page(rows, 0)
    }

    /// Lets the moment go.
    pub async fn end(self) -> Result<(), StoreError> {
        self.tx.cancel().await?;
        Ok(())
    }
}
