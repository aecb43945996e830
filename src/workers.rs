//! `maru workers`: workers alone, all or some.

use clap::Args;
use maru_streams::doctor::Place;
use maru_streams::jobs::Health;
use maru_workers::house::names;

use crate::settings::{Keeping, Metrics, Outside, Servers};
use crate::{Outcome, parts, stop, telemetry};

/// Run workers alone, all or some of them, against a nats-server and a database of yours.
///
/// Any number of them may run. The streams must be there: `maru streams apply` makes them.
#[derive(Args)]
pub struct Workers {
    /// Run these only: contexts, flows, jobs and views by name, separated by commas.
    #[arg(long, env = "MARU_ONLY", value_delimiter = ',', value_parser = known, value_name = "NAMES")]
    only: Vec<String>,
    #[command(flatten)]
    metrics: Metrics,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    keeping: Keeping,
    #[command(flatten)]
    outside: Outside,
}

/// A name that nothing has is a typing mistake, not an empty set of workers.
fn known(name: &str) -> Result<String, String> {
    if names().contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!("there is no such worker; there are {}", names().join(", ")))
    }
}

impl Workers {
    pub async fn run(self) -> Outcome {
        telemetry::log("maru-workers")?;
        let metrics = parts::listen("the metrics page", self.metrics.metrics, "--metrics").await?;
        let stop = stop::requested()?;
        let health = Health::default();
        telemetry::measure()?.serve(metrics, health.clone());
        let Some((nats, store)) = parts::servers(&self.servers, "maru workers", &stop).await? else {
            return Ok(());
        };
        let place = Place {
            databases: self.servers.databases()?,
            ..Place::default()
        };
        let house = parts::house(&nats, &store, parts::ai(&self.outside)?, self.outside.bank_timeout()).at(place);
        let house = house.keeping(self.keeping.horizon()).seen_at(health.clone());
        let working = house.start(&self.only);
        health.takes_work(true);
        tracing::info!(lanes = working.lanes(), only = ?self.only, "the workers are up");
        stop.cancelled().await;
        health.takes_work(false);
        tracing::info!("draining: what runs is finished, what waits is kept");
        working.stop().await;
        nats.close().await;
        Ok(())
    }
}
