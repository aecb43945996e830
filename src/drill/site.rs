//! A scratch installation, as an operator sees it: its folder or its servers, and the commands that are run
//! on it.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use maru_streams::nats::Nats;
use maru_streams::store::Store;
use serde_json::Value;

use super::Failed;
use crate::verify::dice::Dice;
use crate::verify::scratch::Scratch;
use crate::{apart, operator};

/// How long a database server may take to come up.
const START: Duration = Duration::from_secs(60);

/// A command of an operator that did not end well.
#[derive(Debug, thiserror::Error)]
#[error("maru {what} failed: {why}")]
struct CommandFailed {
    what: String,
    why: String,
}

pub struct Site {
    pub scratch: Scratch,
    http: reqwest::Client,
}

impl Site {
    pub async fn new(folder: &Path, is_split: bool, dice: &mut Dice) -> Result<Self, Failed> {
        let (program, http) = (std::env::current_exe()?, reqwest::Client::builder().build()?);
        let scratch = if is_split {
            Scratch::split(program, folder, 1, http.clone(), dice).await?
        } else {
            Scratch::one(program, folder, http.clone(), dice)?
        };
        Ok(Self { scratch, http })
    }

    pub fn door(&self) -> String {
        format!("http://{}", self.scratch.doors[0])
    }

    /// Keys are kept apart from backups; they are put back by hand.
    pub fn takes_keys(&self, keys: &Path) -> Result<(), Failed> {
        let here = self.scratch.data().join("keys");
        std::fs::create_dir_all(&here)?;
        for key in std::fs::read_dir(keys)?.flatten() {
            std::fs::copy(key.path(), here.join(key.file_name()))?;
        }
        Ok(())
    }

    /// Starts what Maru stands on, and no Maru.
    pub async fn starts_servers(&mut self) -> Result<(), Failed> {
        let until = Instant::now() + START;
        for process in self.scratch.processes.iter_mut().filter(|process| !process.is_maru) {
            process.start()?;
            loop {
                let asked = self.http.get(&process.ready).send().await;
                if asked.is_ok_and(|answer| answer.status() == 200) {
                    break;
                }
                if Instant::now() > until {
                    let (what, why) = (process.name.clone(), "it did not come up".to_owned());
                    return Err(CommandFailed { what, why }.into());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Looks into it while no Maru runs there: at its servers, or by opening its folder.
    pub async fn opened<T>(&self, look: impl AsyncFnOnce(&Nats, &Store) -> Result<T, Failed>) -> Result<T, Failed> {
        if let (Some(database), Some(nats)) = (&self.scratch.database, self.scratch.nats_url()) {
            let nats = Nats::connect(&nats, "maru drill").await?;
            let store = Store::open(database.url.as_str(), Some(database.credentials.clone())).await?;
            let seen = look(&nats, &store).await;
            nats.close().await;
            return seen;
        }
        let site = operator::Site {
            data: self.scratch.data(),
            nats: None,
            json: false,
        };
        let reached = site.reach().await?;
        let seen = match &reached.store {
            Some(store) => look(&reached.nats, store).await,
            None => Err(CommandFailed {
                what: "up".to_owned(),
                why: "it still runs though it was stopped".to_owned(),
            }
            .into()),
        };
        reached.leave(&site).await?;
        seen
    }

    /// Runs a command on it, and reads what it says.
    pub async fn maru(&self, arguments: &[&str]) -> Result<Value, Failed> {
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        for name in ["NATS_URL", "MARU_DB_URL", "MARU_DB_USER", "MARU_DB_PASSWORD"] {
            command.env_remove(name);
        }
        // A scratch installation has one database, whatever this process was told.
        for name in apart::variables() {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env("MARU_DATA", self.scratch.data())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let (Some(database), Some(nats)) = (&self.scratch.database, self.scratch.nats_url()) {
            command
                .env("NATS_URL", nats)
                .env("MARU_DB_URL", &database.url)
                .env("MARU_DB_USER", &database.credentials.user)
                .env("MARU_DB_PASSWORD", &database.credentials.password);
        }
        let ended = command.output().await?;
        let failed = |why: String| CommandFailed {
            what: arguments.join(" "),
            why,
        };
        if !ended.status.success() {
            return Err(failed(String::from_utf8_lossy(&ended.stderr).trim().to_owned()).into());
        }
        Ok(serde_json::from_slice(&ended.stdout).map_err(|error| failed(error.to_string()))?)
    }
}
