//! The installation that is proven: a `maru up` of its own in a folder of its own, which can be killed,
//! frozen and started again, as nobody would do to one that people use.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::dice::Dice;

/// How long a start may take, a disk full of other work included.
const START: Duration = Duration::from_secs(90);
/// How long a drain may take before it counts as none.
const DRAIN: Duration = Duration::from_secs(90);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Variables that would change what is proven, or reach somebody outside.
const NOT_INHERITED: [&str; 6] = [
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "MARU_ADMIN_PASSWORD",
    "MARU_PRODUCTION",
    "MARU_REQUESTS_AT_ONCE",
    "MARU_PAYMENT_TIMEOUT_MS",
];

/// Why the installation does not run.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    #[error("the scratch installation cannot be set up: {0}")]
    Setup(#[from] io::Error),
    #[error("the scratch installation did not come up; {} says why", .0.display())]
    NotReady(PathBuf),
}

pub struct Scratch {
    program: PathBuf,
    pub folder: PathBuf,
    pub api: SocketAddr,
    metrics: SocketAddr,
    http: reqwest::Client,
    child: Option<Child>,
    /// Starts that ended by themselves, and were tried again as a supervisor would.
    pub failed_starts: u64,
}

impl Scratch {
    pub fn new(program: PathBuf, folder: PathBuf, http: reqwest::Client, dice: &mut Dice) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self {
            program,
            folder: folder.canonicalize()?,
            api: free_address(dice)?,
            metrics: free_address(dice)?,
            http,
            child: None,
            failed_starts: 0,
        })
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("maru.log")
    }

    fn spawn(&mut self) -> io::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.program);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command
            .arg("up")
            .env("MARU_DATA", self.data())
            .env("MARU_API", self.api.to_string())
            .env("MARU_METRICS", self.metrics.to_string())
            .env("MARU_REQUESTS_PER_SECOND", "100000")
            .env("MARU_STREAM_MAX_BYTES", (256_u64 << 20).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Its own group: a Ctrl-C in the terminal is for us, who end the campaign first.
            .process_group(0);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Starts it, without waiting until it is ready.
    pub fn start(&mut self) -> Result<(), ScratchError> {
        if self.child.is_none() {
            self.spawn()?;
        }
        Ok(())
    }

    /// Waits until it says that it is ready. One that ends meanwhile is started again: its folder may
    /// have been locked by the server that the last one left behind.
    pub async fn ready(&mut self) -> Result<(), ScratchError> {
        let (until, address) = (Instant::now() + START, format!("http://{}/readyz", self.api));
        while Instant::now() < until {
            self.start()?;
            let asked = self.http.get(&address).timeout(Duration::from_secs(2)).send().await;
            if asked.is_ok_and(|answer| answer.status() == 200) {
                return Ok(());
            }
            if self
                .child
                .as_mut()
                .is_some_and(|child| !matches!(child.try_wait(), Ok(None)))
            {
                self.child = None;
                self.failed_starts += 1;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(ScratchError::NotReady(self.log()))
    }

    /// SIGKILL, as a crash would end it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the end; none if it did not come.
    pub async fn stop(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        signal(child.id(), Signal::TERM);
        let until = Instant::now() + DRAIN;
        while Instant::now() < until {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.child = Some(child);
        self.kill();
        None
    }

    pub fn maru(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The nats-server that it keeps.
    pub fn nats_server(&self) -> Option<u32> {
        child_of(self.maru()?)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let server = self.nats_server();
        self.kill();
        if let Some(server) = server {
            signal(server, Signal::TERM);
            signal(server, Signal::CONT);
        }
    }
}

pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// An address below those that the system gives to outgoing connections, so that it is free again at
/// the next start.
fn free_address(dice: &mut Dice) -> io::Result<SocketAddr> {
    let mut tried = 0;
    loop {
        let port = 10_000 + u16::try_from(dice.below(20_000)).unwrap_or_default();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        match TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) if tried > 100 => return Err(error),
            Err(_) => tried += 1,
        }
    }
}

fn child_of(parent: u32) -> Option<u32> {
    let is_child = |folder: &Path| {
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        // "pid (name) state ppid …"; the name may hold anything, a bracket too.
        let mut fields = stat.rsplit_once(") ").map_or("", |(_, after)| after).split(' ');
        fields.next() != Some("Z") && fields.next().and_then(|ppid| ppid.parse().ok()) == Some(parent)
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbered = processes.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    numbered.find(|(_, folder)| is_child(folder)).map(|(pid, _)| pid)
}
