//! Where healing begins: the place up to which everything is known to be in the database.
//!
//! The mark is a row of the database itself, so that an older copy brings the older mark along. Where contexts have
//! databases of their own, each has one, and the oldest counts. Beside it
//! lies a file that says that the database was closed after that row was written. It is taken away before
//! the database is opened again, so whoever finds no file, or one that says something else than the row,
//! has to heal.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::{Key, Part, Store, StoreError, Tx, retry};

/// Sequences up to which everything that follows from a message is in the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// In EVENTS.
    pub events: u64,
    /// In COMMANDS.
    pub commands: u64,
}

fn key() -> Key {
    Key::new("heal_mark", [Part::from("whole")])
}

impl Mark {
    /// The mark of a database; a new one begins before the first message.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of(store: &Store) -> Result<Self, StoreError> {
        let mut oldest: Option<Self> = None;
        for room in store.each() {
            let mark: Self = room.get(&key()).await?.unwrap_or_default();
            oldest = Some(oldest.map_or(mark, |oldest| Self {
                events: oldest.events.min(mark.events),
                commands: oldest.commands.min(mark.commands),
            }));
        }
        Ok(oldest.unwrap_or_default())
    }

    /// Writes it into the database.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep(self, store: &Store) -> Result<(), StoreError> {
        let doc = serde_json::to_value(self).map_err(StoreError::Row)?;
        for room in store.each() {
            let run = || {
                room.db()
                    .query("UPSERT $id CONTENT { doc: $doc } RETURN NONE")
                    .bind(("id", key().record()))
                    .bind(("doc", doc.clone()))
                    .into_future()
            };
            match retry(run).await? {
                Tx::Done(_) => {}
                other => return Err(other.into()),
            }
        }
        Ok(())
    }
}

/// That the database in a data folder was closed, and at which mark.
pub struct Closed {
    file: PathBuf,
    /// None after a crash, and before the first end.
    pub at: Option<Mark>,
}

impl Closed {
    /// Reads what the last end left in a data folder and takes it away. To be called before the database
    /// is opened.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn take(data: &Path) -> io::Result<Self> {
        let file = data.join("closed.json");
        let at = match std::fs::read(&file) {
            // What cannot be read proves nothing.
            Ok(text) => serde_json::from_slice(&text).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if at.is_some() {
            std::fs::remove_file(&file)?;
            File::open(data)?.sync_all()?;
        }
        Ok(Self { file, at })
    }

    /// Leaves word that the database was closed at a mark. To be called after that.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn leave(self, at: Mark) -> io::Result<()> {
        let draft = self.file.with_extension("new");
        let mut file = File::create(&draft)?;
        file.write_all(serde_json::to_string(&at)?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.file)?;
        match self.file.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}
