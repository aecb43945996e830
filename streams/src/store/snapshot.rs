//! The database as it is at one moment, for who has more to read than one query should give: rows of views,
//! which are all in the main one.

use surrealdb::engine::any::Any;
use surrealdb::method::Transaction;

use super::db::Session;
use super::{Key, PAGE, Part, Store, StoreError, range, read_page};

/// A moment. It is to be ended.
pub(crate) struct Snapshot {
    // A session of its own, which is what a transaction of several queries takes.
    session: Session,
    tx: Transaction<Any>,
}

impl Store {
    /// This moment.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let session = self.db().session().await?;
        let tx = session.within(session.db.clone().begin().into_future()).await?;
        Ok(Snapshot { session, tx })
    }
}

impl Snapshot {
    /// A document.
    pub async fn get(&self, key: &Key) -> Result<Option<serde_json::Value>, StoreError> {
        self.field(key, "SELECT VALUE doc FROM ONLY $id").await
    }

    /// A field of a row that is no document.
    pub async fn field(&self, key: &Key, text: &'static str) -> Result<Option<serde_json::Value>, StoreError> {
        let asked = self.tx.query(text).bind(("id", key.record()));
        let mut rows = self.session.within(asked.into_future()).await?;
        Ok(rows.take(0)?)
    }

    /// A page of a whole table, in the order of keys.
    pub async fn page(
        &self,
        table: &str,
        after: &[Part],
        limit: i64,
    ) -> Result<Vec<(Vec<Part>, serde_json::Value)>, StoreError> {
        let asked = self
            .tx
            .query(PAGE)
            .bind(("range", range(table, &[], after)))
            .bind(("limit", limit));
        read_page(self.session.within(asked.into_future()).await?, 0)
    }

    /// Lets the moment go.
    pub async fn end(self) -> Result<(), StoreError> {
        let Self { session, tx } = self;
        session.within(tx.cancel().into_future()).await?;
        Ok(())
    }
}
