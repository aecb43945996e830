//! A cluster of three nats-servers on one machine, each of which can be killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt;
use maru_streams::nats::Nats;
use maru_streams::server;
use maru_streams::topology::{COMMANDS, DEAD, EVENTS, JOBS, SCHEDULES};

use crate::house::{Streams, root, within};
use crate::process::free_port;

/// One of the three.
struct Node {
    client: u16,
    monitor: u16,
    route: u16,
    folder: PathBuf,
    child: Mutex<Option<Child>>,
}

/// All three.
pub struct Cluster {
    program: PathBuf,
    nodes: Vec<Node>,
}

impl Cluster {
    pub fn new(data: &Path) -> Self {
        let node = |nth: usize| Node {
            client: free_port(),
            monitor: free_port(),
            route: free_port(),
            folder: data.join(format!("nats-{nth}")),
            child: Mutex::default(),
        };
        Self {
            program: server::find(&root().join(".maru/bin")).expect("a nats-server"),
            nodes: (0..3).map(node).collect(),
        }
    }

    /// Every one's address: whoever starts while one is down must know another.
    pub fn url(&self) -> String {
        let urls = self
            .nodes
            .iter()
            .map(|node| format!("nats://127.0.0.1:{}", node.client));
        urls.collect::<Vec<_>>().join(",")
    }

    pub fn monitor(&self) -> String {
        format!("http://127.0.0.1:{}", self.nodes[0].monitor)
    }

    /// Starts those that do not run, and waits until they agree on who leads.
    pub async fn start(&self) {
        for nth in 0..self.nodes.len() {
            self.start_one(nth);
        }
        within(Duration::from_secs(60), "the cluster has a leader", async || {
            let nats = Nats::connect(&self.url(), "test").await.ok()?;
            nats.jetstream().query_account().await.ok()
        })
        .await;
    }

    pub fn start_one(&self, nth: usize) {
        let node = &self.nodes[nth];
        let mut running = node.child.lock().expect("a lock");
        if running.is_some() {
            return;
        }
        std::fs::create_dir_all(&node.folder).expect("a folder");
        let routes = self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.route));
        let routes = routes.collect::<Vec<_>>().join(", ");
        let config = format!(
            "server_name: node-{nth}\nhost: 127.0.0.1\nport: {}\nhttp: \"127.0.0.1:{}\"\nmax_payload: 8MB\n\
             log_file: {:?}\n\
             jetstream {{ store_dir: {:?}, sync_interval: always }}\n\
             cluster {{ name: house, listen: \"127.0.0.1:{}\", routes: [{routes}] }}\n",
            node.client,
            node.monitor,
            node.folder.join("nats.log"),
            node.folder.join("streams"),
            node.route,
        );
        let file = node.folder.join("nats.conf");
        std::fs::write(&file, config).expect("a configuration");
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        *running = Some(child.expect("start a nats-server"));
    }

    /// SIGKILL.
    pub fn kill_one(&self, nth: usize) {
        let child = self.nodes[nth].child.lock().expect("a lock").take();
        if let Some(mut child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until every server has caught up with what the others have.
    pub async fn is_whole(&self) {
        for node in &self.nodes {
            let url = format!("http://127.0.0.1:{}/healthz", node.monitor);
            within(Duration::from_secs(60), "a server has caught up", async || {
                let asked = reqwest::get(&url).await;
                asked.is_ok_and(|answer| answer.status() == 200).then_some(())
            })
            .await;
        }
    }

    /// What the leaders say of streams and consumers; a follower's word on a consumer is old.
    pub async fn streams(&self) -> Streams {
        let nats = Nats::connect(&self.url(), "test").await.expect("a connection");
        let mut streams = Streams::default();
        for name in [COMMANDS, JOBS, EVENTS, SCHEDULES, DEAD] {
            let stream = nats.jetstream().get_stream(name).await.expect("a stream");
            streams
                .messages
                .insert(name.to_owned(), stream.cached_info().state.messages);
            let mut consumers = stream.consumers();
            while let Some(consumer) = consumers.next().await {
                let consumer = consumer.expect("a consumer");
                let open = u64::try_from(consumer.num_ack_pending).expect("a number");
                if consumer.config.durable_name.is_some() {
                    streams.left.insert(consumer.name, consumer.num_pending + open);
                }
            }
        }
        streams
    }

    pub fn stop(&self) {
        for nth in 0..self.nodes.len() {
            self.kill_one(nth);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}
