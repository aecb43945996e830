//! `maru database`: the official database server, from its library, on the embedded database's folder.
//!
//! The library keeps its command line to itself and reads it from the process. So this process becomes
//! another one of the same binary under the server's name, [`NAME`], and `main` hands that one over
//! before it looks at anything. The password travels in the environment, where no process list shows it.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Outcome, parts};

/// What the process is called that is the server.
const NAME: &str = "surreal";

/// Run the database server alone, on the data folder, for `maru gateway` and `maru workers`.
///
/// It is the official server, built from its library: for trying the split form out where its own binary
/// is not at hand. Every commit is on the disk before it is answered.
#[derive(Args)]
pub struct Database {
    /// Where all data lies; the database takes the folder `db` in it, as `maru up` does.
    #[arg(long, env = "MARU_DATA", default_value = ".maru", value_name = "FOLDER")]
    data: PathBuf,
    /// Where the database listens.
    #[arg(
        long,
        env = "MARU_DB_BIND",
        default_value = "127.0.0.1:8000",
        value_name = "HOST:PORT"
    )]
    bind: SocketAddr,
    /// The user that is made when the database is empty.
    #[arg(long, env = "MARU_DB_USER", default_value = "maru", value_name = "NAME")]
    database_user: String,
    /// That user's password; as a variable only, so that it is in no process list.
    #[arg(
        env = "MARU_DB_PASSWORD",
        hide_env_values = true,
        hide = true,
        long = "database-password-from-env",
        value_name = "PASSWORD"
    )]
    database_password: Option<SecretString>,
}

/// Why no database server is run.
#[derive(Debug, thiserror::Error)]
pub enum Unable {
    #[error("a database that listens on a port needs a password; set MARU_DB_PASSWORD")]
    NoPassword,
    #[error(
        "this binary was built without the database server; build it with `--features database`, or run the official \
         server"
    )]
    NotBuilt,
}

impl Database {
    pub fn run(self) -> Outcome {
        if !cfg!(feature = "database") {
            return Err(Unable::NotBuilt.into());
        }
        let password = self.database_password.ok_or(Unable::NoPassword)?;
        parts::private_folder(&self.data)?;
        let data = self.data.canonicalize()?;
        // exec comes back only with the reason why it could not.
        Err(Command::new(std::env::current_exe()?)
            .arg0(NAME)
            .args(["start", "--no-banner", "--log", "warn", "--bind"])
            .arg(self.bind.to_string())
            .arg(url(&data))
            .env("SURREAL_USER", self.database_user)
            .env("SURREAL_PASS", password.expose_secret())
            .exec()
            .into())
    }
}

/// The embedded database of this data folder, each commit synced.
fn url(data: &Path) -> String {
    format!("surrealkv://{}?sync=every", data.join("db").display())
}

/// Whether this process is the server that [`Database::run`] became; then it is run to its end.
pub fn served() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    (Path::new(&name).file_name() == Some(OsStr::new(NAME))).then(serve)
}

#[cfg(feature = "database")]
fn serve() -> ExitCode {
    surrealdb_server::init(surrealdb_server::core::CommunityComposer())
}

#[cfg(not(feature = "database"))]
fn serve() -> ExitCode {
    eprintln!("maru: {}", Unable::NotBuilt);
    ExitCode::FAILURE
}
