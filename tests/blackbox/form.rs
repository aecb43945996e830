//! What a house consists of: `maru up`, one process with everything in it; or the split form, in which a
//! nats-server, a database, two gateways and two of all workers are processes of their own.
//!
//! `MARU_TEST_FORM=split` runs every house in the split form. What is about `maru up` itself says so with
//! [`one_process_only`].

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use maru_streams::server::{self, NatsServer, ServerOptions};
use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::house::root;
use crate::process::{children_of, free_port, maru, maru_up, signal, within_another};

/// How long an orderly end may take.
const DRAIN: Duration = Duration::from_secs(60);

/// Whether houses are split here.
pub fn is_split() -> bool {
    std::env::var("MARU_TEST_FORM").is_ok_and(|form| form == "split")
}

/// Whether a test has nothing to look at in the split form, and why.
pub fn one_process_only(why: &str) -> bool {
    if is_split() {
        eprintln!("not in the split form: {why}");
    }
    is_split()
}

/// Where the processes write, line by line.
pub type Log = Arc<Mutex<Vec<String>>>;

/// One process of a house.
pub struct Process {
    pub name: String,
    /// The address that answers 200 when it is ready.
    pub ready: String,
    /// Where it tells about itself; a database does not.
    pub metrics: Option<u16>,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    log: Log,
    child: Mutex<Option<Child>>,
}

impl Process {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("a lock")
    }

    /// Starts it, unless it runs.
    pub fn start(&self, env: &[(String, String)]) {
        let mut running = self.child();
        if running.is_some() {
            return;
        }
        let mut command = (self.command)();
        command
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("start a process of the house");
        let stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                log.lock().expect("a lock").push(line);
            }
        });
        *running = Some(child);
    }

    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// How it ended, if it did by itself.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child()
            .as_mut()
            .and_then(|child| child.try_wait().expect("wait for it"))
    }

    pub fn signal(&self, what: Signal) {
        if let Some(pid) = self.pid() {
            signal(pid, what);
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&self) {
        let Some(mut child) = self.child().take() else { return };
        let _ = child.kill();
        let _ = child.wait();
    }

    /// SIGTERM was sent; waits for the end, and ends it the hard way if that does not come.
    pub async fn drained(&self) -> Option<ExitStatus> {
        let until = Instant::now() + DRAIN;
        while Instant::now() < until {
            let ended = self.ended();
            if ended.is_some() {
                *self.child() = None;
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.kill();
        None
    }
}

/// The servers that are not Maru's own.
pub enum Servers {
    /// `maru up` keeps its own.
    Kept,
    One(Mutex<Option<NatsServer>>, ServerOptions),
    Three(Cluster),
}

impl Servers {
    /// One nats-server on the data folder, as operators' commands look for it.
    pub fn one(data: &Path) -> Self {
        let options = ServerOptions {
            program: server::find(&root().join(".maru/bin")).expect("a nats-server"),
            data: data.join("nats"),
            port: Some(free_port()),
            sync_always: true,
        };
        Self::One(Mutex::default(), options)
    }

    pub async fn start(&self) {
        match self {
            Self::Kept => {}
            Self::One(running, options) => {
                if running.lock().expect("a lock").is_none() {
                    let options = options.clone();
                    let started = tokio::task::spawn_blocking(|| NatsServer::start(options)).await;
                    *running.lock().expect("a lock") = Some(started.expect("a thread").expect("a nats-server"));
                }
            }
            Self::Three(cluster) => cluster.start().await,
        }
    }

    pub fn stop(&self) {
        match self {
            Self::Kept => {}
            Self::One(running, _) => drop(running.lock().expect("a lock").take()),
            Self::Three(cluster) => cluster.stop(),
        }
    }

    pub fn pid(&self, processes: &[Process]) -> Option<u32> {
        match self {
            Self::Kept => children_of(processes[0].pid()?).first().copied(),
            Self::One(running, _) => running.lock().expect("a lock").as_ref().map(NatsServer::pid),
            Self::Three(_) => None,
        }
    }

    /// What processes are told of it.
    fn env(&self) -> Vec<(String, String)> {
        let (url, monitor) = match self {
            Self::Kept => return Vec::new(),
            Self::One(running, _) => {
                let running = running.lock().expect("a lock");
                let server = running.as_ref().expect("it runs");
                (server.url().to_owned(), server.monitor().to_owned())
            }
            Self::Three(cluster) => (cluster.url(), cluster.monitor()),
        };
        vec![("NATS_URL".to_owned(), url), ("NATS_MONITOR_URL".to_owned(), monitor)]
    }
}

/// Where the parts of a split house find each other.
pub struct Site {
    pub database: u16,
    /// The databases of contexts that have one of their own, and their folders.
    pub own: Vec<(&'static str, u16, PathBuf)>,
    pub gateways: Vec<u16>,
    env: Vec<(String, String)>,
}

impl Site {
    pub fn new(data: &Path, own: &[&'static str]) -> Self {
        let database = free_port();
        let data_in = |name: &str| data.join(name).display().to_string();
        let env = [
            ("MARU_DATA", data.display().to_string()),
            ("MARU_KEYS", data_in("keys")),
            ("MARU_DB_BIND", format!("127.0.0.1:{database}")),
            ("MARU_DB_URL", format!("ws://127.0.0.1:{database}")),
            ("MARU_DB_USER", "house".to_owned()),
            // Made up for this house, and good for nothing else.
            ("MARU_DB_PASSWORD", format!("house-{database}")),
        ];
        let own: Vec<_> = own.iter().map(|of| (*of, free_port(), data.join(of))).collect();
        let mut env: Vec<(String, String)> = env.map(|(name, value)| (name.to_owned(), value)).into();
        for (context, port, _) in &own {
            let name = format!("MARU_DB_URL_{}", context.to_uppercase());
            env.push((name, format!("ws://127.0.0.1:{port}")));
        }
        Self {
            database,
            own,
            gateways: vec![free_port(), free_port()],
            env,
        }
    }

    /// The variables for a process of it.
    pub fn env(&self, servers: &Servers) -> Vec<(String, String)> {
        [self.env.clone(), servers.env()].concat()
    }

    /// A database, two gateways, and two of all workers.
    pub fn processes(&self, log: &Log, aside: &Log) -> Vec<Process> {
        let process = |name: String, words: Vec<String>, ready: String, metrics: Option<u16>, log: &Log| Process {
            name,
            ready,
            metrics,
            command: Box::new(move || {
                let mut command = maru();
                command.args(&words);
                command
            }),
            log: Arc::clone(log),
            child: Mutex::default(),
        };
        let on = |port: u16| format!("127.0.0.1:{port}");
        let word = |text: &str| text.to_owned();
        let health = format!("http://{}/health", on(self.database));
        // The database server's log is not ours, and has its own form.
        let mut processes = vec![process(word("database"), vec![word("database")], health, None, aside)];
        for (context, port, folder) in &self.own {
            let folder = folder.display().to_string();
            let words = ["database", "--bind", &on(*port), "--data", &folder].map(word).into();
            let health = format!("http://{}/health", on(*port));
            processes.push(process(format!("database of {context}"), words, health, None, aside));
        }
        for (nth, api) in (1..).zip(&self.gateways) {
            let metrics = free_port();
            let words = ["gateway", "--api", &on(*api), "--metrics", &on(metrics)]
                .map(word)
                .into();
            let ready = format!("http://{}/readyz", on(*api));
            processes.push(process(format!("gateway {nth}"), words, ready, Some(metrics), log));
        }
        for nth in 1..=2 {
            let metrics = free_port();
            let words = ["workers", "--metrics", &on(metrics)].map(word).into();
            let ready = format!("http://{}/readyz", on(metrics));
            processes.push(process(format!("workers {nth}"), words, ready, Some(metrics), log));
        }
        processes
    }
}

/// `maru up` on a data folder, started by another program if one is named.
pub fn up(data: &Path, api: u16, metrics: u16, under: Vec<String>, log: &Log) -> Process {
    let data = data.to_path_buf();
    Process {
        name: "maru".to_owned(),
        ready: format!("http://127.0.0.1:{api}/readyz"),
        metrics: Some(metrics),
        command: Box::new(move || within_another(&under, maru_up(&data, api, metrics))),
        log: Arc::clone(log),
        child: Mutex::default(),
    }
}
