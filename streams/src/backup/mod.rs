//! # Backups
//!
//! A backup is a folder: one file for each stream, one for the database, and a manifest, which is written
//! last. Maru goes on while it is taken, so the order of reading is what makes the parts fit together:
//!
//! ```text
//! 1. where each consumer stands        what was settled by now …
//! 2. each database, at one moment      … has its effect in here …
//! 3. SCHEDULES, DEAD, EVENTS,          … and what followed from it in here; whatever came since is in here
//!    JOBS, COMMANDS, the images            too, not settled, and is done again
//! ```
//!
//! So nothing is settled in a backup whose consequence is not in it. The streams are newer than the database,
//! never older, and [`heal`](crate::heal) brings the rest. Among the streams, each is read before those into
//! which its messages are moved or on which its messages rest: a schedule becomes a job, a letter is sent again,
//! an event has its command, an event names its image.
//!
//! [`manifest`] is what a folder says of itself, [`take`] and [`put_back`] are the two ways, [`streams`] asks
//! nats-server for its snapshots, [`database`] and [`server`] read and write the database, [`files`] counts and
//! hashes what passes, and [`shelf`] keeps the folders in order.

mod database;
mod files;
mod manifest;
mod put_back;
mod server;
mod shelf;
mod streams;
mod take;

use std::path::PathBuf;

pub use self::database::{Database, answering, import};
pub use self::manifest::{ApartPart, FileSum, Manifest, Standing, StreamPart};
pub use self::put_back::{check, put_back, refuse_if_older, refuse_unless_empty};
pub use self::server::DatabaseServer;
pub use self::shelf::Shelf;
pub use self::take::take;

/// Why a backup could not be taken, or not be put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder could not be read or written.
    #[error("{}: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// nats-server did not do what was asked for.
    #[error("{doing}: {why}")]
    Stream {
        /// What was asked for.
        doing: String,
        /// What it said.
        why: String,
    },
    /// The database did not.
    #[error("{doing}: {why}")]
    Database {
        /// What was asked for.
        doing: &'static str,
        /// What it said.
        why: String,
    },
    /// Not a whole backup.
    #[error("{} is no backup: {why}", .folder.display())]
    NoBackup {
        /// Where.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file is not as the manifest says.
    #[error("{} is damaged ({why}); nothing was restored, take another backup", .file.display())]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is of an installation with other databases.
    #[error(
        "the backup is of an installation with {theirs}, and this one has {ours}; a restore puts each back into its \
         own: set MARU_DB_URL_<CONTEXT> as it was there"
    )]
    Divided {
        /// Those of the backup.
        theirs: String,
        /// Those that are here.
        ours: String,
    },
    /// There is something already.
    #[error("{what}; a restore goes into an empty installation only: {remedy}")]
    NotEmpty {
        /// What is there.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The streams that lived on do not reach as far as the database that shall stand beside them.
    #[error(
        "the stream {stream} ends at {ours} here and at {theirs} in the backup, so these are not the streams that it was \
         taken of, or they lost something too: restore all of it, without --database-only"
    )]
    Older {
        /// Which.
        stream: String,
        /// The newest message that it holds.
        ours: u64,
        /// The newest message when the backup was taken.
        theirs: u64,
    },
    /// Somebody else is at it.
    #[error("another backup is being taken into {}; wait for its end", .0.display())]
    Busy(PathBuf),
}

impl BackupError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |why| Self::File { path, why }
    }

    pub(crate) fn stream(doing: impl Into<String>, why: &dyn std::fmt::Display) -> Self {
        Self::Stream {
            doing: doing.into(),
            why: why.to_string(),
        }
    }

    pub(crate) fn database(doing: &'static str, why: &dyn std::fmt::Display) -> Self {
        Self::Database {
            doing,
            why: why.to_string(),
        }
    }
}

/// What is being done now, and how far it is.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Word {
    /// `the database`, or a stream.
    pub part: String,
    /// Bytes so far.
    pub bytes: u64,
}

/// Says how far it is.
pub type Say<'a> = &'a (dyn Fn(Word) + Send + Sync);
