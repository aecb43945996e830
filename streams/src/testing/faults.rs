//! Failure at every step, and every message twice, as wrappers around a lane's handler.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn};
use uuid::Uuid;

use crate::jobs::{Delivery, Handler, Lane, Reason, Verdict};

/// Ends a handler after so many steps, as a crash would: what it did stays done, what it knew is
/// gone. Each message crashes once; its next delivery runs through.
pub struct CrashOnce {
    inner: Arc<dyn Handler>,
    steps: usize,
    crashed: Mutex<HashMap<Uuid, ()>>,
    /// How many messages crashed.
    pub crashes: Arc<AtomicUsize>,
}

impl CrashOnce {
    /// Wraps a lane's handler. A step is one wait of the handler for something outside it.
    #[must_use]
    pub fn wrap(mut lane: Lane, steps: usize, crashes: Arc<AtomicUsize>) -> Lane {
        lane.handler = Arc::new(Self {
            inner: lane.handler,
            steps,
            crashed: Mutex::default(),
            crashes,
        });
        lane
    }
}

impl Handler for CrashOnce {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            let id = delivery.envelope.id;
            let first = self
                .crashed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(id, ())
                .is_none();
            let mut work = pin!(Arc::clone(&self.inner).handle(delivery));
            let mut left = self.steps;
            poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(verdict) => Poll::Ready(verdict),
                Poll::Pending if first && left == 0 => {
                    self.crashes.fetch_add(1, Ordering::SeqCst);
                    Poll::Ready(Verdict::Snooze(
                        std::time::Duration::ZERO,
                        Reason::new("crashed", "on purpose"),
                    ))
                }
                Poll::Pending => {
                    left = left.saturating_sub(1);
                    Poll::Pending
                }
            })
            .await
        }
        .boxed()
    }

    fn give_up(self: Arc<Self>, delivery: Arc<Delivery>, reason: Reason) -> BoxFuture<'static, Result<(), Reason>> {
        Arc::clone(&self.inner).give_up(delivery, reason)
    }
}

/// Gives a handler every message a second time after it said that it is done with it.
pub struct Twice(Arc<dyn Handler>);

impl Twice {
    /// Wraps a lane's handler.
    #[must_use]
    pub fn wrap(mut lane: Lane) -> Lane {
        lane.handler = Arc::new(Self(lane.handler));
        lane
    }
}

impl Handler for Twice {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            match Arc::clone(&self.0).handle(Arc::clone(&delivery)).await {
                Verdict::Done | Verdict::Already => Arc::clone(&self.0).handle(delivery).await,
                verdict => verdict,
            }
        }
        .boxed()
    }

    fn give_up(self: Arc<Self>, delivery: Arc<Delivery>, reason: Reason) -> BoxFuture<'static, Result<(), Reason>> {
        Arc::clone(&self.0).give_up(delivery, reason)
    }
}
