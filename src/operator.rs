//! How an operator's command reaches an installation: whoever runs there answers, and where nobody runs,
//! this process opens it for as long as the question takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use maru_streams::desk::{self, Desk, DeskError};
use maru_streams::doctor::Place;
use maru_streams::heal::{Closed, Mark};
use maru_streams::nats::Nats;
use maru_streams::server::{self, NatsServer, ServerOptions};
use maru_streams::store::{Addresses, Credentials, Store};
use maru_workers::ports::ai::Sketch;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::apart::{Apart, UnknownContext};
use crate::{parts, stop};

/// Which installation, and how to answer.
#[derive(Args, Clone)]
pub struct Site {
    /// The data folder of `maru up`, whether it is running or not.
    #[arg(
        long,
        env = "MARU_DATA",
        default_value = ".maru",
        value_name = "FOLDER",
        global = true
    )]
    pub data: PathBuf,
    /// A nats-server of your own; then whoever runs workers there answers.
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL", global = true)]
    pub nats: Option<String>,
    /// Answer as JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
}

/// A database server of one's own, beside a nats-server of one's own.
#[derive(Args, Clone)]
pub struct Database {
    /// A database server of your own; goes with --nats.
    #[arg(
        long = "database",
        env = "MARU_DB_URL",
        hide_env_values = true,
        requires = "nats",
        value_name = "URL"
    )]
    pub url: Option<String>,
    /// A user of the database's root level.
    #[arg(long, env = "MARU_DB_USER", requires = "url", value_name = "NAME")]
    database_user: Option<String>,
    /// That user's password; as a variable only, so that it is in no process list.
    #[arg(
        env = "MARU_DB_PASSWORD",
        hide_env_values = true,
        hide = true,
        long = "database-password-from-env",
        value_name = "PASSWORD"
    )]
    database_password: Option<SecretString>,
    #[command(flatten)]
    apart: Apart,
}

impl Database {
    /// All of them, beside the main one at this address.
    pub fn beside(&self, main: &str) -> Result<Addresses, UnknownContext> {
        self.apart.beside(main)
    }

    /// How to sign in there, if it has users.
    pub fn credentials(&self) -> Option<Credentials> {
        Some(Credentials {
            user: self.database_user.clone()?,
            password: self.database_password.as_ref()?.expose_secret().to_owned(),
        })
    }
}

/// An installation within reach.
pub struct Reached {
    /// Its streams.
    pub nats: Nats,
    /// Its database, if this process has opened it.
    pub store: Option<Store>,
    /// Up to where the database is known to be whole, if it is.
    pub whole: Option<Mark>,
    closed: Option<Closed>,
    /// Who answers: this process, if nobody else runs there.
    desk: Option<Desk>,
    server: Option<NatsServer>,
}

/// There is no installation.
#[derive(Debug, thiserror::Error)]
#[error("there is no installation in {0}; name its folder with --data, or a nats-server with --nats")]
struct NoInstallation(String);

impl Site {
    /// Reaches it. What is not running is opened, and closed again by [`Reached::leave`].
    pub async fn reach(&self) -> Result<Reached, Box<dyn std::error::Error>> {
        let mut reached = self.reach_streams().await?;
        if let Some(server) = &reached.server {
            let data = self.data.canonicalize()?;
            let closed = Closed::take(&data)?;
            let store = parts::database(&data).await?;
            let place = Place {
                databases: parts::database_url(&data).as_str().into(),
                data: Some(data),
                monitor: Some(server.monitor().to_owned()),
            };
            reached.whole = closed.at;
            reached.closed = Some(closed);
            let house = parts::house(&reached.nats, &store, Arc::new(Sketch), Duration::from_secs(3)).at(place);
            reached.desk = Some(house.desk());
            reached.store = Some(store);
        }
        Ok(reached)
    }

    /// Reaches its streams alone, and leaves the database as it is: nobody is there to ask where nothing runs.
    pub async fn reach_streams(&self) -> Result<Reached, Box<dyn std::error::Error>> {
        let running = match &self.nats {
            Some(url) => Some(url.clone()),
            None => server::running(&self.data.join("nats"))?,
        };
        if let Some(url) = running {
            let nats = Nats::connect(&url, "maru operator").await?;
            return Ok(Reached {
                nats,
                store: None,
                whole: None,
                closed: None,
                desk: None,
                server: None,
            });
        }
        let data = self.data.canonicalize().ok().filter(|data| data.join("nats").is_dir());
        let data = data.ok_or_else(|| NoInstallation(self.data.display().to_string()))?;
        let program = server::find(&data.join("bin"))
            .or_else(|error| server::find(&PathBuf::from(".maru/bin")).map_err(|_| error))?;
        let options = ServerOptions {
            program,
            data: data.join("nats"),
            port: None,
            sync_always: true,
        };
        let server = tokio::task::spawn_blocking(move || NatsServer::start(options)).await??;
        Ok(Reached {
            nats: Nats::connect(server.url(), "maru operator").await?,
            store: None,
            whole: None,
            closed: None,
            desk: None,
            server: Some(server),
        })
    }
}

impl Reached {
    /// Asks, and passes words of progress on. Ctrl-C ends the asking, not what was asked for.
    pub async fn ask(&self, name: &str, question: Value, word: impl FnMut(Value)) -> Result<Value, DeskError> {
        let stop = stop::requested().map_err(|error| DeskError::failed(&error))?;
        let asking = async {
            match &self.desk {
                Some(desk) => desk.ask(name, question, word).await,
                None => desk::ask(&self.nats, name, &question, word).await,
            }
        };
        stop.run_until_cancelled(asking).await.unwrap_or_else(|| {
            Err(DeskError::Failed(
                "interrupted; what was asked for may go on".to_owned(),
            ))
        })
    }

    /// Whether it was opened for this question alone, so that nobody works there.
    pub const fn is_opened_here(&self) -> bool {
        self.desk.is_some()
    }

    /// Closes what was opened.
    pub async fn leave(self, site: &Site) -> Result<(), Box<dyn std::error::Error>> {
        let Self {
            nats,
            store,
            whole,
            closed,
            desk,
            server,
        } = self;
        drop(desk);
        nats.close().await;
        if let Some(store) = store {
            let is_closed = parts::close(store, &site.data.join("db")).await;
            if let (Some(closed), Some(mark), true) = (closed, whole, is_closed) {
                closed.leave(mark)?;
            }
        }
        Ok(tokio::task::spawn_blocking(move || drop(server)).await?)
    }
}

/// Who is at the keyboard, as the machine knows them: for the record, not for permission.
pub fn who() -> String {
    let known = ["SUDO_USER", "USER", "LOGNAME"].into_iter();
    let mut names = known
        .filter_map(|name| std::env::var(name).ok())
        .filter(|name| !name.is_empty());
    format!("operator:{}", names.next().unwrap_or_else(|| "unknown".to_owned()))
}
