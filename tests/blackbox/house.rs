//! A Maru of the test's own, and the people who use it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::person::{Person, Reply};
pub use crate::process::{children_of, free_port, maru_up};
use crate::process::{signal, within_another};

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
    /// What the process is started by, with its arguments; itself, if nothing.
    under: Vec<String>,
    child: Mutex<Option<Child>>,
    log: Arc<Mutex<Vec<String>>>,
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

    /// A house with these settings.
    pub async fn with(env: &[(&str, &str)]) -> Self {
        let house = Self::built(env, Vec::new());
        house.start().await;
        house
    }

    /// Starts with a further setting.
    pub async fn start_with(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
        self.start().await;
    }

    /// A house whose process is started by another program.
    pub async fn under(program: Vec<String>) -> Self {
        let house = Self::built(&[], program);
        house.start().await;
        house
    }

    fn built(env: &[(&str, &str)], under: Vec<String>) -> Self {
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
            under,
            child: Mutex::default(),
            log: Arc::default(),
            allowed: Mutex::default(),
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// Starts it and waits until it says that it is ready.
    pub async fn start(&self) {
        self.spawn();
        let ready = format!("{}/readyz", self.url());
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            if let Ok(answer) = self.http.get(&ready).send().await
                && answer.status() == 200
            {
                return;
            }
            let ended = self
                .child
                .lock()
                .expect("a lock")
                .as_mut()
                .map(|child| child.try_wait());
            if let Some(Ok(Some(status))) = ended {
                panic!("maru ended with {status} at its start:\n{}", self.last_words());
            }
            assert!(
                Instant::now() < until,
                "maru was not ready in time:\n{}",
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn spawn(&self) {
        let mut command = within_another(&self.under, maru_up(&self.data(), self.api, self.metrics));
        command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("start maru");
        let stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                log.lock().expect("a lock").push(line);
            }
        });
        *self.child.lock().expect("a lock") = Some(child);
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().expect("a lock").as_ref().expect("it runs").id()
    }

    /// The nats-server that it runs.
    pub fn nats_pid(&self) -> Option<u32> {
        children_of(self.pid()).first().copied()
    }

    /// SIGKILL, as a crash or a power cut of the process would end it.
    pub async fn kill(&self) {
        let child = self.child.lock().expect("a lock").take();
        let Some(mut child) = child else { return };
        child.kill().expect("kill maru");
        tokio::task::spawn_blocking(move || child.wait().expect("wait for maru"))
            .await
            .expect("wait");
    }

    pub fn kill_nats(&self) {
        let pid = self.nats_pid().expect("a nats-server");
        signal(pid, Signal::KILL);
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&self) -> ExitStatus {
        let mut child = self.child.lock().expect("a lock").take().expect("it runs");
        signal(child.id(), Signal::TERM);
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = child.try_wait().expect("wait for maru") {
                return status;
            }
            if Instant::now() > until {
                let _ = child.kill();
                panic!("maru did not stop in time:\n{}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("a lock").clone()
    }

    fn last_words(&self) -> String {
        let log: Vec<String> = self
            .log()
            .into_iter()
            .filter(|line| !line.contains("\"topology\""))
            .collect();
        log[log.len().saturating_sub(30)..].join("\n")
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

    pub async fn metrics_page(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics);
        let answer = self.http.get(url).send().await.expect("the metrics page");
        answer.text().await.expect("the metrics page")
    }

    fn ports(&self) -> Value {
        let ports = std::fs::read_dir(self.data().join("nats/run")).expect("the ports folder");
        let ports = ports.flatten().next().expect("a ports file").path();
        serde_json::from_slice(&std::fs::read(ports).expect("ports")).expect("ports")
    }

    /// Where its nats-server listens.
    pub fn nats_address(&self) -> String {
        let ports = self.ports();
        let url = ports["nats"][0].as_str().expect("an address");
        url.trim_start_matches("nats://").to_owned()
    }

    /// What nats-server itself says of its streams: messages, and what each durable consumer has left.
    pub async fn streams(&self) -> Streams {
        let ports = self.ports();
        let monitor = ports["monitoring"][0].as_str().expect("a monitor");
        let url = format!("{monitor}/jsz?streams=true&consumers=true&config=true");
        let told: Value = self.http.get(url).send().await.expect("jsz").json().await.expect("jsz");
        let mut streams = Streams::default();
        for account in told["account_details"].as_array().into_iter().flatten() {
            for stream in account["stream_detail"].as_array().into_iter().flatten() {
                let name = stream["name"].as_str().unwrap_or_default().to_owned();
                streams
                    .messages
                    .insert(name, stream["state"]["messages"].as_u64().unwrap_or_default());
                for consumer in stream["consumer_detail"].as_array().into_iter().flatten() {
                    if consumer["config"]["durable_name"].is_string() {
                        let left = consumer["num_pending"].as_u64().unwrap_or_default();
                        let open = consumer["num_ack_pending"].as_u64().unwrap_or_default();
                        let name = consumer["name"].as_str().unwrap_or_default().to_owned();
                        streams.left.insert(name, left + open);
                    }
                }
            }
        }
        assert!(
            streams.left.len() > 10,
            "nats-server tells of too few consumers: {told}"
        );
        streams
    }

    /// Waits until nothing is left to do anywhere. What a crash left unsettled comes again after half a minute.
    pub async fn settles(&self) {
        let until = Instant::now() + Duration::from_secs(70);
        loop {
            let left: BTreeMap<_, _> = self
                .streams()
                .await
                .left
                .into_iter()
                .filter(|(_, left)| *left > 0)
                .collect();
            if left.is_empty() && self.metric("maru_lane_in_flight", &[]).await == 0.0 {
                return;
            }
            assert!(
                Instant::now() < until,
                "something is left for ever: {left:?}\n{}",
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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
        let child = self.child.lock().map(|mut child| child.take());
        if let Ok(Some(mut child)) = child {
            let grandchildren = children_of(child.id());
            let _ = child.kill();
            let _ = child.wait();
            for pid in grandchildren {
                signal(pid, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            eprintln!("the last of the log:\n{}", self.last_words());
        }
    }
}

/// What nats-server says of its streams.
#[derive(Debug, Default)]
pub struct Streams {
    /// Messages of each stream.
    pub messages: BTreeMap<String, u64>,
    /// What each durable consumer has not settled.
    pub left: BTreeMap<String, u64>,
}
