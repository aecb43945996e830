//! The database, as the rest of the house sees it: rows of JSON under composite keys, read by point
//! or by a forward range. Everything else (ranges backwards, offsets, counting scans) is linear
//! somewhere, so it is not offered.
//!
//! What holds it is shared by cloning this; cloning the SDK's own handle would open a session each time.

use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use surrealdb::types::{Array, Range, RecordId, RecordIdKey, RecordIdKeyRange, Value};
use uuid::Uuid;

mod db;
mod line;
mod migrate;
mod outcome;
mod snapshot;

pub(crate) use db::Db;
pub use outcome::{StoreError, Tx, classify};
pub(crate) use snapshot::Snapshot;

/// The database, shared.
#[derive(Clone)]
pub struct Store {
    db: Arc<Db>,
}

/// How to sign in at a remote database; an embedded one has no users.
#[derive(Clone)]
pub struct Credentials {
    /// A user of the root level.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// Where a row is: a table and the parts of its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which table.
    pub table: Cow<'static, str>,
    /// Compared from left to right, so equality parts come first.
    pub parts: Vec<Part>,
}

/// One part of a key. They are ordered as the database orders them: numbers before texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// A whole number, ordered as such.
    Number(i64),
    /// A text, ordered by its bytes.
    Text(String),
}

impl From<i64> for Part {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Uuid> for Part {
    fn from(id: Uuid) -> Self {
        Self::Text(id.to_string())
    }
}

/// What of a row is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// A document.
    Doc,
    /// The state of an aggregate.
    State,
}

impl Part {
    fn into_value(self) -> Value {
        match self {
            Self::Number(number) => Value::Number(number.into()),
            Self::Text(text) => Value::String(text),
        }
    }
}

impl Key {
    /// A key of any parts.
    pub fn new(table: impl Into<Cow<'static, str>>, parts: impl IntoIterator<Item = Part>) -> Self {
        Self {
            table: table.into(),
            parts: parts.into_iter().collect(),
        }
    }

    /// A key of one part.
    pub fn of(table: &'static str, id: impl Into<Uuid>) -> Self {
        Self::new(table, [id.into().into()])
    }

    pub(crate) fn record(&self) -> RecordId {
        RecordId::new(self.table.as_ref(), array(self.parts.clone()))
    }
}

fn array(parts: Vec<Part>) -> RecordIdKey {
    RecordIdKey::Array(Array::from(parts.into_iter().map(Part::into_value).collect::<Vec<_>>()))
}

/// Every record whose key begins with `prefix`, from after `after` on.
pub(crate) fn range(table: &str, prefix: &[Part], after: &[Part]) -> RecordId {
    let mut start = prefix.to_vec();
    start.extend_from_slice(after);
    let start = array(start);
    let mut end: Vec<Value> = prefix.iter().cloned().map(Part::into_value).collect();
    // `[prefix, ..]` sorts behind every `[prefix, x]`.
    end.push(Value::Range(Box::new(Range::unbounded())));
    RecordId::new(
        table,
        RecordIdKey::Range(Box::new(RecordIdKeyRange {
            start: if after.is_empty() {
                Bound::Included(start)
            } else {
                Bound::Excluded(start)
            },
            end: Bound::Included(RecordIdKey::Array(Array::from(end))),
        })),
    )
}

impl Store {
    /// Opens the database at a URL and brings its tables up to date: `surrealkv:///folder`,
    /// `ws://host:8000`, or `mem://` for tests.
    ///
    /// # Errors
    /// When it cannot be reached or opened (somebody else has the folder, say), or a migration fails.
    pub async fn open(url: &str, credentials: Option<Credentials>) -> Result<Self, StoreError> {
        // Whatever else is asked for, a commit is on disk when it is answered.
        let durable = match url.strip_prefix("surrealkv://") {
            Some(path) if !path.contains('?') => format!("surrealkv://{path}?sync=every"),
            _ => url.to_owned(),
        };
        let db = Db::open(&durable, credentials).await.map_err(StoreError::Open)?;
        let store = Self { db: Arc::new(db) };
        migrate::run(&store).await?;
        Ok(store)
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db
            .query("RETURN 1")
            .await
            .and_then(surrealdb::IndexedResults::check)?;
        Ok(())
    }

    /// Reads one document.
    ///
    /// # Errors
    /// When the database does not answer, or the row is not what it should be.
    pub async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        self.field(key, "SELECT VALUE doc FROM ONLY $id").await
    }

    /// Reads many documents, or many states, in the order of the keys: about a sixth of what it costs to
    /// read each by itself.
    pub(crate) async fn many(&self, keys: &[&Key], what: Field) -> Result<Vec<Option<serde_json::Value>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<RecordId> = keys.iter().map(|key| key.record()).collect();
        let text = match what {
            Field::Doc => "RETURN $ids.doc",
            Field::State => "RETURN $ids.state",
        };
        let mut rows = self.db.query(text).bind(("ids", ids)).await?;
        let rows: Value = rows.take(0)?;
        let Value::Array(rows) = rows else {
            return Err(StoreError::Commit("a list was asked for".to_owned()));
        };
        let read = |row: Value| Some(row.into_json_value()).filter(|row| !row.is_null());
        Ok(rows.into_iter().map(read).collect())
    }

    /// Reads the state and the version of an aggregate, as its owner keeps them.
    ///
    /// # Errors
    /// When the database does not answer, or the row is not what it should be.
    pub async fn state<T: DeserializeOwned>(
        &self,
        table: &'static str,
        id: impl Into<Uuid>,
    ) -> Result<Option<(u64, T)>, StoreError> {
        let row: Option<serde_json::Value> = self
            .field(
                &Key::of(table, id),
                "SELECT VALUE { version: version, state: state } FROM ONLY $id",
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let state = serde_json::from_value(row["state"].clone()).map_err(StoreError::Row)?;
        Ok(Some((row["version"].as_u64().unwrap_or_default(), state)))
    }

    async fn field<T: DeserializeOwned>(&self, key: &Key, text: &'static str) -> Result<Option<T>, StoreError> {
        let mut rows = self.db.query(text).bind(("id", key.record())).await?;
        let doc: Option<serde_json::Value> = rows.take(0)?;
        doc.map(|doc| serde_json::from_value(doc).map_err(StoreError::Row))
            .transpose()
    }

    /// Reads a page of documents under a prefix in key order, each with the rest of its key, which is
    /// what `after` takes to read on.
    ///
    /// # Errors
    /// When the database does not answer, or a row is not what it should be.
    pub async fn page<T: DeserializeOwned>(
        &self,
        table: &'static str,
        prefix: &[Part],
        after: &[Part],
        limit: usize,
    ) -> Result<Vec<(Vec<Part>, T)>, StoreError> {
        let rows = self
            .db
            .query(PAGE)
            .bind(("range", range(table, prefix, after)))
            .bind(("limit", i64::try_from(limit).unwrap_or(i64::MAX)))
            .await?;
        read_page(rows, prefix.len())
    }

    /// Creates a document; false if there is one under this key already, which is left as it is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn create(&self, key: &Key, doc: &impl Serialize) -> Result<bool, StoreError> {
        let doc = serde_json::to_value(doc).map_err(StoreError::Row)?;
        let run = || async {
            self.db
                .query("CREATE $id CONTENT { doc: $doc } RETURN NONE")
                .bind(("id", key.record()))
                .bind(("doc", doc.clone()))
                .await
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(true),
            Tx::Duplicate(_) => Ok(false),
            other => Err(other.into()),
        }
    }

    /// Replaces a document if it still says what it said: the plain form of a guarded change. False
    /// if it does not, or is not there.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace(
        &self,
        key: &Key,
        before: &impl Serialize,
        after: &impl Serialize,
    ) -> Result<bool, StoreError> {
        let before = serde_json::to_value(before).map_err(StoreError::Row)?;
        let after = serde_json::to_value(after).map_err(StoreError::Row)?;
        let run = || async {
            self.db
                .query("UPDATE $id SET doc = $after WHERE doc = $before RETURN VALUE true")
                .bind(("id", key.record()))
                .bind(("before", before.clone()))
                .bind(("after", after.clone()))
                .await
        };
        match retry(run).await? {
            Tx::Done(changed) if !matches!(changed, Value::None) && !is_empty(&changed) => Ok(true),
            // The first answer may have been lost on the way: then it says by now what it was to say.
            Tx::Done(_) => Ok(self.get::<serde_json::Value>(key).await? == Some(after)),
            other => Err(other.into()),
        }
    }

    /// Deletes rows; those that are not there are as good.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        let rows: Vec<RecordId> = keys.iter().map(Key::record).collect();
        let run = || {
            let text = "{ DELETE $rows RETURN NONE; RETURN NONE; }";
            self.db.query(text).bind(("rows", rows.clone())).into_future()
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(()),
            other => Err(other.into()),
        }
    }
}

const PAGE: &str = "SELECT VALUE { key: record::id(id), doc: doc } FROM $range LIMIT $limit";

/// Each document with its key, without the first `known` parts of it.
fn read_page<T: DeserializeOwned>(
    mut rows: surrealdb::IndexedResults,
    known: usize,
) -> Result<Vec<(Vec<Part>, T)>, StoreError> {
    let rows: Vec<serde_json::Value> = rows.take(0)?;
    rows.into_iter()
        .map(|mut row| {
            let key: Vec<Part> = serde_json::from_value(row["key"].take()).map_err(StoreError::Row)?;
            let doc = serde_json::from_value(row["doc"].take()).map_err(StoreError::Row)?;
            Ok((key.into_iter().skip(known).collect(), doc))
        })
        .collect()
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Array(rows) if rows.is_empty())
}

/// How often a conflict is tried again.
pub(crate) const TRIES: u32 = 8;

/// Waits before the nth further try: full jitter, so that those who collided do not meet again.
pub(crate) async fn pause(nth: u32) {
    let most = 2_u64.saturating_mul(1 << nth.min(7)).min(250);
    let wait = rand::random_range(0..=most);
    tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
}

/// Runs a query whose last statement says how it went, again while it merely collides. If the database went
/// away meanwhile it is run once more: whether it had been done, a repeat tells or does not change.
pub(crate) async fn retry<F, Fut>(run: F) -> Result<Tx, StoreError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = surrealdb::Result<surrealdb::IndexedResults>>,
{
    match retry_collisions(&run).await? {
        Tx::Away(_) => retry_collisions(&run).await,
        outcome => Ok(outcome),
    }
}

/// The same for what would be wrong to do twice: an outcome that nobody knows is an error.
pub(crate) async fn retry_collisions<F, Fut>(run: F) -> Result<Tx, StoreError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = surrealdb::Result<surrealdb::IndexedResults>>,
{
    let mut nth = 0;
    loop {
        match classify(run().await) {
            Tx::Retry(_) if nth < TRIES => {
                metrics::counter!("maru_database_conflicts_total").increment(1);
                pause(nth).await;
                nth += 1;
            }
            outcome => return Ok(outcome),
        }
    }
}
