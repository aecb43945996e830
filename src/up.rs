//! `maru up`: everything in one process, with a nats-server of its own beside it.
//!
//! It comes up from the ground (ports, server, streams, database, workers, door) and goes down from
//! the roof (door, workers, database, server), so that nothing loses what it stands on.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use maru_streams::doctor::Place;
use maru_streams::heal::Closed;
use maru_streams::leases::Leases;
use maru_streams::nats::{Nats, without_credentials};
use maru_streams::server::{self, NatsServer, ServerOptions};
use maru_streams::topology;

use crate::settings::{Keeping, Limits, Listen, Metrics, Outside, StreamSize};
use crate::{Outcome, apart, heal, parts, stop, telemetry};

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
    keeping: Keeping,
    #[command(flatten)]
    outside: Outside,
    /// Start although the database lacks something that cannot be brought back from the streams.
    #[arg(long, env = "MARU_UNHEALED")]
    unhealed: bool,
}

/// There is data, and not what it was sealed with.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is data in {0}, and its keys are gone: put them back into {0}/keys; with new ones nobody could log in. If \
     they are lost for good, make an empty folder of that name"
)]
struct NoKeys(String);

/// A start without keys would make new ones without a word, and what was sealed with the old would stay shut.
fn refuse_without_keys(data: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let keys = data.join("keys");
    if data.join("db").exists() && !keys.exists() {
        return Err(NoKeys(data.display().to_string()).into());
    }
    // Before there is any data: a first start may be cut off at any moment.
    Ok(parts::private_folder(&keys)?)
}

impl Up {
    pub async fn run(self) -> Outcome {
        apart::refuse()?;
        telemetry::log("maru")?;
        let api = parts::listen("the API", self.listen.api, "--api").await?;
        let metrics = parts::listen("the metrics page", self.metrics.metrics, "--metrics").await?;
        parts::private_folder(&self.data)?;
        let data = self.data.canonicalize()?;
        refuse_without_keys(&data)?;
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
        let measured = telemetry::measure()?;
        let stop = stop::requested()?;

        let nats = Nats::connect(server.url(), "maru").await?;
        let closed = Closed::take(&data)?;
        let database = heal::open(&nats, &data, &closed, self.unhealed).await?;
        let store = database.store.clone();
        // Nobody else can have the folder open, so whoever held a lease is gone.
        Leases::new(store.clone()).end_all().await?;
        let place = Place {
            data: Some(data.clone()),
            monitor: Some(server.monitor().to_owned()),
            databases: parts::database_url(&data).as_str().into(),
        };
        let house = parts::house(&nats, &store, parts::ai(&self.outside)?, self.outside.bank_timeout())
            .at(place)
            .keeping(self.keeping.horizon());
        topology::apply(&nats, &house.consumers(), self.streams.into()).await?;
        let (keys, databases) = (data.join("keys"), parts::database_url(&data).as_str().into());
        let door = parts::door(&nats, &store, Some(server.monitor()), &databases, &keys, &self.limits).await?;
        let working = house.start(&[]);
        let health = working.health().clone();
        measured.serve(metrics, health.clone());
        health.takes_work(true);
        self.welcome(&server, working.lanes(), door.durability.as_str());

        let served = maru_gateway::serve(door, api, stop).await;
        health.takes_work(false);
        tracing::info!("draining: what runs is finished, what waits is kept");
        working.stop().await;
        let mark = database.note(&nats).await;
        nats.close().await;
        drop(store);
        database.close(&data, closed, mark).await?;
        tokio::task::spawn_blocking(move || drop(server)).await?;
        Ok(served?)
    }

    /// What was started, where to look, what to try first.
    fn welcome(&self, server: &NatsServer, lanes: usize, durability: &str) {
        let api = self.listen.api;
        let storyteller = match &self.outside.openai_base_url {
            Some(url) => format!("stories and images by {}", without_credentials(url)),
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
