//! Which row is in which database. There is a main one, and a context may have one of its own. In that are
//! the context's tables, which bear its name as their first word, and those rows of inbox, event log and outbox
//! whose key begins with it: all that a command of the context reads and writes in one transaction.
//! Everything else (views and their marks, leases, the ledger, attempts, batches) is in the main one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use maru_schemas::CONTEXTS;

use super::db::Db;
use super::{Credentials, Key, Part, StoreError};

/// What the main one is called.
pub(super) const MAIN: &str = "main";
/// The tables that every context has a part of.
const SHARED: [&str; 3] = ["inbox", "event", "outbox"];

/// Where databases are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The main one.
    pub main: String,
    /// Those of contexts that have one of their own.
    pub own: BTreeMap<&'static str, String>,
}

impl From<&str> for Addresses {
    fn from(main: &str) -> Self {
        Self {
            main: main.to_owned(),
            own: BTreeMap::new(),
        }
    }
}

impl From<&String> for Addresses {
    fn from(main: &String) -> Self {
        main.as_str().into()
    }
}

impl From<&Self> for Addresses {
    fn from(addresses: &Self) -> Self {
        addresses.clone()
    }
}

impl Addresses {
    /// All of them, the main one first.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        [&self.main].into_iter().chain(self.own.values()).map(String::as_str)
    }
}

/// One database.
pub(super) struct Room {
    pub name: &'static str,
    pub db: Db,
}

/// What people are told it is.
pub(super) fn title(name: &'static str) -> Cow<'static, str> {
    match name {
        MAIN => Cow::Borrowed("database"),
        context => Cow::Owned(format!("database of {context}")),
    }
}

impl Room {
    pub async fn open(name: &'static str, url: &str, credentials: Option<Credentials>) -> Result<Self, StoreError> {
        // Whatever else is asked for, a commit is on disk when it is answered.
        let durable = match url.strip_prefix("surrealkv://") {
            Some(path) if !path.contains('?') => format!("surrealkv://{path}?sync=every"),
            _ => url.to_owned(),
        };
        let opened = Db::open(name, &durable, credentials).await;
        let db = opened.map_err(|error| StoreError::Open(title(name), error))?;
        Ok(Self { name, db })
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db
            .query("RETURN 1")
            .await
            .and_then(surrealdb::IndexedResults::check)?;
        Ok(())
    }
}

/// All databases.
pub(super) struct Rooms {
    pub main: Arc<Room>,
    pub own: BTreeMap<&'static str, Arc<Room>>,
}

/// The context that a row is of, if it is one's: by its table, or by the first part of its key.
fn context_of<'a>(table: &'a str, parts: &'a [Part]) -> Option<&'a str> {
    if SHARED.contains(&table) {
        return match parts.first() {
            Some(Part::Text(context)) => Some(context),
            _ => None,
        };
    }
    let word = table.split('_').next()?;
    CONTEXTS.contains(&word).then_some(word)
}

impl Rooms {
    /// The one of a context.
    pub fn of(&self, context: &str) -> &Arc<Room> {
        self.own.get(context).unwrap_or(&self.main)
    }

    /// The one in which rows of this table lie whose key begins so.
    pub fn at(&self, table: &str, parts: &[Part]) -> &Arc<Room> {
        context_of(table, parts).map_or(&self.main, |context| self.of(context))
    }

    /// All of them, the main one first.
    pub fn each(&self) -> impl Iterator<Item = &Arc<Room>> {
        [&self.main].into_iter().chain(self.own.values())
    }

    /// Which of these keys are in which, by their places in the list.
    pub fn divide(&self, keys: &[&Key]) -> impl Iterator<Item = (&Arc<Room>, Vec<usize>)> + use<'_> {
        let mut places: BTreeMap<&'static str, (&Arc<Room>, Vec<usize>)> = BTreeMap::new();
        for (place, key) in keys.iter().enumerate() {
            let room = self.at(&key.table, &key.parts);
            places.entry(room.name).or_insert((room, Vec::new())).1.push(place);
        }
        places.into_values()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use maru_schemas::surreal::MIGRATIONS;

    use super::*;

    fn tables() -> BTreeSet<&'static str> {
        let words = MIGRATIONS.iter().flat_map(|migration| migration.text.lines());
        let defined = words.filter_map(|line| line.strip_prefix("DEFINE TABLE IF NOT EXISTS "));
        defined.filter_map(|line| line.split(' ').next()).collect()
    }

    #[test]
    fn every_table_is_in_one_place() {
        let of = |context: &str| -> Vec<&str> {
            let tables = tables().into_iter();
            tables.filter(|table| context_of(table, &[]) == Some(context)).collect()
        };
        assert_eq!(of("members"), ["members", "members_profile", "members_refresh"]);
        assert_eq!(of("books"), ["books", "books_edition"]);
        assert_eq!(of("payments"), ["payments"]);
        assert_eq!(of("purchases"), ["purchases"]);
        assert_eq!(of("reviews"), ["reviews"]);
        let shared_or_main: Vec<&str> = tables()
            .into_iter()
            .filter(|table| context_of(table, &[]).is_none())
            .collect();
        for table in [
            "my_books",
            "book_home",
            "book_reviews_green",
            "payment_history",
            "sandbox_charge",
            "lease",
        ] {
            assert!(shared_or_main.contains(&table), "{table}");
        }
        assert_eq!(tables().len(), shared_or_main.len() + 8);
    }

    #[test]
    fn a_row_that_every_context_has_goes_by_the_first_part_of_its_key() {
        let books = [Part::from("books"), Part::from("x")];
        for table in SHARED {
            assert_eq!(context_of(table, &books), Some("books"));
            assert_eq!(context_of(table, &[Part::Number(1)]), None);
        }
        // The lane, not a context; and a view that is called like no context.
        assert_eq!(context_of("attempts", &books), None);
        assert_eq!(context_of("view_seen", &books), None);
    }

    #[tokio::test]
    async fn keys_are_divided_and_keep_their_places() {
        let room = async |name| Arc::new(Room::open(name, "mem://", None).await.unwrap());
        let rooms = Rooms {
            main: room(MAIN).await,
            own: BTreeMap::from([("books", room("books").await)]),
        };
        let key = |table: &'static str, first: &str| Key::new(table, [Part::from(first)]);
        let keys = [
            key("my_books", "a"),
            key("books", "b"),
            key("event", "reviews"),
            key("inbox", "books"),
            key("reviews", "c"),
            key("books_edition", "d"),
        ];
        let divided: Vec<_> = rooms
            .divide(&keys.iter().collect::<Vec<_>>())
            .map(|(room, places)| (room.name, places))
            .collect();
        assert_eq!(divided, [("books", vec![1, 3, 5]), (MAIN, vec![0, 2, 4])]);
    }
}
