//! What a fold sees: the rows as they will be after the events before it, though nothing is written
//! until the whole batch is folded. Owners' rows can be read, never written.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::store::{Key, Part, Store, StoreError};

/// Why an event could not be folded. The view waits and tries again; it never skips.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The database did not answer, or a row is not what it should be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row cannot be written.
    #[error("a row cannot be written")]
    Write(#[source] serde_json::Error),
    /// An event cannot be read by this build.
    #[error("event {seq} cannot be read by this build")]
    Unreadable {
        /// Where it lies.
        seq: u64,
    },
    /// An aggregate's event is missing in between.
    #[error("version {version} of {aggregate} follows on {seen}: one is missing")]
    Gap {
        /// Whose.
        aggregate: Uuid,
        /// The last one applied.
        seen: u64,
        /// The one that came.
        version: u64,
    },
    /// What the event speaks of is not where its owner should keep it.
    #[error("the owner has no {0}")]
    NotThere(&'static str),
}

/// The rows of one view during one batch.
pub struct Rows {
    view: &'static str,
    store: Store,
    changed: HashMap<Key, Option<serde_json::Value>>,
}

/// A key part that sorts the newest first when read forward.
#[must_use]
pub fn newest_first(at: Timestamp) -> i64 {
    i64::MAX - at.as_millisecond()
}

impl Rows {
    pub(super) fn new(view: &'static str, store: Store) -> Self {
        Self {
            view,
            store,
            changed: HashMap::new(),
        }
    }

    /// A row of the view.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, FoldError> {
        match self.changed.get(key) {
            Some(Some(doc)) => Ok(Some(serde_json::from_value(doc.clone()).map_err(StoreError::Row)?)),
            Some(None) => Ok(None),
            None => Ok(self.store.get(key).await?),
        }
    }

    /// Writes a row of the view.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn put(&mut self, key: Key, doc: &impl Serialize) -> Result<(), FoldError> {
        let doc = serde_json::to_value(doc).map_err(FoldError::Write)?;
        self.changed.insert(key, Some(doc));
        Ok(())
    }

    /// Takes a row of the view away.
    pub fn delete(&mut self, key: Key) {
        self.changed.insert(key, None);
    }

    /// Where a thing stands in a list ordered by time, if it was given a place.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn place(&self, thing: Uuid) -> Result<Option<i64>, FoldError> {
        self.get(&self.place_key(thing)).await
    }

    /// Gives a thing its place in a list ordered by time, newest first, and returns it.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn give_place(&mut self, thing: Uuid, at: Timestamp) -> Result<i64, FoldError> {
        let place = newest_first(at);
        self.put(self.place_key(thing), &place)?;
        Ok(place)
    }

    fn place_key(&self, thing: Uuid) -> Key {
        Key::new("view_place", [Part::from(self.view), Part::from(thing)])
    }

    /// A document that its owner keeps. It may be newer than the event.
    ///
    /// # Errors
    /// When the database does not answer, or there is no such document.
    pub async fn owners<T: DeserializeOwned>(&self, what: &'static str, key: &Key) -> Result<T, FoldError> {
        self.store.get(key).await?.ok_or(FoldError::NotThere(what))
    }

    /// An aggregate as its owner keeps it. It may be newer than the event.
    ///
    /// # Errors
    /// When the database does not answer, or there is no such aggregate.
    pub async fn owners_state<T: DeserializeOwned>(&self, table: &'static str, id: Uuid) -> Result<T, FoldError> {
        let state = self.store.state(table, id).await?;
        state.map(|(_, state)| state).ok_or(FoldError::NotThere(table))
    }

    /// Whether an event of this version is new to the view. Remembers that it was applied.
    pub(super) async fn is_new(&mut self, context: &str, aggregate: Uuid, version: u64) -> Result<bool, FoldError> {
        let key = Key::new(
            "view_seen",
            [Part::from(self.view), Part::from(context), Part::from(aggregate)],
        );
        let seen: u64 = self.get(&key).await?.unwrap_or_default();
        if version <= seen {
            return Ok(false);
        }
        if version > seen + 1 {
            return Err(FoldError::Gap {
                aggregate,
                seen,
                version,
            });
        }
        self.put(key, &version)?;
        Ok(true)
    }

    pub(super) fn into_changes(self) -> HashMap<Key, Option<serde_json::Value>> {
        self.changed
    }
}
