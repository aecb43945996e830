//! `maru workers`: workers alone, all or some.

use clap::Args;
use maru_streams::doctor::Place;
use maru_streams::nats::Nats;
use maru_streams::store::Store;
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
        telemetry::log();
        let metrics = parts::listen("the metrics page", self.metrics.metrics, "--metrics").await?;
        let nats = Nats::connect(&self.servers.nats, "maru workers").await?;
        let store = Store::open(&self.servers.database, self.servers.credentials()).await?;
        let measured = telemetry::measure()?;
        let stop = stop::requested()?;
        let place = Place {
            database: self.servers.database.clone(),
            ..Place::default()
        };
        let house = parts::house(&nats, &store, parts::ai(&self.outside)?, self.outside.bank_timeout()).at(place);
        let working = house.keep(self.keeping.into()).start(&self.only);
        measured.serve(metrics, working.health().clone());
        tracing::info!(lanes = working.lanes(), only = ?self.only, "the workers are up");
        stop.cancelled().await;
        tracing::info!("draining: what runs is finished, what waits is kept");
        working.stop().await;
        nats.close().await;
        Ok(())
    }
}
