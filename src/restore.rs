//! `maru restore`: a backup into an empty installation, and what is missing in its database from its
//! streams. Or its database alone, under streams that have lived on: then healing brings back what came since.
//!
//! A data folder is made beside what it will be (`restoring`) and moved into place when it is whole, so that
//! nothing half restored can be started. Servers of one's own have no such place: there nobody may be at work
//! before this has ended well.

use std::path::{Path, PathBuf};

use clap::Args;
use maru_streams::backup::{self, BackupError, DatabaseServer, Manifest};
use maru_streams::desk::{self, DeskError};
use maru_streams::heal::{Closed, Mark, Report};
use maru_streams::nats::Nats;
use maru_streams::server::{self, NatsServer, ServerOptions};
use maru_streams::store::Store;
use maru_workers::heal::heal;
use serde_json::json;

use crate::heal::{self as healing, throttled};
use crate::operator::{self, Site};
use crate::{Outcome, apart, backup as backing_up, parts};

/// Put a backup into an empty installation, and heal its database from its streams.
///
/// Every file is checked before anything is written. Exits with 1 if something stands in the way, or cannot be brought
/// back.
#[derive(Args)]
pub struct Restore {
    #[command(flatten)]
    site: Site,
    #[command(flatten)]
    database: operator::Database,
    /// One backup: a folder with a manifest.
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// Copies of each stream, on a cluster of as many servers.
    #[arg(long, env = "MARU_STREAM_REPLICAS", default_value_t = 1, value_name = "N")]
    stream_replicas: usize,
    /// Its database alone, where only that was lost: what came since the backup is healed from the streams that are there.
    #[arg(long)]
    database_only: bool,
    /// Only say whether a damaged file or something that is there already stands in the way; change nothing.
    #[arg(long)]
    check: bool,
}

/// Somebody is at work there.
#[derive(Debug, thiserror::Error)]
#[error("Maru is running there; a restore needs both servers for itself: stop every gateway and all workers first")]
struct Running;

impl Restore {
    pub async fn run(self) -> Outcome {
        let say = throttled(|word| eprintln!("{}", backing_up::sentence(&word)));
        let manifest = backup::check(&self.from, &say).await?;
        let report = match (&self.site.nats, &self.database.url) {
            (Some(nats), Some(database)) => self.there(nats, database, &manifest).await?,
            _ => self.here(&manifest).await?,
        };
        let Some(report) = report else {
            let (name, begun) = (&manifest.name, &manifest.begun);
            if self.site.json {
                println!(
                    "{:#}",
                    json!({ "backup": name, "begun": begun, "nothingInTheWay": true })
                );
            } else {
                println!("nothing stands in the way of restoring {name}; nothing was changed");
            }
            return Ok(());
        };
        if self.site.json {
            println!(
                "{:#}",
                json!({ "backup": manifest.name, "begun": manifest.begun, "healed": report })
            );
        } else {
            healing::tell(&report);
            if self.database_only {
                println!("what was accepted since {} came back as said above", manifest.begun);
            } else {
                println!("everything that was accepted before {} is there", manifest.begun);
            }
        }
        healing::whole(&report).map_err(Into::into)
    }

    /// Servers of one's own. No report where nothing was to be changed.
    async fn there(
        &self,
        nats: &str,
        database: &str,
        manifest: &Manifest,
    ) -> Result<Option<Report>, Box<dyn std::error::Error>> {
        let nats = Nats::connect(nats, "maru restore").await?;
        // Whoever only wants to know need not stop anybody for it.
        if !self.check {
            let running = desk::ask(&nats, "views.status", &json!({}), |_| {}).await;
            if !matches!(running, Err(DeskError::Nobody)) {
                return Err(Running.into());
            }
        }
        let databases = self.database.beside(database)?;
        manifest.refuse_unless_divided_so(databases.own.keys().copied())?;
        let mut servers = vec![(
            DatabaseServer::new(database, self.database.credentials())?,
            &manifest.database,
        )];
        for part in &manifest.apart {
            if let Some(url) = databases.own.get(part.context.as_str()) {
                servers.push((DatabaseServer::new(url, self.database.credentials())?, &part.file));
            }
        }
        for (server, _) in &servers {
            server.refuse_unless_empty().await?;
        }
        if self.database_only {
            backup::refuse_if_older(&nats, manifest).await?;
        } else {
            backup::refuse_unless_empty(&nats).await?;
        }
        if self.check {
            nats.close().await;
            return Ok(None);
        }
        for (server, file) in &servers {
            eprintln!("{}", file.name);
            server.import(&self.from.join(&file.name), &manifest.name).await?;
        }
        if !self.database_only {
            self.put_streams_back(&nats, manifest).await?;
        }
        let store = Store::open(&databases, self.database.credentials()).await?;
        let report = mend(&nats, &store).await?;
        nats.close().await;
        Ok(Some(report))
    }

    /// A data folder.
    async fn here(&self, manifest: &Manifest) -> Result<Option<Report>, Box<dyn std::error::Error>> {
        apart::refuse()?;
        manifest.refuse_unless_divided_so(std::iter::empty())?;
        refuse_unless_empty(&self.site.data, self.database_only)?;
        if self.check {
            return Ok(None);
        }
        parts::private_folder(&self.site.data)?;
        let data = self.site.data.canonicalize()?;
        let streams = data.join("nats");
        if server::running(&streams)?.is_some() {
            return Err(Running.into());
        }
        let making = data.join("restoring");
        if server::running(&making.join("nats"))?.is_some() {
            return Err(BackupError::Busy(making).into());
        }
        // Of a restore that did not come to its end.
        if making.exists() {
            std::fs::remove_dir_all(&making)?;
        }
        std::fs::create_dir(&making)?;
        let report = self.make(&making, &data, manifest).await?;
        // The streams first: a start in between finds no database and heals, or refuses.
        for part in ["nats", "db", "closed.json"] {
            let from = making.join(part);
            if from.exists() {
                std::fs::rename(from, data.join(part))?;
            }
        }
        std::fs::remove_dir_all(&making)?;
        std::fs::File::open(&data)?.sync_all()?;
        if !data.join("keys").exists() {
            eprintln!(
                "put the keys back into {} before you start Maru, or nobody can log in",
                data.join("keys").display()
            );
        }
        Ok(Some(report))
    }

    async fn make(
        &self,
        making: &Path,
        data: &Path,
        manifest: &Manifest,
    ) -> Result<Report, Box<dyn std::error::Error>> {
        let program = server::find(&data.join("bin"))
            .or_else(|error| server::find(&PathBuf::from(".maru/bin")).map_err(|_| error))?;
        let options = ServerOptions {
            program,
            // Those that have lived on are read where they are.
            data: if self.database_only { data } else { making }.join("nats"),
            port: None,
            sync_always: true,
        };
        let server = tokio::task::spawn_blocking(move || NatsServer::start(options)).await??;
        let nats = Nats::connect(server.url(), "maru restore").await?;
        if self.database_only {
            backup::refuse_if_older(&nats, manifest).await?;
        } else {
            self.put_streams_back(&nats, manifest).await?;
        }
        eprintln!("the database");
        let closed = Closed::take(making)?;
        let file = self.from.join(&manifest.database.name);
        backup::import(&parts::database_url(making), &file, &manifest.name).await?;
        let store = parts::reopen(making).await?;
        let report = mend(&nats, &store).await;
        nats.close().await;
        let is_closed = parts::close(store, &making.join("db")).await;
        tokio::task::spawn_blocking(move || drop(server)).await?;
        let report = report?;
        if is_closed && report.is_whole() {
            closed.leave(report.to)?;
        }
        Ok(report)
    }

    async fn put_streams_back(&self, nats: &Nats, manifest: &Manifest) -> Result<(), BackupError> {
        let say = throttled(|word| eprintln!("{}", backing_up::sentence(&word)));
        backup::put_back(nats, manifest, self.stream_replicas, &self.from, &say).await
    }
}

fn refuse_unless_empty(data: &Path, database_only: bool) -> Result<(), BackupError> {
    let is_there = |part: &str| data.join(part).exists();
    let refused = |what: &str, remedy: &str| {
        Err(BackupError::NotEmpty {
            what: format!("{} {what}", data.display()),
            remedy: remedy.to_owned(),
        })
    };
    match database_only {
        true if is_there("db") => refused("has a database in it", "move `db` and `closed.json` of this one away"),
        true if !is_there("nats") => refused("has no streams in it", "restore all of it, without --database-only"),
        false if is_there("nats") || is_there("db") => refused(
            "has an installation in it",
            "name another folder with --data, or move `nats`, `db` and `closed.json` of this one away",
        ),
        _ => Ok(()),
    }
}

/// Brings into the database what only the streams have, since the database was last known to be whole.
async fn mend(nats: &Nats, store: &Store) -> Result<Report, Box<dyn std::error::Error>> {
    let say = throttled(|word| eprintln!("{}", healing::sentence(word)));
    let since = Mark::of(store).await?;
    Ok(heal(nats, store).mend(since, &say).await?)
}
