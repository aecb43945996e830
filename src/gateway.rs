//! `maru gateway`: the door alone.

use clap::Args;
use maru_streams::jobs::Health;

use crate::settings::{KeysFolder, Limits, Listen, Metrics, Servers};
use crate::{Outcome, parts, stop, telemetry};

/// Run the API alone, against a nats-server and a database of yours.
///
/// Any number of them may run. The streams must be there: `maru streams apply` makes them.
#[derive(Args)]
pub struct Gateway {
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    metrics: Metrics,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    servers: Servers,
    /// The nats-server's monitoring address; without it "accepted" counts as not written through.
    #[arg(long, env = "NATS_MONITOR_URL", value_name = "URL")]
    nats_monitor: Option<String>,
    #[command(flatten)]
    keys: KeysFolder,
}

impl Gateway {
    pub async fn run(self) -> Outcome {
        telemetry::log("maru-gateway")?;
        let api = parts::listen("the API", self.listen.api, "--api").await?;
        let metrics = parts::listen("the metrics page", self.metrics.metrics, "--metrics").await?;
        let stop = stop::requested()?;
        let health = Health::default();
        telemetry::measure()?.serve(metrics, health.clone());
        let Some((nats, store)) = parts::servers(&self.servers, "maru gateway", &stop).await? else {
            return Ok(());
        };
        let monitor = self.nats_monitor.as_deref();
        let databases = self.servers.databases()?;
        let door = parts::door(&nats, &store, monitor, &databases, &self.keys.keys, &self.limits).await?;
        tracing::info!(api = %self.listen.api, durability = door.durability.as_str(), "the gateway is up");
        health.takes_work(true);
        let served = maru_gateway::serve(door, api, stop).await;
        health.takes_work(false);
        nats.close().await;
        Ok(served?)
    }
}
