//! Handlers that do not come to a verdict at all.

use std::future::pending;
use std::panic::resume_unwind;
use std::time::Duration;

use super::script::scripted;
use super::{Backend, GRACE, POLICY, Process, publish, reasons, settled};
use crate::jobs::{Policy, Verdict};

/// Panics without a line on standard error, which nobody should have to read past.
pub(super) fn panic_quietly() -> ! {
    resume_unwind(Box::new("as a check asked for"))
}

/// It fails like anything else: it is tried again, and then parked.
pub async fn a_panic_is_a_failed_attempt_and_harms_nobody_else<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| async move {
        tokio::task::yield_now().await;
        if call.n == 1 {
            panic_quietly();
        }
        Verdict::Done
    });
    let process = backend
        .start(
            Policy {
                concurrency: 1,
                ..POLICY
            },
            handler,
        )
        .await;
    publish(&backend, 0..10).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.attempts(1), [1, 2, 3]);
    assert_eq!(seen.total(), 12);
    assert_eq!(seen.given_up(), [1]);
    assert_eq!(reasons(&backend).await, [(1, "panicked".to_owned())]);
}

/// There is no future yet in which it could be caught, and the slot and the drain must not suffer.
pub async fn a_panic_before_the_future_is_a_failed_attempt_too<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| {
        if call.n == 1 {
            panic_quietly();
        }
        async { Verdict::Done }
    });
    let process = backend
        .start(
            Policy {
                concurrency: 1,
                ..POLICY
            },
            handler,
        )
        .await;
    publish(&backend, 0..10).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.attempts(1), [1, 2, 3]);
    assert_eq!(seen.total(), 12);
    assert_eq!(reasons(&backend).await, [(1, "panicked".to_owned())]);
}

/// And parked as that, if it always does.
pub async fn a_handler_that_hangs_is_stopped_and_tried_again<B: Backend>() {
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| async move {
        match (call.n, call.nth) {
            (1, _) | (2, 1) => pending().await,
            _ => Verdict::Done,
        }
    });
    let policy = Policy {
        timeout: Duration::from_millis(300),
        ..POLICY
    };
    let process = backend.start(policy, handler).await;
    publish(&backend, [1, 2]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.attempts(1), [1, 2, 3]);
    assert_eq!(seen.attempts(2), [1, 2]);
    assert_eq!(seen.running(), 0, "what hangs is dropped");
    assert_eq!(reasons(&backend).await, [(1, "timed_out".to_owned())]);
}

/// A destructor that panics takes the task with it in which it runs; the slot and the message remain.
pub async fn a_panic_in_a_handlers_own_end_is_survived<B: Backend>() {
    struct Explosive;
    impl Drop for Explosive {
        fn drop(&mut self) {
            panic_quietly();
        }
    }
    let backend = B::make().await;
    let (handler, seen) = scripted(|call| async move {
        if call.nth == 1 {
            let _explosive = Explosive;
            pending::<()>().await;
        }
        Verdict::Done
    });
    let policy = Policy {
        concurrency: 1,
        timeout: Duration::from_millis(100),
        ..POLICY
    };
    let process = backend.start(policy, handler).await;
    publish(&backend, 0..3).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), [(0, 2), (1, 2), (2, 2)].into());
}
