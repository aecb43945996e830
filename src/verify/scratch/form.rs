//! What the installation consists of: one process that has everything in it, or a process for each part.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use maru_streams::server::{self, NatsServer, ServerOptions};
use maru_streams::store::Credentials;

use super::process::Process;
use super::{Database, Scratch, ScratchError, free_address};
use crate::verify::dice::Dice;
use crate::verify::wire::Wire;

/// How many doors a split installation has; more would only share the same load.
const DOORS: usize = 2;
/// So many bytes a stream may hold.
const STREAM_MAX_BYTES: u64 = 256 << 20;

/// What all processes of one installation have in common.
struct Site {
    program: PathBuf,
    folder: PathBuf,
    /// The servers, in the split form.
    environment: Vec<(&'static str, String)>,
}

impl Site {
    fn process(&self, name: String, arguments: Vec<&'static str>, ready: String) -> Process {
        Process {
            is_maru: name != "database",
            name,
            ready,
            program: self.program.clone(),
            arguments,
            environment: self.environment.clone(),
            log: self.folder.join("maru.log"),
            child: None,
        }
    }
}

fn new_folder(folder: &Path) -> Result<PathBuf, ScratchError> {
    fs::create_dir_all(folder)?;
    Ok(folder.canonicalize()?)
}

/// As the door listens here: whoever insists is not to be told to come back later.
fn door(api: SocketAddr, metrics: SocketAddr) -> [(&'static str, String); 4] {
    [
        ("MARU_API", api.to_string()),
        ("MARU_METRICS", metrics.to_string()),
        ("MARU_REQUESTS_PER_SECOND", "100000".to_owned()),
        ("MARU_STREAM_MAX_BYTES", STREAM_MAX_BYTES.to_string()),
    ]
}

impl Scratch {
    /// `maru up`: everything in one process, and the nats-server that it keeps.
    pub fn one(program: PathBuf, folder: &Path, http: reqwest::Client, dice: &mut Dice) -> Result<Self, ScratchError> {
        let site = Site {
            program,
            folder: new_folder(folder)?,
            environment: Vec::new(),
        };
        let (api, metrics) = (free_address(dice)?, free_address(dice)?);
        let mut maru = site.process("Maru".to_owned(), vec!["up"], format!("http://{api}/readyz"));
        maru.environment = door(api, metrics).into();
        let data = site.folder.join("data");
        maru.environment.push(("MARU_DATA", data.display().to_string()));
        Ok(Self {
            folder: site.folder,
            doors: vec![api],
            http,
            processes: vec![maru],
            wires: Vec::new(),
            server: None,
            database: None,
            failed_starts: 0,
        })
    }

    /// A nats-server, a database server, two doors, and so many copies of all workers.
    pub async fn split(
        program: PathBuf,
        folder: &Path,
        copies: usize,
        http: reqwest::Client,
        dice: &mut Dice,
    ) -> Result<Self, ScratchError> {
        let folder = new_folder(folder)?;
        let data = folder.join("data");
        let options = ServerOptions {
            program: server::find(&PathBuf::from(".maru/bin"))?,
            data: data.join("nats"),
            port: None,
            sync_always: true,
        };
        let started = tokio::task::spawn_blocking(move || NatsServer::start(options)).await;
        let server = started.map_err(std::io::Error::other)??;
        let listens = free_address(dice)?;
        let credentials = Credentials {
            user: "verify".to_owned(),
            // Made up for this campaign, and good for nothing else.
            password: format!("{:016x}", dice.roll()),
        };
        let url = format!("ws://{listens}");
        let nats: SocketAddr = server
            .url()
            .trim_start_matches("nats://")
            .parse()
            .map_err(std::io::Error::other)?;
        let wires = vec![
            ("nats-server", Wire::before(vec![nats]).await?),
            ("the database", Wire::before(vec![listens]).await?),
        ];
        let site = Site {
            program,
            environment: vec![
                ("NATS_URL", format!("nats://{}", wires[0].1.address())),
                ("NATS_MONITOR_URL", server.monitor().to_owned()),
                ("MARU_DATA", data.display().to_string()),
                ("MARU_KEYS", data.join("keys").display().to_string()),
                ("MARU_DB_BIND", listens.to_string()),
                ("MARU_DB_URL", format!("ws://{}", wires[1].1.address())),
                ("MARU_DB_USER", credentials.user.clone()),
                ("MARU_DB_PASSWORD", credentials.password.clone()),
                ("MARU_STREAM_MAX_BYTES", STREAM_MAX_BYTES.to_string()),
            ],
            folder,
        };
        let streams = site.process("streams".to_owned(), vec!["streams", "apply"], String::new());
        let made = tokio::task::spawn_blocking(move || streams.finish()).await;
        if !made.map_err(std::io::Error::other)??.success() {
            return Err(ScratchError::NoStreams(site.folder.join("maru.log")));
        }
        let ready = format!("http://{listens}/health");
        let mut processes = vec![site.process("database".to_owned(), vec!["database"], ready)];
        let mut doors = Vec::new();
        for nth in 1..=DOORS {
            let (api, metrics) = (free_address(dice)?, free_address(dice)?);
            let ready = format!("http://{api}/readyz");
            let mut gateway = site.process(format!("gateway {nth}"), vec!["gateway"], ready);
            gateway.environment.extend(door(api, metrics));
            processes.push(gateway);
            doors.push(api);
        }
        for nth in 1..=copies {
            let metrics = free_address(dice)?;
            let ready = format!("http://{metrics}/readyz");
            let mut workers = site.process(format!("workers {nth}"), vec!["workers"], ready);
            workers.environment.push(("MARU_METRICS", metrics.to_string()));
            processes.push(workers);
        }
        Ok(Self {
            folder: site.folder,
            doors,
            http,
            processes,
            wires,
            server: Some(server),
            database: Some(Database { url, credentials }),
            failed_starts: 0,
        })
    }
}
