//! What comes again: when, how often, and what counts.

use std::future::pending;
use std::time::Duration;

use super::script::{no_luck, scripted, scripted_with_farewell};
use super::{Backend, GRACE, POLICY, Process, publish, reasons, settled, soon};
use crate::jobs::{Policy, Reason, Verdict};

/// Each wait is at least twice the one before, and after the last retry the letter says how often.
pub async fn retries_wait_longer_each_time_and_count_from_one<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|_| async { no_luck() });
    let process = backend.start(POLICY, handler).await;
    publish(&backend, [1]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.attempts(1), [1, 2, 3]);
    let waits = seen.waits(1);
    assert!(
        waits[0] >= POLICY.first_retry && waits[1] >= POLICY.first_retry * 2,
        "{waits:?}"
    );
    assert_eq!(seen.given_up(), [1]);
    let letters = backend.letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].reason.as_str(), letters[0].attempts), ("no_luck", 3));
}

/// Somebody said when to ask again.
pub async fn a_wait_that_was_asked_for_is_kept<B: Backend>() {
    let asked = POLICY.first_retry * 6;
    let backend = B::make().await;
    let (handler, seen) = scripted(move |call| async move {
        match call.nth {
            1 => Verdict::Retry {
                reason: Reason::new("busy", "come back later"),
                at_least: Some(asked),
            },
            _ => Verdict::Done,
        }
    });
    let process = backend.start(POLICY, handler).await;
    publish(&backend, [1]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert!(seen.waits(1)[0] >= asked, "{:?}", seen.waits(1));
    assert_eq!(seen.attempts(1), [1, 2]);
}

/// What ended with its process is tried again under the same number: nobody knows that it failed.
pub async fn attempts_are_counted_across_the_end_of_a_process<B: Backend>() {
    let backend = B::make().await;
    backend.be_impatient().await;
    let (handler, seen) = scripted(|call| async move {
        match call.nth {
            2 => pending().await,
            _ => no_luck(),
        }
    });
    let first = backend.start(POLICY, handler.clone()).await;
    publish(&backend, [1]).await;
    soon("its second run hangs", async || seen.total() == 2).await;
    first.end();
    let second = backend.start(POLICY, handler).await;
    settled(&backend).await;
    second.stop(GRACE).await;
    assert_eq!(seen.attempts(1), [1, 2, 2, 3]);
    assert_eq!(backend.letters().await[0].attempts, 3);
}

/// However often.
pub async fn a_snooze_counts_no_attempt_and_is_never_given_up<B: Backend>() {
    let wait = Duration::from_millis(50);
    let backend = B::make().await;
    let (handler, seen) = scripted(move |call| async move {
        match call.nth {
            ..10 => Verdict::Snooze(wait, Reason::new("not_yet", "later")),
            10 => no_luck(),
            _ => Verdict::Done,
        }
    });
    let process = backend.start(POLICY, handler).await;
    publish(&backend, [1]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.attempts(1), [[1; 10].as_slice(), &[2]].concat());
    assert!(
        seen.waits(1)[..9].iter().all(|waited| *waited >= wait),
        "{:?}",
        seen.waits(1)
    );
    assert_eq!(reasons(&backend).await, []);
}

/// The database may be away for as long as it likes.
pub async fn trouble_in_the_house_counts_no_attempt_and_is_never_given_up<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| async move {
        match call.nth {
            ..5 => Verdict::Later(Reason::new("away", "not yet")),
            _ => no_luck(),
        }
    });
    let process = backend.start(Policy { retries: 1, ..POLICY }, handler).await;
    publish(&backend, [1]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.attempts(1), [1, 1, 1, 1, 1, 2]);
}

/// Not after the server's patience: the next delivery may overtake the word that the last one is settled.
pub async fn what_is_snoozed_for_no_time_comes_again_at_once<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| async move {
        match call.nth {
            ..20 => Verdict::Snooze(Duration::ZERO, Reason::new("again", "at once")),
            _ => Verdict::Done,
        }
    });
    let process = backend
        .start(
            Policy {
                concurrency: 16,
                ..POLICY
            },
            handler,
        )
        .await;
    publish(&backend, 0..100).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..100).map(|n| (n, 20)).collect());
}

/// Nobody would ever hear of it otherwise.
pub async fn what_cannot_be_given_up_yet_is_kept<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted_with_farewell(
        |_| async { Verdict::Poison(Reason::new("nonsense", "it is none")) },
        |nth| match nth {
            ..3 => Err(Reason::new("away", "nobody to tell")),
            _ => Ok(()),
        },
    );
    let process = backend.start(POLICY, handler).await;
    publish(&backend, [1]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.given_up(), [1, 1, 1]);
    assert_eq!(reasons(&backend).await, [(1, "nonsense".to_owned())]);
}
