//! The database, as the rest of the house sees it: rows of JSON under composite keys, read by point
//! or by a forward range. Everything else (ranges backwards, offsets, counting scans) is linear
//! somewhere, so it is not offered.
//!
//! There may be several: one for everything, and one for each context that has its own. [`rooms`] says which
//! row is in which; whoever reads or writes by key need not know.
//!
//! What holds them is shared by cloning this; cloning the SDK's own handle would open a session each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use serde::Serialize;
use serde::de::DeserializeOwned;
use surrealdb::types::{RecordId, Value};
use uuid::Uuid;

mod db;
mod division;
mod key;
mod line;
mod migrate;
mod outcome;
mod rooms;
mod snapshot;

pub(crate) use db::Db;
pub(crate) use key::{Field, range};
pub use key::{Key, Part};
pub use outcome::{StoreError, Tx, classify};
pub use rooms::Addresses;
use rooms::{Room, Rooms};
pub(crate) use snapshot::Snapshot;

/// The most rows of one question.
const PART: usize = 512;

/// The database, shared; or all of them, where contexts have their own.
#[derive(Clone)]
pub struct Store {
    rooms: Arc<Rooms>,
}

/// How to sign in at a remote database; an embedded one has no users.
#[derive(Clone)]
pub struct Credentials {
    /// A user of the root level.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl Store {
    /// Opens the database at a URL, or all of them, and brings their tables up to date: `surrealkv:///folder`,
    /// `ws://host:8000`, or `mem://` for tests. Each has all tables; what is not of its room stays empty.
    ///
    /// # Errors
    /// When one cannot be reached or opened (somebody else has the folder, say), a migration fails, or they were
    /// divided otherwise when they were first opened.
    pub async fn open(addresses: impl Into<Addresses>, credentials: Option<Credentials>) -> Result<Self, StoreError> {
        let addresses = addresses.into();
        let open = async |name, url: &str| Room::open(name, url, credentials.clone()).await.map(Arc::new);
        let main = open(rooms::MAIN, &addresses.main).await?;
        let mut own = BTreeMap::new();
        for (context, url) in &addresses.own {
            own.insert(*context, open(context, url).await?);
        }
        let store = Self {
            rooms: Arc::new(Rooms { main, own }),
        };
        for room in store.each() {
            migrate::run(&room).await?;
        }
        division::check(&store).await?;
        Ok(store)
    }

    /// The main one: views, and all that the machinery keeps beside the write side.
    pub(crate) fn db(&self) -> &Db {
        &self.rooms.main.db
    }

    /// The one of a context: its tables, and its part of inbox, event log and outbox. What is read or written
    /// in one transaction there is of this context alone.
    pub(crate) fn of(&self, context: &str) -> &Db {
        &self.rooms.of(context).db
    }

    /// The one in which rows of this table lie whose key begins so.
    pub(crate) fn at(&self, table: &str, parts: &[Part]) -> &Db {
        &self.rooms.at(table, parts).db
    }

    /// Each of them by itself, the main one first: for who goes through what all of them have.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> + '_ {
        self.rooms.each().map(|room| Self {
            rooms: Arc::new(Rooms {
                main: Arc::clone(room),
                own: BTreeMap::new(),
            }),
        })
    }

    /// What the main one of these is called: `main`, or the context if it is one of [`Store::each`].
    pub(crate) fn name(&self) -> &'static str {
        self.rooms.main.name
    }

    /// Which context it belongs to, if it is one of [`Store::each`] and not the main one.
    pub(crate) fn context(&self) -> Option<&'static str> {
        Some(self.name()).filter(|name| *name != rooms::MAIN)
    }

    /// What the one of a context is called: as the context, or `main`.
    pub(crate) fn name_of(&self, context: &str) -> &'static str {
        self.rooms.of(context).name
    }

    /// Whether every database answers.
    ///
    /// # Errors
    /// When one does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let asked = self.rooms.each().map(|room| room.ping());
        join_all(asked).await.into_iter().collect()
    }

    /// Whether those answer that this context's commands need.
    pub(crate) async fn ping_for(&self, context: &str) -> Result<(), StoreError> {
        self.rooms.main.ping().await?;
        match self.rooms.of(context) {
            room if Arc::ptr_eq(room, &self.rooms.main) => Ok(()),
            room => room.ping().await,
        }
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
        let text = match what {
            Field::Doc => "RETURN $ids.doc",
            Field::State => "RETURN $ids.state",
        };
        // Each database is asked for its own, and what it says goes to the places of those keys. Who asks for much
        // asks in parts, for the database works on one question with one processor.
        let divided: Vec<_> = self.rooms.divide(keys).collect();
        let parts = divided
            .iter()
            .flat_map(|(room, places)| places.chunks(PART).map(move |part| (room, part)));
        let asked = parts.map(async |(room, places)| {
            let ids: Vec<RecordId> = places.iter().map(|place| keys[*place].record()).collect();
            let mut rows = room.db.query(text).bind(("ids", ids)).await?;
            match rows.take(0)? {
                Value::Array(rows) => Ok((places, rows)),
                _ => Err(StoreError::Commit("a list was asked for".to_owned())),
            }
        });
        let mut found = vec![None; keys.len()];
        for (places, rows) in try_join_all(asked).await? {
            for (place, row) in places.iter().zip(rows) {
                found[*place] = Some(row.into_json_value()).filter(|row| !row.is_null());
            }
        }
        Ok(found)
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
        let db = self.at(&key.table, &key.parts);
        let mut rows = db.query(text).bind(("id", key.record())).await?;
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
            .at(table, prefix)
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
            self.at(&key.table, &key.parts)
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
            self.at(&key.table, &key.parts)
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

    /// Deletes rows; those that are not there are as good. Those of one database go together.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        let keys: Vec<&Key> = keys.iter().collect();
        for (room, places) in self.rooms.divide(&keys) {
            let rows: Vec<RecordId> = places.iter().map(|place| keys[*place].record()).collect();
            let run = || {
                let text = "{ DELETE $rows RETURN NONE; RETURN NONE; }";
                room.db.query(text).bind(("rows", rows.clone())).into_future()
            };
            match retry(run).await? {
                Tx::Done(_) => {}
                other => return Err(other.into()),
            }
        }
        Ok(())
    }
}

/// Of a range that is named outright the database reads all, and cuts the page off it then: a list of twenty cost a
/// quarter of a second where there were sixty thousand. One that it comes upon is read no further than asked
/// (decision 31).
const PAGE: &str = "SELECT VALUE { key: record::id(id), doc: doc } FROM array::first([$range]) LIMIT $limit";

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
