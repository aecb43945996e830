//! `maru backup`: streams and database into a folder, while Maru runs or not.

use std::path::PathBuf;

use clap::Args;
use maru_streams::backup::{self, BackupError, Database, DatabaseServer, FileSum, Manifest, Shelf, Word};
use maru_streams::intention::Clock;
use maru_streams::nats::Nats;
use serde_json::json;

use crate::heal::throttled;
use crate::operator::{self, Site};
use crate::table::{length, table};
use crate::{Outcome, apart, stop};

/// Copy streams and database into a folder, while Maru goes on.
///
/// Each backup is a folder of its own, called after its time. The keys are not in it: keep them apart. `maru
/// restore` puts it back. Exits with 1 if the backup is not whole.
#[derive(Args)]
pub struct Backup {
    #[command(flatten)]
    site: Site,
    #[command(flatten)]
    database: operator::Database,
    /// Where backups lie.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Afterwards, take away all but the newest N whole backups, and those that were not finished.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    keep: Option<u16>,
}

/// What lies on the shelf now.
struct Taken {
    folder: PathBuf,
    manifest: Manifest,
    gone: Vec<PathBuf>,
}

/// It was called off.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; what was written is no backup, and the next one with --keep takes it away")]
struct Interrupted;

impl Backup {
    pub async fn run(self) -> Outcome {
        let stop = stop::requested()?;
        let taken = match (&self.site.nats, &self.database.url) {
            (Some(nats), Some(database)) => {
                let nats = Nats::connect(nats, "maru backup").await?;
                let server = |url: &str| DatabaseServer::new(url, self.database.credentials()).map(Database::Server);
                let databases = self.database.beside(database)?;
                let apart = databases.own.iter().map(|(context, url)| Ok((*context, server(url)?)));
                let apart = apart.collect::<Result<Vec<_>, BackupError>>()?;
                let taking = self.take(&nats, server(database)?, apart);
                stop.run_until_cancelled(taking).await
            }
            _ => {
                apart::refuse()?;
                let reached = self.site.reach().await?;
                let database = reached.store.clone().map_or(Database::Running, Database::Open);
                let taking = self.take(&reached.nats, database, Vec::new());
                let taken = stop.run_until_cancelled(taking).await;
                reached.leave(&self.site).await?;
                taken
            }
        };
        let taken = taken.ok_or(Interrupted)??;
        if self.site.json {
            println!(
                "{:#}",
                json!({ "folder": taken.folder, "manifest": taken.manifest, "gone": taken.gone })
            );
        } else {
            tell(&taken);
        }
        Ok(())
    }

    async fn take(
        &self,
        nats: &Nats,
        database: Database,
        apart: Vec<(&'static str, Database)>,
    ) -> Result<Taken, BackupError> {
        let (shelf, clock) = (Shelf::open(&self.to)?, Clock::system());
        let folder = shelf.place(clock.now())?;
        let say = throttled(|word| eprintln!("{}", sentence(&word)));
        let manifest = backup::take(nats, &database, &apart, &folder, &clock, &say).await?;
        let gone = match self.keep {
            Some(count) => shelf.keep(count.into())?,
            None => Vec::new(),
        };
        Ok(Taken { folder, manifest, gone })
    }
}

/// How far a long copy is.
pub fn sentence(word: &Word) -> String {
    format!("{}: {}", word.part, size(word.bytes))
}

/// A number of bytes as one says it.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

fn tell(taken: &Taken) {
    let Taken { folder, manifest, gone } = taken;
    let took = |milliseconds: u64| length(milliseconds as f64 / 1000.0);
    let row = |cells: [String; 5]| cells.to_vec();
    let database = |name: String, file: &FileSum| {
        let none = String::new();
        row([name, none.clone(), none, size(file.bytes), took(file.milliseconds)])
    };
    let mut rows = vec![database("database".to_owned(), &manifest.database)];
    let apart = manifest.apart.iter();
    rows.extend(apart.map(|part| database(format!("database of {}", part.context), &part.file)));
    rows.extend(manifest.streams.iter().map(|part| {
        row([
            part.name.clone(),
            part.messages.to_string(),
            part.last_sequence.to_string(),
            size(part.file.bytes),
            took(part.file.milliseconds),
        ])
    }));
    print!("{}", table(&["part", "messages", "up to", "size", "took"], &rows));
    println!(
        "\n{} holds everything that was accepted before {}",
        folder.display(),
        manifest.begun
    );
    for gone in gone {
        println!("taken away: {}", gone.display());
    }
    println!("the keys are not in it: keep them apart, no login works without them");
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_size_is_said_in_a_unit_that_fits() {
        let said = [512, 20_480, 31_000_000].map(size);
        assert_eq!(said, ["512 B", "20 kB", "31 MB"]);
    }
}
