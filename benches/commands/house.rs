//! A whole `maru up` as a process of its own, its memory and its metrics page.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long one may wait for anything.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How often a page is looked at while one waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running Maru. Dropping it kills it.
pub struct House {
    child: Child,
    pub begun: Instant,
    pub api: String,
    metrics: String,
    pub http: reqwest::Client,
}

/// What two processes hold in memory, in MiB.
pub struct Memory {
    pub maru: f64,
    pub nats: f64,
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

impl House {
    /// Starts it on a data folder, and does not wait until it is there. What it says goes into `log`.
    pub fn start(data: &Path, log: &Path) -> Self {
        let (api, metrics) = (free_address(), free_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
        // Nothing inherited may change what is measured.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("MARU_") || name.starts_with("OPENAI_") || name == "RUST_LOG" {
                command.env_remove(&*name);
            }
        }
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build();
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["up", "--api", &api, "--metrics", &metrics, "--data"])
            .arg(data)
            .args(["--requests-per-second", "1000000", "--longest-wait-s", "100000"])
            .args(["--stream-max-bytes", "1073741824"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log).expect("a log"));
        Self {
            begun: Instant::now(),
            child: command.spawn().expect("start maru"),
            api: format!("http://{api}"),
            metrics: format!("http://{metrics}/metrics"),
            http: http.expect("a client"),
        }
    }

    /// A value of the metrics page: of the series that begins so, with these labels. Zero, if it never came.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let page = self.http.get(&self.metrics).send().await.expect("the metrics page");
        let page = page.text().await.expect("a page");
        let labels: Vec<String> = labels.iter().map(|(label, is)| format!("{label}=\"{is}\"")).collect();
        let is_it = |line: &&str| line.starts_with(&format!("{name}{{")) && labels.iter().all(|is| line.contains(is));
        let line = page.lines().find(is_it);
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_default()
    }

    /// Waits until a value has come so far.
    pub async fn until_metric(&self, name: &str, labels: &[(&str, &str)], least: f64) {
        let begun = Instant::now();
        while self.metric(name, labels).await < least {
            assert!(begun.elapsed() < PATIENCE, "{name} {labels:?} never came to {least}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What it and its nats-server hold in memory now.
    pub fn memory(&self) -> Memory {
        let maru = self.child.id();
        let children = format!("/proc/{maru}/task/{maru}/children");
        // Whichever of its threads started the server is its parent here.
        let tasks = std::fs::read_dir(format!("/proc/{maru}/task")).expect(&children);
        let nats = tasks.flatten().find_map(|task| {
            let children = std::fs::read_to_string(task.path().join("children")).ok()?;
            children.split_whitespace().next()?.parse().ok()
        });
        Memory {
            maru: resident(maru),
            nats: nats.map_or(f64::NAN, resident),
        }
    }

    /// Ends it as Ctrl-C would.
    pub async fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), Signal::TERM).expect("it can be told");
        let begun = Instant::now();
        while self.child.try_wait().expect("a process").is_none() {
            assert!(begun.elapsed() < PATIENCE, "maru did not stop");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Already gone after `stop`; both calls are harmless then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.expect("its memory") / 1024.0
}
