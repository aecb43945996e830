//! Never more at once than there are slots, and never one slot less.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::Rng;
use tokio::sync::Barrier;

use super::failing::panic_quietly;
use super::script::{no_luck, scripted};
use super::{Backend, GRACE, POLICY, Process, publish, settled, soon};
use crate::jobs::{Policy, Reason, Verdict};

/// Whatever they take, for any number of slots.
pub async fn no_more_run_at_once_than_there_are_slots<B: Backend>() {
    for concurrency in [1, 7, rand::rng().random_range(2..=24)] {
        let backend = B::make().await;
        let (handler, seen) = scripted(|_| async {
            let length = rand::rng().random_range(0..30);
            tokio::time::sleep(Duration::from_millis(length)).await;
            Verdict::Done
        });
        publish(&backend, 0..concurrency as u128 * 12).await;
        let process = backend.start(Policy { concurrency, ..POLICY }, handler).await;
        settled(&backend).await;
        process.stop(GRACE).await;
        assert_eq!(seen.most(), concurrency, "with {concurrency} slots");
    }
}

/// Every verdict and every way not to come to one, a thousand times each; then all slots are still there.
pub async fn no_slot_is_lost_whatever_ten_thousand_messages_come_to<B: Backend>() {
    const MANY: u128 = 10_000;
    let policy = Policy {
        concurrency: 32,
        retries: 1,
        first_retry: Duration::from_millis(1),
        ..POLICY
    };
    let all_at_once = Arc::new(Barrier::new(policy.concurrency));
    let meet = Arc::clone(&all_at_once);
    let backend = B::make().await;
    let (handler, seen) = scripted(move |call| {
        let meet = Arc::clone(&meet);
        async move {
            if call.n >= MANY {
                meet.wait().await;
                return Verdict::Done;
            }
            let soon = Duration::from_millis(5);
            match (call.n % 10, call.nth) {
                (0, _) => Verdict::Already,
                (1, 1) => Verdict::Snooze(soon, Reason::new("not_yet", "later")),
                (2, 1) => Verdict::Later(Reason::new("away", "not yet")),
                (3, 1) => no_luck(),
                (4, _) => Verdict::Refuse(Reason::new("too_late", "it is over")),
                (5, _) => Verdict::Poison(Reason::new("nonsense", "it is none")),
                (6, 1) => panic_quietly(),
                (7, _) => no_luck(),
                _ => Verdict::Done,
            }
        }
    });
    publish(&backend, 0..MANY).await;
    let process = backend.start(policy, handler).await;
    super::super::until("all of them are settled", async || backend.unsettled().await == 0).await;
    assert_eq!(backend.letters().await.len() as u128, MANY / 10 * 2);
    for (n, count) in seen.counts() {
        let expected = if matches!(n % 10, 1 | 2 | 3 | 6 | 7) { 2 } else { 1 };
        assert_eq!(count, expected, "{n}");
    }
    publish(&backend, MANY..MANY + policy.concurrency as u128).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.most(), policy.concurrency);
}

/// What it ran comes again soon, in the same process, which is told nothing.
pub async fn a_killed_worker_loses_no_message_and_no_slot<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| async move {
        match call.nth {
            1 => pending().await,
            _ => Verdict::Done,
        }
    });
    let process = backend.start(POLICY, handler).await;
    publish(&backend, 0..12).await;
    for round in 1..=3 {
        soon("all slots are taken by others than before", async || {
            seen.counts().len() == round * POLICY.concurrency && seen.running() == POLICY.concurrency
        })
        .await;
        process.kill_worker();
    }
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..12).map(|n| (n, 2)).collect());
    assert!(
        seen.runs().iter().all(|run| run.attempt == 1),
        "it was not the messages' fault"
    );
}

/// With or without anybody beside it, and it counts for nothing.
pub async fn what_an_ended_process_held_is_done_elsewhere<B: Backend>() {
    let backend = B::make().await;
    backend.be_impatient().await;
    let hangs = Arc::new(AtomicBool::new(true));
    let is_hanging = Arc::clone(&hangs);
    let (handler, seen) = scripted(move |_| {
        let is_hanging = is_hanging.load(Ordering::SeqCst);
        async move {
            if is_hanging {
                pending::<()>().await;
            }
            Verdict::Done
        }
    });
    let first = backend.start(POLICY, handler.clone()).await;
    publish(&backend, 0..10).await;
    soon("all slots are taken", async || seen.running() == POLICY.concurrency).await;
    hangs.store(false, Ordering::SeqCst);
    first.end();
    let second = backend.start(POLICY, handler).await;
    settled(&backend).await;
    second.stop(GRACE).await;
    assert_eq!(seen.total(), 10 + POLICY.concurrency);
    assert!(seen.runs().iter().all(|run| run.attempt == 1));
}
