//! Taking a backup, in the order that makes its parts fit together.

use std::path::Path;

use super::database::Database;
use super::files::Recorder;
use super::manifest::{FORMAT, Manifest};
use super::{BackupError, Say, streams};
use crate::intention::Clock;
use crate::nats::Nats;

/// Writes everything into an empty folder.
///
/// # Errors
/// When streams or database do not give everything, or the folder cannot be written. Then there is no manifest.
pub async fn take(
    nats: &Nats,
    database: &Database,
    folder: &Path,
    clock: &Clock,
    say: Say<'_>,
) -> Result<Manifest, BackupError> {
    let begun = clock.now();
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut standing = Vec::new();
    for stream in streams::names() {
        standing.push((streams::standing(nats, &stream).await?, stream));
    }
    let mut file = Recorder::create(&folder.join("database.surql"), "the database", say).await?;
    database.export(nats, &name, &mut file).await?;
    let database = file.finish().await?;
    let mut parts = Vec::new();
    for (consumers, stream) in standing {
        parts.push(streams::take(nats, &stream, consumers, folder, say).await?);
    }
    let manifest = Manifest {
        format: FORMAT,
        name,
        maru: env!("CARGO_PKG_VERSION").to_owned(),
        nats_server: nats.client().server_info().version,
        begun,
        ended: clock.now(),
        database,
        streams: parts,
    };
    manifest.write(folder)?;
    Ok(manifest)
}
