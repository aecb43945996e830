//! `maru up`: everything in one process, with a nats-server of its own beside it.
//!
//! It comes up from the ground (ports, server, streams, database, workers, door) and goes down from
//! the roof (door, workers, database, server), so that nothing loses what it stands on.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use maru_streams::nats::Nats;
use maru_streams::server::{self, NatsServer, ServerOptions};
use maru_streams::store::Store;
use maru_streams::topology;

use crate::settings::{Limits, Listen, Metrics, Outside, StreamSize};
use crate::{Outcome, parts, stop, telemetry};

/// Run everything here: the API, all workers, the database, and a nats-server of its own.
///
/// Data lies under one folder. Ctrl-C drains: what runs is finished, what waits is kept for the next
/// start. Nothing that was accepted is lost by stopping, or by being killed.
#[derive(Args)]
pub struct Up {
    /// Where all data lies.
    #[arg(long, env = "MARU_DATA", default_value = ".maru", value_name = "FOLDER")]
    data: PathBuf,
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    metrics: Metrics,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    streams: StreamSize,
    #[command(flatten)]
    outside: Outside,
}

/// The embedded database could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the database in {folder} cannot be opened: {why}")]
struct DatabaseError {
    folder: String,
    why: String,
}

impl Up {
    pub async fn run(self) -> Outcome {
        telemetry::log();
        let api = parts::listen("the API", self.listen.api, "--api").await?;
        let metrics = parts::listen("the metrics page", self.metrics.metrics, "--metrics").await?;
        std::fs::create_dir_all(&self.data)?;
        let data = self.data.canonicalize()?;
        // The set-up step puts the server beside the sources, whatever folder the data is in.
        let program = server::find(&data.join("bin"))
            .or_else(|error| server::find(&PathBuf::from(".maru/bin")).map_err(|_| error))?;
        let server = tokio::task::spawn_blocking({
            let options = ServerOptions {
                program,
                data: data.join("nats"),
                port: None,
                sync_always: true,
            };
            move || NatsServer::start(options)
        })
        .await??;
        telemetry::measure(metrics)?;
        let stop = stop::requested()?;

        let nats = Nats::connect(server.url(), "maru").await?;
        let folder = data.join("db");
        let database = format!("surrealkv://{}", folder.display());
        let store = Store::open(&database, None).await.map_err(|error| DatabaseError {
            folder: folder.display().to_string(),
            why: crate::sentence(&error),
        })?;
        let house = parts::house(&nats, &store, parts::ai(&self.outside)?, self.outside.bank_timeout());
        topology::apply(&nats, &house.consumers(), self.streams.into()).await?;
        let keys = data.join("keys");
        let door = parts::door(&nats, &store, Some(server.monitor()), &database, &keys, &self.limits).await?;
        let working = house.start(&[]);
        self.welcome(&server, working.lanes(), door.durability.as_str());

        let served = maru_gateway::serve(door, api, stop).await;
        tracing::info!("draining: what runs is finished, what waits is kept");
        working.stop().await;
        nats.close().await;
        close(store, &folder).await;
        tokio::task::spawn_blocking(move || drop(server)).await?;
        Ok(served?)
    }

    /// What was started, where to look, what to try first.
    fn welcome(&self, server: &NatsServer, lanes: usize, durability: &str) {
        let api = self.listen.api;
        let storyteller = match &self.outside.openai_base_url {
            Some(url) => format!("stories and images by {url}"),
            None => {
                "stories and images by the built-in storyteller (samples; set OPENAI_BASE_URL for real ones)".to_owned()
            }
        };
        if !std::io::stdout().is_terminal() {
            tracing::info!(%api, metrics = %self.metrics.metrics, nats = server.url(), lanes, durability, "maru is up");
        }
        println!(
            "\n  Maru is up.\n\n\
             \x20 API       http://{api}          docs at http://{api}/docs\n\
             \x20 metrics   http://{metrics}/metrics\n\
             \x20 streams   {nats} ({lanes} lanes, accepted means {durability})\n\
             \x20 data      {data}\n\
             \x20 AI        {storyteller}\n\n\
             \x20 Try the whole story:   examples/first-book.sh http://{api}\n\
             \x20 Or begin yourself:     curl -s http://{api}/v1/auth/signup -H 'content-type: application/json' \\\n\
             \x20                          -d '{{\"username\":\"mina\",\"password\":\"a long password\",\"nickname\":\"Mina\",\"role\":\"author\"}}'\n\
             \x20 Stop with Ctrl-C.\n",
            metrics = self.metrics.metrics,
            nats = server.url(),
            data = self.data.display(),
        );
    }
}

/// Dropping the last handle makes the engine write out what it holds in memory, in a task of its own.
/// Ending the process before that is done would lose the newest commits, so the write-ahead log is
/// watched until it is empty, for a while at most.
async fn close(store: Store, folder: &std::path::Path) {
    drop(store);
    let log = folder.join("wal");
    let is_empty = || std::fs::read_dir(&log).is_ok_and(|mut files| files.next().is_none());
    let closing = async {
        while !is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), closing).await.is_err() {
        tracing::warn!("the database did not finish writing out what it holds in memory");
    }
}
