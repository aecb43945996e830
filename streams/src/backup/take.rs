//! Taking a backup, in the order that makes its parts fit together.

use std::path::Path;

use super::database::Database;
use super::files::Recorder;
use super::manifest::{ApartPart, Manifest};
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
    apart: &[(&'static str, Database)],
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
    // Each at a moment of its own: what one has and another has not yet is in the streams, which are read later.
    let mut contexts = Vec::new();
    for (context, database) in apart {
        let part = format!("the database of {context}");
        let mut file = Recorder::create(&folder.join(format!("database-{context}.surql")), &part, say).await?;
        database.export(nats, &name, &mut file).await?;
        contexts.push(ApartPart {
            context: (*context).to_owned(),
            file: file.finish().await?,
        });
    }
    let mut parts = Vec::new();
    for (consumers, stream) in standing {
        parts.push(streams::take(nats, &stream, consumers, folder, say).await?);
    }
    let manifest = Manifest {
        format: Manifest::format_of(contexts.len()),
        name,
        maru: env!("CARGO_PKG_VERSION").to_owned(),
        nats_server: nats.client().server_info().version,
        begun,
        ended: clock.now(),
        database,
        apart: contexts,
        streams: parts,
    };
    manifest.write(folder)?;
    Ok(manifest)
}
