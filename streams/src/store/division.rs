//! Which database is for what, written into each of them when it is first opened. A process that was told
//! otherwise would look for what was done in a place where it is not, and do it again; so it does not start.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rooms::{MAIN, title};
use super::{Key, Part, Store, StoreError, range};

/// What a database is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Division {
    /// `main`, or a context.
    of: String,
    /// The contexts that have their own, as the main one knows them.
    apart: Vec<String>,
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.of.as_str(), self.apart.is_empty()) {
            (MAIN, true) => f.write_str("everything"),
            (MAIN, false) => write!(f, "everything but {}", self.apart.join(", ")),
            (context, _) => write!(f, "{context} alone"),
        }
    }
}

fn key() -> Key {
    Key::new("room", [Part::from("division")])
}

/// Whether each of them is for what it was for, or is new.
pub(super) async fn check(store: &Store) -> Result<(), StoreError> {
    let apart: Vec<&'static str> = store.rooms.own.keys().copied().collect();
    for room in store.each() {
        let is_main = room.name() == MAIN;
        let ours = Division {
            of: room.name().to_owned(),
            apart: match is_main {
                true => apart.iter().map(|context| (*context).to_owned()).collect(),
                false => Vec::new(),
            },
        };
        let other = |told: &str| StoreError::Divided {
            title: title(room.name()),
            told: told.to_owned(),
            ours: ours.to_string(),
        };
        if is_main && room.get::<Division>(&key()).await?.is_none() {
            // It may be older than this row, and have everything in it.
            for context in &apart {
                if has_rows_of(&room, context).await? {
                    return Err(other("everything"));
                }
            }
        }
        if !room.create(&key(), &ours).await?
            && let Some(told) = room.get::<Division>(&key()).await?
            && told != ours
        {
            return Err(other(&told.to_string()));
        }
    }
    Ok(())
}

/// Whether a command of a context was handled here.
async fn has_rows_of(room: &Store, context: &str) -> Result<bool, StoreError> {
    let mut rows = room
        .db()
        .query("SELECT VALUE 1 FROM array::first([$range]) LIMIT 1")
        .bind(("range", range("inbox", &[Part::from(context)], &[])))
        .await?;
    let rows: Vec<i64> = rows.take(0)?;
    Ok(!rows.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::Addresses;
    use super::*;

    fn divided(folder: &std::path::Path, own: &[(&'static str, &str)]) -> Addresses {
        let url = |name: &str| format!("surrealkv://{}", folder.join(name).display());
        Addresses {
            main: url("main"),
            own: own.iter().map(|(context, name)| (*context, url(name))).collect(),
        }
    }

    /// What opening says; the engine lets go of a folder a moment after everybody has left it.
    async fn opening(addresses: &Addresses) -> Result<(), String> {
        for _ in 0..500 {
            match Store::open(addresses, None).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Open(..)) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                Err(error) => return Err(error.to_string()),
            }
        }
        panic!("somebody holds the folder");
    }

    #[tokio::test]
    async fn databases_stay_divided_as_they_were_at_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (
            &[("books", "books")][..],
            &[("books", "books"), ("payments", "payments")][..],
        );
        assert_eq!(opening(&divided(folder.path(), one)).await, Ok(()));
        assert_eq!(opening(&divided(folder.path(), one)).await, Ok(()));
        let more = opening(&divided(folder.path(), two)).await.unwrap_err();
        assert!(
            more.contains("everything but books, and is opened for everything but books, payments"),
            "{more}"
        );
        let none = opening(&divided(folder.path(), &[])).await.unwrap_err();
        assert!(
            none.contains("everything but books, and is opened for everything:"),
            "{none}"
        );
        let other = opening(&divided(&folder.path().join("new"), &[("payments", "../books")]))
            .await
            .unwrap_err();
        assert!(
            other.contains("database of payments was made for books alone"),
            "{other}"
        );
    }

    #[tokio::test]
    async fn a_context_that_has_begun_in_the_main_one_stays_there() {
        let folder = tempfile::tempdir().unwrap();
        let old = divided(folder.path(), &[]);
        opening(&old).await.unwrap();
        let store = loop {
            match Store::open(&old, None).await {
                Ok(store) => break store,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        // As it was before there was such a row.
        store.delete(&[key()]).await.unwrap();
        let row = "CREATE inbox:['books', 'x'] CONTENT { at: '', actor: '', outcome: {} }";
        store.db().query(row).await.unwrap().check().unwrap();
        drop(store);
        let why = opening(&divided(folder.path(), &[("books", "books")]))
            .await
            .unwrap_err();
        assert!(
            why.contains("was made for everything, and is opened for everything but books"),
            "{why}"
        );
        assert_eq!(opening(&old).await, Ok(()));
    }
}
