//! The database's part: its own export, at one moment, with a row at its end that proves that all of it
//! came. The table of that row comes last by its name, as tables are exported by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use surrealdb::IndexedResults;
use surrealdb::engine::any;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::Mutex;

use super::files::Recorder;
use super::server::DatabaseServer;
use super::{BackupError, Word, shelf};
use crate::desk::{self, Desk, DeskError};
use crate::nats::Nats;
use crate::store::Store;

/// The question that a process with an embedded database answers.
const QUESTION: &str = "backup.database";
/// In so much of the file's end the last row is found.
const TAIL: u64 = 64 << 10;
const READING: &str = "read the database";
const WRITING: &str = "restore the database";

/// Who gives the database.
pub enum Database {
    /// This process, which has it open.
    Open(Store),
    /// Whoever runs there and has it open, on this machine.
    Running,
    /// A server of its own.
    Server(DatabaseServer),
}

/// Writes the last row.
pub(super) fn ending(name: &str) -> String {
    format!(
        "DEFINE TABLE IF NOT EXISTS zz_backup TYPE NORMAL SCHEMAFULL PERMISSIONS NONE;
         DEFINE FIELD IF NOT EXISTS doc ON zz_backup TYPE string;
         UPSERT zz_backup:['end'] CONTENT {{ doc: '{name}' }} RETURN NONE;"
    )
}

impl Database {
    /// Writes all of it, named after the backup.
    pub(super) async fn export(&self, nats: &Nats, name: &str, file: &mut Recorder<'_>) -> Result<(), BackupError> {
        match self {
            Self::Open(store) => export(store, name, file).await?,
            Self::Server(server) => server.export(name, file).await?,
            Self::Running => {
                let asked = desk::ask(nats, QUESTION, &json!({ "name": name }), |_| {}).await;
                let told = asked.map_err(|error| BackupError::database(READING, &error))?;
                let path = PathBuf::from(told["file"].as_str().unwrap_or_default());
                file.copy(&path).await?;
                std::fs::remove_file(&path).map_err(BackupError::file(&path))?;
            }
        }
        let path = file.on_disk().await?;
        match ends_with(&path, name).await.map_err(BackupError::file(&path))? {
            true => Ok(()),
            false => Err(BackupError::database(READING, &"it did not come to its end")),
        }
    }
}

async fn export(store: &Store, name: &str, file: &mut Recorder<'_>) -> Result<(), BackupError> {
    let failed = |error: surrealdb::Error| BackupError::database(READING, &error);
    let ended = store.db().query(ending(name)).await;
    ended.and_then(IndexedResults::check).map_err(failed)?;
    let session = store.db().session().await.map_err(failed)?;
    let mut pieces = session.db.export(()).await.map_err(failed)?;
    while let Some(piece) = pieces.next().await {
        file.write(&piece.map_err(failed)?).await?;
    }
    Ok(())
}

/// Whether the last row is there, with this name.
async fn ends_with(path: &Path, name: &str) -> std::io::Result<bool> {
    let mut file = tokio::fs::File::open(path).await?;
    let length = file.metadata().await?.len();
    file.seek(std::io::SeekFrom::Start(length.saturating_sub(TAIL))).await?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).await?;
    let tail = String::from_utf8_lossy(&tail).into_owned();
    Ok(tail.contains("zz_backup:['end']") && tail.contains(name))
}

/// Answers for the embedded database of a data folder: writes it into a file there, for whoever asked to take
/// away.
pub fn answering(desk: Desk, store: &Store, data: Option<PathBuf>) -> Desk {
    let (store, one) = (store.clone(), Arc::new(Mutex::new(())));
    desk.answers(QUESTION, move |question, progress| {
        let (store, data, one) = (store.clone(), data.clone(), Arc::clone(&one));
        async move {
            let elsewhere = "the database is a server of its own; say where it is with --database";
            let data = data.ok_or_else(|| DeskError::Failed(elsewhere.to_owned()))?;
            let busy = |_| DeskError::Failed("another backup is being taken; wait for its end".to_owned());
            let _one = one.try_lock().map_err(busy)?;
            let name = question["name"].as_str().unwrap_or_default().to_owned();
            // It goes into a statement.
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') {
                return Err(DeskError::Question(
                    "a backup has a name of letters and digits".to_owned(),
                ));
            }
            let written = async {
                let folder = data.join("export");
                shelf::private(&folder)?;
                let path = folder.join("database.surql");
                // Of somebody who asked and did not wait for the answer.
                let _ = std::fs::remove_file(&path);
                let say = |word: Word| progress.say(json!(word));
                let mut file = Recorder::create(&path, "the database", &say).await?;
                export(&store, &name, &mut file).await?;
                file.on_disk().await?;
                Ok::<_, BackupError>(path)
            };
            let path = written.await.map_err(|error| DeskError::failed(&error))?;
            Ok(Value::from_iter([("file", path.display().to_string())]))
        }
        .boxed()
    })
}

/// Writes an export into an embedded database that is not there yet, and closes it again. It is let go of a
/// moment after this comes back.
///
/// # Errors
/// When it cannot be made, or does not take everything.
pub async fn import(url: &str, file: &Path, name: &str) -> Result<(), BackupError> {
    let failed = |error: surrealdb::Error| BackupError::database(WRITING, &error);
    let db = any::connect(url).await.map_err(failed)?;
    let made = db
        .query("DEFINE NAMESPACE IF NOT EXISTS maru; USE NS maru; DEFINE DATABASE IF NOT EXISTS maru;")
        .await;
    made.and_then(IndexedResults::check).map_err(failed)?;
    db.use_ns("maru").use_db("maru").await.map_err(failed)?;
    db.import(file).await.map_err(failed)?;
    let mut told = db
        .query("SELECT VALUE doc FROM ONLY zz_backup:['end']")
        .await
        .map_err(failed)?;
    let told: Option<String> = told.take(0).map_err(failed)?;
    match told.as_deref() == Some(name) {
        true => Ok(()),
        false => Err(BackupError::database(WRITING, &"it did not come to its end")),
    }
}
