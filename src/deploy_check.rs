//! `maru deploy-check`: whether this build can read what is really there.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use maru_schemas::documents::subjects;
use maru_streams::deploy::{Checked, check};
use maru_streams::store::Store;
use maru_workers::clock;
use maru_workers::ports::ai::Sketch;

use crate::operator::Site;
use crate::settings::StreamSize;
use crate::{Outcome, parts};

/// Check that this build can read what is queued, kept, scheduled and dead; fails if it cannot.
///
/// Run it with the build that is to be deployed, against the servers that it is to work on. It changes nothing.
#[derive(Args)]
pub struct DeployCheck {
    #[command(flatten)]
    site: Site,
    #[command(flatten)]
    size: StreamSize,
}

/// This build must not be deployed as it is.
#[derive(Debug, thiserror::Error)]
#[error(
    "this build would strand {0} messages, leave {1} consumers with work unattended, and {2} things could not be looked at"
)]
struct Stranded(u64, usize, usize);

impl DeployCheck {
    pub async fn run(self) -> Outcome {
        let reached = self.site.reach_streams().await?;
        // The workers of this build say which consumers they need; none is started, so no database is asked.
        let store = Store::open("mem://", None).await?;
        let consumers = parts::house(&reached.nats, &store, Arc::new(Sketch), Duration::ZERO).consumers();
        let mut reads = subjects();
        reads.extend(clock::names().map(|name| format!("tick.{name}.v1")));
        let checked = check(&reached.nats, &reads, &consumers, self.size.into()).await;
        reached.leave(&self.site).await?;
        let checked = checked?;
        if self.site.json {
            println!("{:#}", serde_json::to_value(&checked)?);
        } else {
            tell(&checked);
        }
        if checked.is_well() {
            return Ok(());
        }
        let messages = checked.unreadable.iter().map(|kind| kind.messages).sum();
        Err(Stranded(messages, checked.orphans.len(), checked.unchecked.len()).into())
    }
}

fn tell(checked: &Checked) {
    for one in &checked.unreadable {
        println!("cannot read  {:<10} {:>8} × {}", one.stream, one.messages, one.kind);
    }
    for one in &checked.orphans {
        println!(
            "unknown      {:<10} {:>8} left for consumer {}",
            one.stream, one.left, one.consumer
        );
    }
    for one in &checked.unchecked {
        println!("unchecked    {one}");
    }
    for one in &checked.topology {
        println!("to apply     {one}");
    }
    if checked.is_well() {
        println!(
            "this build reads all that is there ({} kinds of messages)",
            checked.kinds
        );
    }
}
