//! One process of the scratch installation.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::apart;

/// How long a drain may take before it counts as none.
const DRAIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Variables that would change what is proven, or reach somebody outside.
const NOT_INHERITED: [&str; 7] = [
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "MARU_ADMIN_PASSWORD",
    "MARU_PRODUCTION",
    "MARU_REQUESTS_AT_ONCE",
    "MARU_PAYMENT_TIMEOUT_MS",
];

pub struct Process {
    pub name: String,
    /// Whether it is Maru, and not a server that Maru stands on.
    pub is_maru: bool,
    /// The address that answers 200 when it is ready.
    pub ready: String,
    pub program: PathBuf,
    pub arguments: Vec<&'static str>,
    pub environment: Vec<(&'static str, String)>,
    pub log: PathBuf,
    pub child: Option<Child>,
}

impl Process {
    fn command(&self) -> io::Result<Command> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        for name in apart::variables() {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Its own group: a Ctrl-C in the terminal is for us, who end the campaign first.
            .process_group(0);
        Ok(command)
    }

    /// Starts it, unless it runs.
    pub fn start(&mut self) -> io::Result<()> {
        if self.child.is_none() {
            self.child = Some(self.command()?.spawn()?);
        }
        Ok(())
    }

    /// Runs it to its end.
    pub fn finish(&self) -> io::Result<ExitStatus> {
        self.command()?.status()
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it ended by itself since it was started.
    pub fn has_ended(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        let has_ended = !matches!(child.try_wait(), Ok(None));
        if has_ended {
            self.child = None;
        }
        has_ended
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
        signal(self.pid()?, Signal::TERM);
        let until = Instant::now() + DRAIN;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.as_mut()?.try_wait() {
                self.child = None;
                return Some(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.kill();
        None
    }
}

pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

pub fn child_of(parent: u32) -> Option<u32> {
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
