//! What a backup says of itself. It is written last: a folder without it is not a backup.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::sync;
use super::{BackupError, Say, files};

const NAME: &str = "manifest.json";
/// Whoever changes what a backup consists of counts on.
pub(super) const FORMAT: u32 = 1;
/// With databases of single contexts in it, which a build that reads the first alone would leave out.
const DIVIDED: u32 = 2;

/// Everything there is to know of a backup without reading its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// How it is to be read.
    pub format: u32,
    /// The folder's name; the database's last row says it too.
    pub name: String,
    /// The build that took it.
    pub maru: String,
    /// The server that gave its streams.
    pub nats_server: String,
    /// What was accepted before this is in it.
    pub begun: Timestamp,
    /// What was accepted after this is not.
    pub ended: Timestamp,
    /// The database; the main one, if there are several.
    pub database: FileSum,
    /// Those of contexts that have one of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<ApartPart>,
    /// The streams, in the order in which they were read.
    pub streams: Vec<StreamPart>,
}

/// A file, and what was written into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSum {
    /// Its name in the folder.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// How long it took to write.
    pub milliseconds: u64,
}

/// The database of one context in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApartPart {
    /// Which context's.
    pub context: String,
    /// Its export.
    pub file: FileSum,
}

/// A stream in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamPart {
    /// Its name.
    pub name: String,
    /// nats-server's own snapshot of it.
    pub file: FileSum,
    /// The newest message in it.
    pub last_sequence: u64,
    /// How many there are.
    pub messages: u64,
    /// The server's own words for its settings.
    pub config: Value,
    /// The server's own words for what it holds.
    pub state: Value,
    /// Its consumers, as they stood when the backup was begun.
    pub consumers: Vec<Standing>,
}

/// A consumer, and up to where everything of it was settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The server's own words for its settings, with what operators noted on it.
    pub config: Value,
    /// The sequence; 0 where nothing is ever settled, because the reader keeps a mark of its own.
    pub settled: u64,
}

fn named(contexts: &BTreeSet<&str>) -> String {
    match contexts.is_empty() {
        true => "one database for everything".to_owned(),
        false => {
            let names: Vec<&str> = contexts.iter().copied().collect();
            format!("a database of its own for {}", names.join(", "))
        }
    }
}

impl Manifest {
    /// Reads it.
    ///
    /// # Errors
    /// When there is none, or one that this build cannot read.
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let no_backup = |why: String| BackupError::NoBackup {
            folder: folder.to_path_buf(),
            why,
        };
        let text = std::fs::read(folder.join(NAME)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => no_backup("it has no manifest, so it was not finished".to_owned()),
            _ => no_backup(error.to_string()),
        })?;
        let unread = |error: serde_json::Error| no_backup(format!("its manifest cannot be read: {error}"));
        let told: Value = serde_json::from_slice(&text).map_err(unread)?;
        if told["format"] != FORMAT && told["format"] != DIVIDED {
            let why = format!(
                "its format is {}, this build reads {FORMAT} and {DIVIDED}",
                told["format"]
            );
            return Err(no_backup(why));
        }
        serde_json::from_value(told).map_err(unread)
    }

    /// Writes it; from then on the folder is a backup.
    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        // What it names has to be there before it is.
        sync(folder)?;
        let draft = folder.join("manifest.new");
        let write = || {
            let mut file = std::fs::File::create(&draft)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            std::fs::rename(&draft, folder.join(NAME))
        };
        write().map_err(BackupError::file(&draft))?;
        sync(folder)
    }

    /// All bytes of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }

    fn files(&self) -> impl Iterator<Item = &FileSum> {
        let databases = [&self.database]
            .into_iter()
            .chain(self.apart.iter().map(|part| &part.file));
        self.streams.iter().map(|part| &part.file).chain(databases)
    }

    /// The format of a backup with so many databases of contexts.
    pub(super) const fn format_of(apart: usize) -> u32 {
        if apart == 0 { FORMAT } else { DIVIDED }
    }

    /// Whether it is divided into databases as the installation is that it is to be put into.
    ///
    /// # Errors
    /// When it is not.
    pub fn refuse_unless_divided_so<'a>(&self, apart: impl Iterator<Item = &'a str>) -> Result<(), BackupError> {
        let theirs: BTreeSet<&str> = self.apart.iter().map(|part| part.context.as_str()).collect();
        let ours: BTreeSet<&str> = apart.collect();
        match theirs == ours {
            true => Ok(()),
            false => Err(BackupError::Divided {
                theirs: named(&theirs),
                ours: named(&ours),
            }),
        }
    }

    pub(super) async fn check(&self, folder: &Path, say: Say<'_>) -> Result<(), BackupError> {
        for file in self.files() {
            files::check(folder, file, say).await?;
        }
        Ok(())
    }
}
