//! Writes down what came of a replay of dead letters, when the last of them is settled: the callback of its
//! batch.

use futures_util::FutureExt;
use maru_schemas::jobs::{FailureCode, Job};
use maru_streams::jobs::{Delivery, Policy, Verdict};
use uuid::Uuid;

use super::{Kind, Outcome, Tools, misplaced};

/// The kind.
pub const KIND: Kind = Kind {
    name: "conclude_replay",
    policy: Policy {
        concurrency: 2,
        ..Policy::QUICK
    },
    run: |tools, _, job| {
        async move {
            match job {
                Job::ConcludeReplay { replay } => run(tools, replay).await,
                _ => Err(misplaced()),
            }
        }
        .boxed()
    },
    // Nobody waits for it: `GET /v1/ops/dead-letters/replays` tells the same.
    give_up: |_: &Delivery, _: Job, _: FailureCode| Vec::new(),
};

async fn run(tools: &Tools, replay: Uuid) -> Outcome {
    tools.letters.conclude(replay).await.map_err(Verdict::later)?;
    Ok(Vec::new())
}
