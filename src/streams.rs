//! `maru streams`: the topology, shown or made.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use maru_streams::nats::Nats;
use maru_streams::store::Store;
use maru_streams::topology;
use maru_workers::ports::ai::Sketch;

use crate::settings::StreamSize;
use crate::{Outcome, parts};

/// Show or make the streams and consumers on a nats-server.
#[derive(Args)]
pub struct Streams {
    #[command(subcommand)]
    what: What,
    /// The nats-server.
    #[arg(
        long,
        env = "NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true,
        global = true,
        value_name = "URL"
    )]
    nats: String,
    #[command(flatten)]
    size: StreamSize,
}

#[derive(Subcommand)]
enum What {
    /// Print how the server differs from what this build needs; change nothing.
    Plan,
    /// Add and update what differs; delete nothing.
    Apply,
}

impl Streams {
    pub async fn run(self) -> Outcome {
        let nats = Nats::connect(&self.nats, "maru streams").await?;
        // The workers say which consumers they need; none of them is started, so no database is asked.
        let store = Store::open("mem://", None).await?;
        let consumers = parts::house(&nats, &store, Arc::new(Sketch), Duration::ZERO).consumers();
        let changes = match self.what {
            What::Plan => topology::plan(&nats, &consumers, self.size.into()).await?,
            What::Apply => topology::apply(&nats, &consumers, self.size.into()).await?,
        };
        for change in &changes {
            println!("{change}");
        }
        if changes.is_empty() {
            println!("nothing to change");
        }
        Ok(())
    }
}
