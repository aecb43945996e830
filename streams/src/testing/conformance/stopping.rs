//! Stopping as asked: nothing is lost, nothing is done twice, and nobody else has to wait.

use std::future::pending;
use std::time::Duration;

use super::script::{gated, scripted};
use super::{Backend, GRACE, POLICY, Process, publish, settled, soon};
use crate::jobs::Verdict;

/// The rest is somebody else's at once.
pub async fn a_stopping_lane_finishes_what_runs_and_returns_the_rest_at_once<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen, gate) = gated();
    let first = backend.start(POLICY, handler.clone()).await;
    publish(&backend, 0..40).await;
    soon("all slots are taken", async || seen.running() == POLICY.concurrency).await;
    let stopping = tokio::spawn(first.stop(GRACE));
    // What runs ends after the lane was told to stop, so that it is the drain that waits for it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.add_permits(1000);
    stopping.await.expect("it stops");
    assert_eq!(seen.running(), 0);
    let second = backend.start(POLICY, handler).await;
    settled(&backend).await;
    second.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..40).map(|n| (n, 1)).collect());
}

/// A process that goes takes nothing with it, also what it could not finish.
pub async fn what_outlasts_the_grace_goes_on_elsewhere_at_once<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| async move {
        match call.nth {
            1 => pending().await,
            _ => Verdict::Done,
        }
    });
    let first = backend.start(POLICY, handler.clone()).await;
    publish(&backend, 0..POLICY.concurrency as u128).await;
    soon("all slots are taken", async || seen.running() == POLICY.concurrency).await;
    first.stop(Duration::from_millis(50)).await;
    let second = backend.start(POLICY, handler).await;
    settled(&backend).await;
    second.stop(GRACE).await;
    assert!(seen.counts().values().all(|count| *count == 2), "{:?}", seen.counts());
    assert!(
        seen.runs().iter().all(|run| run.attempt == 1),
        "being stopped is no failure"
    );
}
