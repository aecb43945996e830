//! The installation that is proven: a Maru of its own in a folder of its own, in one process or in many,
//! each of which can be killed, frozen and started again, as nobody would do to one that people use.
//!
//! Somebody has to start again what died, as a cluster would: whoever waits here calls [`Scratch::tend`].

mod form;
mod process;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use maru_streams::server::{self, NatsServer};
use maru_streams::store::Credentials;
use rustix::process::Signal;

pub use process::signal;

use super::dice::Dice;
use super::wire::Wire;
use process::Process;

/// How long a start may take, a disk full of other work included.
const START: Duration = Duration::from_secs(90);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why the installation does not run.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    #[error("the scratch installation cannot be set up: {0}")]
    Setup(#[from] io::Error),
    #[error("the scratch installation's nats-server does not run: {0}")]
    Server(#[from] server::ServerError),
    #[error("the scratch installation's streams cannot be made; {} says why", .0.display())]
    NoStreams(PathBuf),
    #[error("the scratch installation did not come up; {} says why", .0.display())]
    NotReady(PathBuf),
}

/// Something that can be hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One of our processes, by its place in the list.
    Process(usize),
    /// The nats-server. Its keeper, Maru itself or this process, starts it again.
    NatsServer,
}

/// A database that is a process of its own.
pub struct Database {
    pub url: String,
    pub credentials: Credentials,
}

pub struct Scratch {
    pub folder: PathBuf,
    /// Where people may knock.
    pub doors: Vec<SocketAddr>,
    http: reqwest::Client,
    pub processes: Vec<Process>,
    /// From the processes of the split form to the servers they stand on, with what each leads to.
    pub wires: Vec<(&'static str, Wire)>,
    /// Those of the split form; one process keeps its own.
    server: Option<NatsServer>,
    pub database: Option<Database>,
    /// Processes that ended by themselves, and were started again as a supervisor would.
    pub failed_starts: u64,
}

impl Scratch {
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("maru.log")
    }

    /// Where its streams are, while it runs.
    pub fn nats_url(&self) -> Option<String> {
        match &self.server {
            Some(server) => Some(server.url().to_owned()),
            None => server::running(&self.data().join("nats")).ok().flatten(),
        }
    }

    /// Everything that can be hit.
    pub fn parts(&self) -> Vec<Part> {
        let processes = (0..self.processes.len()).map(Part::Process);
        processes.chain([Part::NatsServer]).collect()
    }

    /// What people call it.
    pub fn name(&self, part: Part) -> &str {
        match part {
            Part::Process(nth) => &self.processes[nth].name,
            Part::NatsServer => "nats-server",
        }
    }

    fn pid(&self, part: Part) -> Option<u32> {
        match (part, &self.server) {
            (Part::Process(nth), _) => self.processes[nth].pid(),
            (Part::NatsServer, Some(server)) => Some(server.pid()),
            // In one process there is one, and its only child is the server.
            (Part::NatsServer, None) => process::child_of(self.processes.first()?.pid()?),
        }
    }

    pub fn signal(&self, part: Part, what: Signal) {
        if let Some(pid) = self.pid(part) {
            signal(pid, what);
        }
    }

    /// SIGKILL, as a crash would end it, and started again at once.
    pub fn kill(&mut self, part: Part) -> Result<(), ScratchError> {
        match part {
            Part::Process(nth) => {
                self.processes[nth].kill();
                self.processes[nth].start()?;
            }
            Part::NatsServer => self.signal(part, Signal::KILL),
        }
        Ok(())
    }

    /// SIGTERM, as a deploy would end it, and started again: how it ended, if it did in time. Of a
    /// nats-server none: nobody restarts that in passing.
    pub async fn restart(&mut self, part: Part) -> Result<Option<ExitStatus>, ScratchError> {
        let Part::Process(nth) = part else { return Ok(None) };
        let ended = self.processes[nth].stop().await;
        self.processes[nth].start()?;
        Ok(ended)
    }

    /// Starts again what ended by itself.
    pub fn tend(&mut self) -> Result<(), ScratchError> {
        for process in &mut self.processes {
            self.failed_starts += u64::from(process.has_ended());
            process.start()?;
        }
        Ok(())
    }

    /// Waits until every process says that it is ready.
    pub async fn ready(&mut self) -> Result<(), ScratchError> {
        let until = Instant::now() + START;
        while Instant::now() < until {
            self.tend()?;
            if self.is_ready().await {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(ScratchError::NotReady(self.log()))
    }

    async fn is_ready(&self) -> bool {
        for process in &self.processes {
            let asked = self.http.get(&process.ready).timeout(Duration::from_secs(2)).send();
            if !asked.await.is_ok_and(|answer| answer.status() == 200) {
                return false;
            }
        }
        true
    }

    /// Ends all of Maru, and leaves only servers running that are processes of their own. Who did not end
    /// well is named.
    pub async fn stop(&mut self) -> Vec<(String, Option<ExitStatus>)> {
        let mut badly = Vec::new();
        for process in self.processes.iter_mut().filter(|process| process.is_maru) {
            let ended = process.stop().await;
            if !ended.is_some_and(|status| status.success()) {
                badly.push((process.name.clone(), ended));
            }
        }
        badly
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let server = self.server.is_none().then(|| self.pid(Part::NatsServer)).flatten();
        for process in &mut self.processes {
            process.kill();
        }
        if let Some(server) = server {
            signal(server, Signal::TERM);
            signal(server, Signal::CONT);
        }
    }
}

/// An address below those that the system gives to outgoing connections, so that it is free again at
/// the next start.
fn free_address(dice: &mut Dice) -> io::Result<SocketAddr> {
    let mut tried = 0;
    loop {
        let port = 10_000 + u16::try_from(dice.below(20_000)).unwrap_or_default();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        match std::net::TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) if tried > 100 => return Err(error),
            Err(_) => tried += 1,
        }
    }
}
