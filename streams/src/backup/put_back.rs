//! Putting a backup back into an empty installation: streams, then where their consumers stood. The database
//! is written by [`import`](super::import) or a [`DatabaseServer`](super::DatabaseServer), and healed by who
//! knows the contexts.

use std::path::Path;

use super::manifest::Manifest;
use super::{BackupError, Say, streams};
use crate::nats::Nats;

/// Reads the manifest, and every file to its end.
///
/// # Errors
/// When it is not a whole backup, or a file is not what was written.
pub async fn check(folder: &Path, say: Say<'_>) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(folder)?;
    manifest.check(folder, say).await?;
    Ok(manifest)
}

/// Whether all streams are yet to be used.
///
/// # Errors
/// When one has held something, or the server cannot be asked.
pub async fn refuse_unless_empty(nats: &Nats) -> Result<(), BackupError> {
    for stream in streams::names() {
        if !streams::is_unused(nats, &stream).await? {
            return Err(BackupError::NotEmpty {
                what: format!("the stream {stream} has been used"),
                remedy: "name another nats-server, or give this one an empty folder".to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether the streams that are there reach at least as far as those of the backup. That they are the same ones is for who
/// names them to know.
///
/// # Errors
/// When one ends before it did in the backup, or the server cannot be asked.
pub async fn refuse_if_older(nats: &Nats, manifest: &Manifest) -> Result<(), BackupError> {
    for part in &manifest.streams {
        let stream = nats.jetstream().get_stream(&part.name).await;
        let stream = stream.map_err(|error| BackupError::stream(format!("read stream {}", part.name), &error))?;
        let ours = stream.cached_info().state.last_sequence;
        if ours < part.last_sequence {
            return Err(BackupError::Older {
                stream: part.name.clone(),
                ours,
                theirs: part.last_sequence,
            });
        }
    }
    Ok(())
}

/// Makes all streams with so many copies, and all consumers.
///
/// # Errors
/// When the server does not take one. Then what it took is to be thrown away.
pub async fn put_back(
    nats: &Nats,
    manifest: &Manifest,
    replicas: usize,
    folder: &Path,
    say: Say<'_>,
) -> Result<(), BackupError> {
    for part in &manifest.streams {
        streams::put_back(nats, part, replicas, folder, say).await?;
    }
    Ok(())
}
