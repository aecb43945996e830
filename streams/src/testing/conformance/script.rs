//! A handler that does as a check tells it and remembers what it was asked, and the messages it is given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use maru_schemas::envelope::{Actor, Envelope};
use maru_schemas::ids::PaymentId;
use maru_schemas::jobs::Job;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::jobs::{Delivery, Handler, Reason, Verdict};
use crate::publish::Outgoing;
use crate::subject::{Subject, kind_of};

/// One run of a handler.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Of which message.
    pub n: u128,
    /// Which attempt the lane said it was.
    pub attempt: u32,
    /// When it began.
    pub at: Instant,
    /// How many others ran at that moment.
    pub beside: usize,
}

/// What a script is told of a run.
pub struct Call {
    /// Of which message.
    pub n: u128,
    /// The nth run of this message, counted by us.
    pub nth: usize,
    /// What the lane said.
    pub delivery: Arc<Delivery>,
}

/// What happened so far.
#[derive(Default)]
pub struct Seen {
    log: Mutex<Log>,
    given_up: Mutex<Vec<u128>>,
    running: AtomicUsize,
}

#[derive(Default)]
struct Log {
    runs: Vec<Run>,
    counts: BTreeMap<u128, usize>,
}

// A check that failed while it held a lock has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    /// Every run, in the order in which they began.
    #[must_use]
    pub fn runs(&self) -> Vec<Run> {
        lock(&self.log).runs.clone()
    }

    /// The runs of one message.
    #[must_use]
    pub fn of(&self, n: u128) -> Vec<Run> {
        lock(&self.log).runs.iter().filter(|run| run.n == n).copied().collect()
    }

    /// The attempts of one message, as the lane counted them.
    #[must_use]
    pub fn attempts(&self, n: u128) -> Vec<u32> {
        self.of(n).iter().map(|run| run.attempt).collect()
    }

    /// How long it was between the beginnings of one message's runs.
    #[must_use]
    pub fn waits(&self, n: u128) -> Vec<Duration> {
        self.of(n).windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    }

    /// How often each message ran.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<u128, usize> {
        lock(&self.log).counts.clone()
    }

    /// How many runs there were.
    #[must_use]
    pub fn total(&self) -> usize {
        lock(&self.log).runs.len()
    }

    /// How many run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// The most that ever ran at once.
    #[must_use]
    pub fn most(&self) -> usize {
        lock(&self.log)
            .runs
            .iter()
            .map(|run| run.beside + 1)
            .max()
            .unwrap_or_default()
    }

    /// What the handler was told is given up, each time it was told.
    #[must_use]
    pub fn given_up(&self) -> Vec<u128> {
        lock(&self.given_up).clone()
    }
}

type Act = dyn Fn(Call) -> BoxFuture<'static, Verdict> + Send + Sync;
type Farewell = dyn Fn(usize) -> Result<(), Reason> + Send + Sync;

/// A handler that follows a script.
pub struct Scripted {
    seen: Arc<Seen>,
    act: Box<Act>,
    farewell: Box<Farewell>,
}

/// A handler that does this with every message, and what it sees. What the script does before it makes its
/// future happens in [`Handler::handle`] itself.
pub fn scripted<F>(act: impl Fn(Call) -> F + Send + Sync + 'static) -> (Arc<Scripted>, Arc<Seen>)
where
    F: Future<Output = Verdict> + Send + 'static,
{
    scripted_with_farewell(act, |_| Ok(()))
}

/// A handler that waits at a gate with every message, what it sees, and the gate.
#[must_use]
pub fn gated() -> (Arc<Scripted>, Arc<Seen>, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let passing = Arc::clone(&gate);
    let (handler, seen) = scripted(move |_| {
        let gate = Arc::clone(&passing);
        async move {
            let _passed = gate.acquire().await;
            Verdict::Done
        }
    });
    (handler, seen, gate)
}

/// The same as [`scripted`], with what it says when it is told for the nth time that a message is given up.
pub(super) fn scripted_with_farewell<F>(
    act: impl Fn(Call) -> F + Send + Sync + 'static,
    farewell: impl Fn(usize) -> Result<(), Reason> + Send + Sync + 'static,
) -> (Arc<Scripted>, Arc<Seen>)
where
    F: Future<Output = Verdict> + Send + 'static,
{
    let seen = Arc::new(Seen::default());
    let scripted = Scripted {
        seen: Arc::clone(&seen),
        act: Box::new(move |call| act(call).boxed()),
        farewell: Box::new(farewell),
    };
    (Arc::new(scripted), seen)
}

/// Counts a run as over wherever it ends.
struct Ending(Arc<Seen>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Handler for Scripted {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        let n = delivery.envelope.id.as_u128();
        let ending = Ending(Arc::clone(&self.seen));
        let nth = {
            let mut log = lock(&self.seen.log);
            let beside = self.seen.running.fetch_add(1, Ordering::SeqCst);
            log.runs.push(Run {
                n,
                attempt: delivery.attempt,
                at: Instant::now(),
                beside,
            });
            let nth = log.counts.entry(n).or_default();
            *nth += 1;
            *nth
        };
        let work = (self.act)(Call { n, nth, delivery });
        async move {
            let _ending = ending;
            work.await
        }
        .boxed()
    }

    fn give_up(self: Arc<Self>, delivery: Arc<Delivery>, _: Reason) -> BoxFuture<'static, Result<(), Reason>> {
        let nth = {
            let mut given_up = lock(&self.seen.given_up);
            given_up.push(delivery.envelope.id.as_u128());
            given_up.len()
        };
        std::future::ready((self.farewell)(nth)).boxed()
    }
}

/// It failed, and may work next time.
#[must_use]
pub fn no_luck() -> Verdict {
    Verdict::Retry {
        reason: Reason::new("no_luck", "it failed"),
        at_least: None,
    }
}

/// The id of a numbered message.
#[must_use]
pub const fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// The number of the message that lay under a subject.
pub(super) fn number_of(subject: &str) -> u128 {
    match Subject::parse(subject) {
        Some(Subject::Job { id, .. }) => id.as_u128(),
        _ => panic!("{subject} is none of these checks' subjects"),
    }
}

/// The envelope of a numbered message.
#[must_use]
pub fn envelope(n: u128) -> Envelope {
    Envelope {
        id: id(n),
        kind: kind_of("job", "charge"),
        source: "test".to_owned(),
        time: Timestamp::UNIX_EPOCH,
        subject: id(n),
        actor: Actor::System,
        correlation: id(n),
        causation: None,
        version: None,
        owner: None,
        fingerprint: None,
        reply: None,
        traceparent: None,
    }
}

/// A numbered message: a job of a kind that every build knows.
#[must_use]
pub fn message(n: u128) -> Outgoing {
    let job = Job::Charge {
        payment: PaymentId(id(n)),
    };
    let body = serde_json::to_vec(&job).expect("plain data");
    Outgoing::new(
        Subject::Job {
            kind: "charge",
            id: id(n),
        },
        &envelope(n),
        body.into(),
        true,
    )
}
