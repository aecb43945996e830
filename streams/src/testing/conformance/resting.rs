//! The breaker: what a lane calls is left alone when it is out of order, and found again when it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;

use super::script::{no_luck, scripted};
use super::{Backend, GRACE, POLICY, Process, publish, reasons, settled, soon};
use crate::jobs::{Policy, Trip, Verdict};

const REST: Duration = Duration::from_secs(2);
const FAILURES: u32 = 5;

const RESTING: Policy = Policy {
    retries: 50,
    first_retry: Duration::from_millis(10),
    breaker: Some(Trip {
        failures: FAILURES,
        rest: REST,
    }),
    ..POLICY
};

/// While it rests nothing is called, after that one message asks, and only its success lets the others in.
pub async fn a_breaker_rests_after_five_failures_and_asks_with_one_probe<B: Backend>() {
    let backend = B::make().await;
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let (handler, seen) = scripted(move |_| {
        let is_broken = is_broken.load(Ordering::SeqCst);
        async move {
            // Long enough that all slots are taken: those who began before it opened may still fail.
            tokio::time::sleep(Duration::from_millis(20)).await;
            if is_broken { no_luck() } else { Verdict::Done }
        }
    });
    publish(&backend, 0..20).await;
    let process = backend.start(RESTING, handler).await;
    soon("two probes went out and failed", async || {
        pauses(&seen.runs()) == 2 && seen.running() == 0
    })
    .await;
    broken.store(false, Ordering::SeqCst);
    settled(&backend).await;
    process.stop(GRACE).await;

    let runs = seen.runs();
    let bursts: Vec<usize> = runs
        .chunk_by(|one, next| next.at - one.at < REST.mul_f64(0.9))
        .map(<[_]>::len)
        .collect();
    assert_eq!(bursts.len(), 4, "{bursts:?}");
    let at_first = FAILURES as usize..FAILURES as usize + RESTING.concurrency;
    assert!(at_first.contains(&bursts[0]), "{bursts:?}");
    assert_eq!(bursts[1..3], [1, 1], "one probe each time: {bursts:?}");
    assert_eq!(bursts[3], 20, "then each of them: {bursts:?}");
    let third = runs.len() - 20;
    assert_eq!(runs[third + 1].beside, 0, "nobody before the probe is back");
    assert_eq!(reasons(&backend).await, []);
}

fn pauses(runs: &[super::Run]) -> usize {
    runs.windows(2)
        .filter(|pair| pair[1].at - pair[0].at >= REST.mul_f64(0.9))
        .count()
}

/// The one that comes then is the probe, and after it all slots are there.
pub async fn a_breaker_that_rested_recovers_when_nothing_waits<B: Backend>() {
    let backend = B::make().await;
    let all_at_once = Arc::new(Barrier::new(RESTING.concurrency));
    let meet = Arc::clone(&all_at_once);
    let (handler, seen) = scripted(move |call| {
        let meet = Arc::clone(&meet);
        async move {
            match call.n {
                ..10 => no_luck(),
                10 => Verdict::Done,
                _ => {
                    meet.wait().await;
                    Verdict::Done
                }
            }
        }
    });
    let process = backend.start(Policy { retries: 0, ..RESTING }, handler).await;
    publish(&backend, 0..u128::from(FAILURES)).await;
    settled(&backend).await;
    let opened = seen.runs().last().expect("it ran").at;
    publish(&backend, [10]).await;
    settled(&backend).await;
    assert!(seen.of(10)[0].at - opened >= REST, "it was left alone");
    publish(&backend, 11..11 + RESTING.concurrency as u128).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(reasons(&backend).await.len(), FAILURES as usize);
}
