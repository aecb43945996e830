//! What a fold sees: the rows as they will be after the events before it, though nothing is written
//! until the whole batch is folded. Owners' rows can be read, never written.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::colour::Colour;
use crate::store::{Field, Key, Part, Store, StoreError};

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
    /// Only while rows are gathered: it will be read together with others, and folded again.
    #[error("a row was not read yet")]
    NotReadYet,
}

/// Rows that are remembered from one batch to the next, at most.
const KNOWN: usize = 8192;
/// Of so many rows it is remembered, while a view is built from nothing, that they were written: some 40 MB.
const WRITTEN: usize = 2_000_000;

/// The rows of one colour of a view, as its only reader sees them.
pub struct Rows {
    view: &'static str,
    colour: Colour,
    store: Store,
    changed: HashMap<Key, Option<Value>>,
    /// What was read or written before. Nobody else writes these rows: if somebody did, the mark has
    /// moved, nothing of this can be committed, and the reading begins anew with new rows.
    known: Mutex<HashMap<Key, Option<Value>>>,
    /// Of a colour that was empty, and that nobody else has written to: the hashes of all keys that were written. What is
    /// not among them is not in the database either, and need not be asked for.
    written: Option<HashSet<u64>>,
    /// Owners' rows as they were during this batch. They were read after every event of it had come, so
    /// they are at least as new as any of them.
    owned: Mutex<HashMap<Key, Option<Value>>>,
    /// While rows are gathered: those that folds asked for and that are not known yet.
    gathered: Option<Mutex<HashSet<Wanted>>>,
}

/// A row that a fold asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Wanted {
    Own(Key),
    OwnersDoc(Key),
    OwnersState(Key),
}

impl Wanted {
    const fn key(&self) -> &Key {
        match self {
            Self::Own(key) | Self::OwnersDoc(key) | Self::OwnersState(key) => key,
        }
    }

    const fn field(&self) -> Field {
        match self {
            Self::Own(_) | Self::OwnersDoc(_) => Field::Doc,
            Self::OwnersState(_) => Field::State,
        }
    }
}

/// A key part that sorts the newest first when read forward.
#[must_use]
pub fn newest_first(at: Timestamp) -> i64 {
    i64::MAX - at.as_millisecond()
}

fn hash(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rows {
    pub(super) fn new(view: &'static str, colour: Colour, store: Store) -> Self {
        Self {
            view,
            colour,
            store,
            changed: HashMap::new(),
            known: Mutex::default(),
            written: None,
            owned: Mutex::default(),
            gathered: None,
        }
    }

    /// Of a colour that was cleared, and of which nothing has been written.
    pub(super) fn from_nothing(view: &'static str, colour: Colour, store: Store) -> Self {
        Self {
            written: Some(HashSet::new()),
            ..Self::new(view, colour, store)
        }
    }

    /// A row of the view.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, FoldError> {
        self.read(self.colour.key(key)).await
    }

    async fn read<T: DeserializeOwned>(&self, key: Key) -> Result<Option<T>, FoldError> {
        let doc = match self.changed.get(&key) {
            Some(doc) => doc.clone(),
            None => self.look(Wanted::Own(key)).await?,
        };
        doc.map(|doc| serde_json::from_value(doc).map_err(|error| StoreError::Row(error).into()))
            .transpose()
    }

    /// Where what is read is remembered.
    fn remembered(&self, wanted: &Wanted) -> MutexGuard<'_, HashMap<Key, Option<Value>>> {
        match wanted {
            Wanted::Own(_) => locked(&self.known),
            Wanted::OwnersDoc(_) | Wanted::OwnersState(_) => locked(&self.owned),
        }
    }

    async fn look(&self, wanted: Wanted) -> Result<Option<Value>, FoldError> {
        if let Some(doc) = self.remembered(&wanted).get(wanted.key()) {
            return Ok(doc.clone());
        }
        if let (Wanted::Own(key), Some(written)) = (&wanted, &self.written)
            && !written.contains(&hash(key))
        {
            return Ok(None);
        }
        if let Some(gathered) = &self.gathered {
            locked(gathered).insert(wanted);
            return Err(FoldError::NotReadYet);
        }
        let mut docs = self.store.many(&[wanted.key()], wanted.field()).await?;
        let doc = docs.pop().flatten();
        self.remembered(&wanted).insert(wanted.key().clone(), doc.clone());
        Ok(doc)
    }

    /// Writes a row of the view.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn put(&mut self, key: Key, doc: &impl Serialize) -> Result<(), FoldError> {
        self.write(self.colour.key(&key), doc)
    }

    fn write(&mut self, key: Key, doc: &impl Serialize) -> Result<(), FoldError> {
        let doc = serde_json::to_value(doc).map_err(FoldError::Write)?;
        self.changed.insert(key, Some(doc));
        Ok(())
    }

    /// Takes a row of the view away.
    pub fn delete(&mut self, key: Key) {
        self.changed.insert(self.colour.key(&key), None);
    }

    /// Where a thing stands in a list ordered by time, if it was given a place.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn place(&self, thing: Uuid) -> Result<Option<i64>, FoldError> {
        self.read(self.place_key(thing)).await
    }

    /// Gives a thing its place in a list ordered by time, newest first, and returns it.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn give_place(&mut self, thing: Uuid, at: Timestamp) -> Result<i64, FoldError> {
        let place = newest_first(at);
        self.write(self.place_key(thing), &place)?;
        Ok(place)
    }

    fn place_key(&self, thing: Uuid) -> Key {
        let whose = self.colour.of(self.view).into_owned();
        Key::new("view_place", [Part::from(whose), Part::from(thing)])
    }

    /// A document that its owner keeps. It may be newer than the event.
    ///
    /// # Errors
    /// When the database does not answer, or there is no such document.
    pub async fn owners<T: DeserializeOwned>(&self, what: &'static str, key: &Key) -> Result<T, FoldError> {
        let doc = self.look(Wanted::OwnersDoc(key.clone())).await?;
        let doc = doc.ok_or(FoldError::NotThere(what))?;
        serde_json::from_value(doc).map_err(|error| StoreError::Row(error).into())
    }

    /// An aggregate as its owner keeps it. It may be newer than the event.
    ///
    /// # Errors
    /// When the database does not answer, or there is no such aggregate.
    pub async fn owners_state<T: DeserializeOwned>(&self, table: &'static str, id: Uuid) -> Result<T, FoldError> {
        let state = self.look(Wanted::OwnersState(Key::of(table, id))).await?;
        let state = state.ok_or(FoldError::NotThere(table))?;
        serde_json::from_value(state).map_err(|error| StoreError::Row(error).into())
    }

    fn seen_key(&self, context: &str, aggregate: Uuid) -> Key {
        let whose = self.colour.of(self.view).into_owned();
        Key::new(
            "view_seen",
            [Part::from(whose), Part::from(context), Part::from(aggregate)],
        )
    }

    /// Begins a batch, with nothing changed.
    pub(super) fn begin(&mut self) {
        self.changed.clear();
        locked(&self.owned).clear();
        if self.written.as_ref().is_some_and(|written| written.len() > WRITTEN) {
            self.written = None;
        }
    }

    /// From now on folds are only asked which rows they need: what is not known fails, what they change
    /// will not stay.
    pub(super) fn gather(&mut self) {
        self.gathered = Some(Mutex::default());
    }

    /// Whether all that was asked for was known. Then what the folds changed is what they will change.
    pub(super) fn is_nothing_missing(&mut self) -> bool {
        let is_nothing = self
            .gathered
            .as_ref()
            .is_none_or(|gathered| locked(gathered).is_empty());
        if is_nothing {
            self.gathered = None;
        }
        is_nothing
    }

    /// Forgets what was changed.
    pub(super) fn undo(&mut self) {
        self.changed.clear();
    }

    /// Reads all of what was asked for, in one go.
    pub(super) async fn read_gathered(&mut self) -> Result<(), FoldError> {
        self.changed.clear();
        let wanted = self
            .gathered
            .take()
            .map(|gathered| std::mem::take(&mut *locked(&gathered)));
        let wanted: Vec<Wanted> = wanted.unwrap_or_default().into_iter().collect();
        for field in [Field::Doc, Field::State] {
            let these: Vec<&Wanted> = wanted.iter().filter(|wanted| wanted.field() == field).collect();
            let keys: Vec<&Key> = these.iter().map(|wanted| wanted.key()).collect();
            let docs = self.store.many(&keys, field).await?;
            for (wanted, doc) in these.into_iter().zip(docs) {
                self.remembered(wanted).insert(wanted.key().clone(), doc);
            }
        }
        Ok(())
    }

    /// Whether an event of this version is new to the view. Remembers that it was applied.
    pub(super) async fn is_new(&mut self, context: &str, aggregate: Uuid, version: u64) -> Result<bool, FoldError> {
        let key = self.seen_key(context, aggregate);
        let seen: u64 = match self.read(key.clone()).await {
            // Most are new: what the fold needs beyond this is asked for in the same go.
            Err(FoldError::NotReadYet) => return Ok(true),
            seen => seen?.unwrap_or_default(),
        };
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
        self.write(key, &version)?;
        Ok(true)
    }

    /// What was changed and is not written yet, and whether it is known that there was such a row.
    pub(super) fn changes(&self) -> Vec<(Key, Option<Value>, bool)> {
        let known = locked(&self.known);
        let was_there = |key: &Key| matches!(known.get(key), Some(Some(_)));
        let change = |(key, doc): (&Key, &Option<Value>)| (key.clone(), doc.clone(), was_there(key));
        self.changed.iter().map(change).collect()
    }

    /// The changes are written, or are about to be: they stay known at least until others are. The next batch is prepared
    /// while they are committed, and the database would still show the rows as they were.
    pub(super) fn written(&mut self) {
        if let Some(written) = &mut self.written {
            written.extend(self.changed.keys().map(hash));
        }
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        if known.len() > KNOWN {
            known.clear();
        }
        known.extend(self.changed.drain());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_was_never_written_is_not_asked_for_and_what_was_forgotten_is() {
        let store = Store::open("mem://", None).await.unwrap();
        let mut rows = Rows::from_nothing("book_home", Colour::Blue, store.clone());
        let key = |n| Key::of("book_home", Uuid::from_u128(n));
        let (ours, theirs) = (json!({ "whose": "ours" }), json!({ "whose": "theirs" }));
        store.create(&key(9), &theirs).await.unwrap();
        rows.begin();
        assert_eq!(rows.get::<Value>(&key(9)).await.unwrap(), None, "nobody asked");
        for n in 1..=3 {
            rows.put(key(n), &ours).unwrap();
            store.create(&key(n), &ours).await.unwrap();
        }
        rows.written();
        locked(&rows.known).clear();
        for n in 1..=3 {
            assert_eq!(rows.get::<Value>(&key(n)).await.unwrap(), Some(ours.clone()), "{n}");
        }
        assert_eq!(rows.get::<Value>(&key(4)).await.unwrap(), None);
        // Of more than can be remembered all is asked for.
        rows.written = None;
        assert_eq!(rows.get::<Value>(&key(9)).await.unwrap(), Some(theirs));
    }

    #[tokio::test]
    async fn what_is_being_committed_is_not_forgotten_while_the_next_batch_is_prepared() {
        let store = Store::open("mem://", None).await.unwrap();
        let mut rows = Rows::new("book_home", Colour::Blue, store.clone());
        let key = |n| Key::of("book_home", Uuid::from_u128(n));
        let (old, new) = (json!({ "title": "old" }), json!({ "title": "new" }));
        store.create(&key(0), &old).await.unwrap();
        rows.begin();
        // More than is remembered, in one batch, of which the database does not know yet.
        for n in 0..=KNOWN as u128 {
            rows.put(key(n), &new).unwrap();
        }
        for _ in 0..2 {
            rows.written();
            rows.begin();
            assert_eq!(rows.get::<Value>(&key(0)).await.unwrap(), Some(new.clone()));
            rows.put(key(0), &new).unwrap();
        }
    }
}
