//! A Maru of the test's own, and the people who use it.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::doors::Doors;
pub use crate::form::one_process_only;
use crate::form::{self, Log, Process, Servers, Site, is_split};
use crate::person::{Person, Reply};
use crate::process::{children_of, maru, signal};
pub use crate::process::{free_port, maru_up};
pub use crate::streams::Streams;

/// How long anything may take that is to happen by itself.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const PASSWORD: &str = "a long password";

/// A Maru of the test's own. Dropping it ends it and takes its data away.
pub struct House {
    pub api: u16,
    pub metrics: u16,
    pub folder: TempDir,
    pub http: reqwest::Client,
    env: Vec<(String, String)>,
    pub servers: Servers,
    /// Where the parts are, in the split form.
    pub site: Option<Site>,
    pub processes: Vec<Process>,
    doors: Mutex<Option<Doors>>,
    log: Log,
    /// What servers write that are not Maru's own.
    aside: Log,
    allowed: Mutex<Vec<&'static str>>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Polls until something is there, and fails with `what` if it is not within twenty seconds.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look).await
}

/// The same with another patience: a crash leaves messages that come again only after half a minute.
pub async fn within<T>(patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "never happened within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl House {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A house with these settings, in the form that is asked for.
    pub async fn with(env: &[(&str, &str)]) -> Self {
        if is_split() {
            return Self::split(env).await;
        }
        let house = Self::of_one_process(env, Vec::new());
        house.start().await;
        house
    }

    /// Starts with a further setting.
    pub async fn start_with(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
        self.start().await;
    }

    /// A house of one process that is started by another program.
    pub async fn under(program: Vec<String>) -> Self {
        let house = Self::of_one_process(&[], program);
        house.start().await;
        house
    }

    fn of_one_process(env: &[(&str, &str)], under: Vec<String>) -> Self {
        let mut house = Self::bare(env, Servers::Kept);
        house.processes = vec![form::up(&house.data(), house.api, house.metrics, under, &house.log)];
        house
    }

    /// A house whose parts are processes of their own, whatever form is asked for.
    pub async fn split(env: &[(&str, &str)]) -> Self {
        Self::parted(env, &[], Servers::one).await
    }

    /// The same, with databases of their own for these contexts.
    pub async fn divided(own: &[&'static str]) -> Self {
        Self::parted(&[], own, Servers::one).await
    }

    /// The same on a cluster of three nats-servers, which keep everything three times.
    pub async fn clustered() -> Self {
        Self::parted(&[("MARU_STREAM_REPLICAS", "3")], &[], |data| {
            Servers::Three(Cluster::new(data))
        })
        .await
    }

    async fn parted(env: &[(&str, &str)], own: &[&'static str], servers: impl FnOnce(&Path) -> Servers) -> Self {
        let mut house = Self::bare(env, Servers::Kept);
        house.servers = servers(&house.data());
        let site = Site::new(&house.data(), own);
        house.processes = site.processes(&house.log, &house.aside);
        *house.doors.lock().expect("a lock") = Some(Doors::open(house.api, site.gateways.clone()).await);
        house.site = Some(site);
        house.start().await;
        house
    }

    fn bare(env: &[(&str, &str)], servers: Servers) -> Self {
        Self {
            api: free_port(),
            metrics: free_port(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(60))
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            env: env
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            servers,
            site: None,
            processes: Vec::new(),
            doors: Mutex::default(),
            log: Arc::default(),
            aside: Arc::default(),
            allowed: Mutex::default(),
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// Starts what does not run, and waits until all of it says that it is ready.
    pub async fn start(&self) {
        self.servers.start().await;
        let mut env = self.env.clone();
        if let Some(site) = &self.site {
            env.extend(site.env(&self.servers));
            self.make_streams(&env).await;
        }
        for process in &self.processes {
            process.start(&env);
        }
        for process in &self.processes {
            self.is_ready(process).await;
        }
    }

    /// Starts one process again, of those that the house consists of.
    pub fn start_one(&self, name: &str) {
        let site = self.site.as_ref().map(|site| site.env(&self.servers));
        self.process(name)
            .start(&[self.env.clone(), site.unwrap_or_default()].concat());
    }

    pub fn process(&self, name: &str) -> &Process {
        let found = self.processes.iter().find(|process| process.name == name);
        found.unwrap_or_else(|| panic!("no {name} here"))
    }

    /// A command of an operator, with the variables of the house; how it ended, and what it said.
    pub async fn operator(&self, arguments: &[&str], without: &[&str]) -> std::process::Output {
        let mut command = maru();
        match &self.site {
            Some(site) => command.envs(site.env(&self.servers)),
            None => command.env("MARU_DATA", self.data()),
        };
        command.stdout(std::process::Stdio::piped());
        for name in without {
            command.env_remove(name);
        }
        command.args(arguments);
        let ended = tokio::process::Command::from(command).output().await;
        ended.expect("run maru")
    }

    /// `maru streams apply`, as the deploy of a split installation begins.
    async fn make_streams(&self, env: &[(String, String)]) {
        let apply = || {
            let mut command = maru();
            command.args(["streams", "apply"]);
            command.envs(env.iter().map(|(name, value)| (name, value)));
            tokio::process::Command::from(command).output()
        };
        // A cluster that has just come together refuses the first ones.
        within(Duration::from_secs(60), "the streams are made", async || {
            let ended = apply().await.expect("run maru streams apply");
            ended.status.success().then_some(())
        })
        .await;
    }

    pub async fn is_ready(&self, process: &Process) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let asked = self.http.get(&process.ready).timeout(Duration::from_secs(5)).send();
            if asked.await.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            let name = &process.name;
            if let Some(status) = process.ended() {
                panic!("{name} ended with {status} at its start:\n{}", self.last_words());
            }
            assert!(
                Instant::now() < until,
                "{name} was not ready in time:\n{}",
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The nats-server that it runs.
    pub fn nats_pid(&self) -> Option<u32> {
        self.servers.pid(&self.processes)
    }

    /// SIGKILL for all of it, as a power cut would end it. A nats-server of its own ends with the others.
    pub async fn kill(&self) {
        for process in &self.processes {
            process.signal(Signal::KILL);
        }
        for process in &self.processes {
            process.kill();
        }
        self.servers.stop();
    }

    pub fn kill_nats(&self) {
        let pid = self.nats_pid().expect("a nats-server");
        signal(pid, Signal::KILL);
    }

    /// SIGTERM, and waits for the end: of Maru first, then of what it stands on. Success, if all of it was.
    pub async fn stop(&self) -> ExitStatus {
        let is_server = |process: &&Process| process.name.starts_with("database");
        let mut worst = ExitStatus::default();
        let (servers, ours): (Vec<&Process>, Vec<&Process>) = self.processes.iter().partition(is_server);
        for together in [ours, servers] {
            for process in &together {
                process.signal(Signal::TERM);
            }
            for process in together {
                let ended = process.drained().await;
                let status =
                    ended.unwrap_or_else(|| panic!("{} did not stop in time:\n{}", process.name, self.last_words()));
                if !status.success() {
                    worst = status;
                }
            }
        }
        self.servers.stop();
        worst
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("a lock").clone()
    }

    pub fn last_words(&self) -> String {
        let log: Vec<String> = self
            .log()
            .into_iter()
            .filter(|line| !line.contains("\"topology\""))
            .collect();
        let aside = self.aside.lock().expect("a lock");
        let (log, aside) = (
            &log[log.len().saturating_sub(30)..],
            &aside[aside.len().saturating_sub(10)..],
        );
        [log, aside].concat().join("\n")
    }

    /// A warning or error with these words in it is expected in this test.
    pub fn allow(&self, words: &'static str) {
        self.allowed.lock().expect("a lock").push(words);
    }

    fn complaints(&self) -> Vec<String> {
        let allowed = self.allowed.lock().expect("a lock").clone();
        let is_bad = |line: &String| {
            let Ok(entry) = serde_json::from_str::<Value>(line) else {
                return true;
            };
            matches!(entry["level"].as_str(), Some("WARN" | "ERROR") | None)
        };
        self.log()
            .into_iter()
            .filter(is_bad)
            .filter(|line| !allowed.iter().any(|words| line.contains(words)))
            .collect()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.stranger().get(path).await
    }

    pub fn stranger(&self) -> Person {
        Person {
            http: self.http.clone(),
            base: self.url(),
            username: String::new(),
            token: String::new(),
        }
    }

    pub async fn author(&self, name: &str) -> Person {
        self.member(name, "author").await
    }

    pub async fn reader(&self, name: &str) -> Person {
        self.member(name, "reader").await
    }

    async fn member(&self, name: &str, role: &str) -> Person {
        let mut person = self.stranger();
        person.sign_up(name, role).await.is(201);
        person.log_in().await;
        person
    }

    /// The sum of a metric over its labels that hold all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.metrics_page().await;
        page.lines()
            .filter(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// What its processes tell about themselves, one after the other. Who is away tells nothing.
    pub async fn metrics_page(&self) -> String {
        let mut pages = String::new();
        for port in self.processes.iter().filter_map(|process| process.metrics) {
            let url = format!("http://127.0.0.1:{port}/metrics");
            if let Ok(answer) = self.http.get(url).timeout(Duration::from_secs(5)).send().await {
                pages += &answer.text().await.unwrap_or_default();
            }
        }
        pages
    }

    /// Nothing is left to do, nothing was given up, nothing was complained of.
    pub async fn ends_well(&self) {
        self.settles().await;
        let dead = self.streams().await.messages.get("DEAD").copied();
        assert_eq!(dead, Some(0), "dead letters:\n{}", self.complaints().join("\n"));
        let complaints = self.complaints();
        assert!(
            complaints.is_empty(),
            "unexpected in the log:\n{}",
            complaints.join("\n")
        );
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let grandchildren = match self.servers {
            Servers::Kept => self
                .processes
                .iter()
                .filter_map(Process::pid)
                .flat_map(children_of)
                .collect(),
            _ => Vec::new(),
        };
        for process in &self.processes {
            process.kill();
        }
        for pid in grandchildren {
            signal(pid, Signal::KILL);
        }
        self.servers.stop();
        if std::thread::panicking() {
            eprintln!("the last of the log:\n{}", self.last_words());
        }
    }
}
