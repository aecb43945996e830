//! A lane from start to drain.
//!
//! Stopping has two phases. First the puller asks for nothing more but keeps its inbox open until what
//! was on its way has arrived, because a message dropped on the way waits a whole `ack_wait`. Then what
//! arrived and has a slot is run within the grace, and what was not begun goes back to the server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis_core::error::WorkerError;
use apalis_core::worker::builder::WorkerBuilder;
use futures_util::future::join_all;
use tokio::sync::{Notify, RwLock};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::backend::{AbortOnDrop, Leases, Runner};
use super::before::Before;
use super::delivery::Handler;
use super::health::Health;
use super::held::Held;
use super::policy::Policy;
use super::turns::Rank;
use super::{back, ear, pull, settle};
use crate::intention::Clock;
use crate::leases;
use crate::letters::Letters;
use crate::nats::Nats;
use crate::publish::Publisher;
use crate::schedule::Schedules;
use crate::store::Store;
use crate::topology::{ACK_WAIT, Consumer, DEAD, EVENTS, Reads};

/// How long a puller that leaves waits for what may be on its way, and a lane for a worker that it has stopped.
pub(super) const LINGER: Duration = Duration::from_millis(200);

/// One consumer, one handler, one policy.
pub struct Lane {
    /// The durable consumer's name: `cmd-books`, `job-write_story`, `flow-checkout`.
    pub name: String,
    /// Which stream.
    pub stream: &'static str,
    /// What it hears there.
    pub filters: Vec<String>,
    /// Its rules.
    pub policy: Policy,
    /// Who does the work.
    pub handler: Arc<dyn Handler>,
}

/// What every lane of a process needs.
#[derive(Clone)]
pub struct Engine {
    /// The connection.
    pub nats: Nats,
    /// Where attempts are counted.
    pub store: Store,
    /// Into JOBS, for what is moved to the back.
    pub jobs: Publisher,
    /// The dead letters.
    pub letters: Letters,
    /// Where jobs wait for longer.
    pub schedules: Schedules,
    /// The time.
    pub clock: Clock,
    /// Whether this process is well.
    pub health: Health,
    /// Every handler of the process runs in company; one that is suspected of ending the process runs
    /// alone.
    company: Arc<RwLock<()>>,
    /// How often lanes look whether they hear.
    look_every: Duration,
}

impl Engine {
    /// What the lanes of a process share.
    #[must_use]
    pub fn new(nats: Nats, store: Store, jobs: Publisher, letters: Letters, clock: Clock) -> Self {
        Self {
            schedules: Schedules::start(nats.clone()),
            nats,
            store,
            jobs,
            letters,
            clock,
            health: Health::default(),
            company: Arc::default(),
            look_every: ear::LOOK_EVERY,
        }
    }

    /// Lanes that find out sooner than is good for the server whether they hear.
    #[cfg(feature = "testing")]
    #[must_use]
    pub const fn looking_every(mut self, look_every: Duration) -> Self {
        self.look_every = look_every;
        self
    }
}

/// What the tasks of a running lane share.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) stream: &'static str,
    /// What it pulls from; the first one is its own.
    pub(super) sources: Vec<Consumer>,
    /// Of each of them: what was there before we listened.
    pub(super) before: Vec<Before>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) held: Arc<Held>,
    pub(super) store: Store,
    pub(super) places: leases::Leases,
    pub(super) jobs: Publisher,
    pub(super) letters: Letters,
    pub(super) clock: Clock,
    pub(super) health: Health,
    pub(super) company: Arc<RwLock<()>>,
    pub(super) look_every: Duration,
    pub(super) ask_anew: Vec<Notify>,
    /// The task that works; another one if it ended by itself.
    worker: Mutex<Option<AbortHandle>>,
    pub(super) schedules: Schedules,
    pub(super) closing: CancellationToken,
    closed: CancellationToken,
}

/// A lane that runs. Dropping it lets it run on; [`Running::stop`] ends it.
pub struct Running {
    shared: Arc<Shared>,
    pullers: Vec<JoinHandle<()>>,
    heart: JoinHandle<()>,
    ear: JoinHandle<()>,
    worker: JoinHandle<()>,
}

impl Lane {
    /// The consumers it reads through, for the topology: its own; the one of its back, if there is
    /// something to wait for; and the one through which operators hand dead letters back to it.
    #[must_use]
    pub fn consumers(&self) -> Vec<Consumer> {
        consumers(self.stream, &self.name, &self.filters, &self.policy)
    }

    /// Starts it.
    #[must_use]
    pub fn start(self, engine: &Engine) -> Running {
        let sources = self.consumers();
        let closing = CancellationToken::new();
        let shared = Arc::new(Shared {
            // What happened to one thing is reacted to in order; commands and jobs answer for themselves.
            held: Held::new(
                engine.nats.clone(),
                self.policy,
                self.stream == EVENTS,
                sources.iter().map(rank),
                closing.clone(),
            ),
            name: self.name,
            stream: self.stream,
            handler: self.handler,
            store: engine.store.clone(),
            places: leases::Leases::new(engine.store.clone()),
            jobs: engine.jobs.clone(),
            letters: engine.letters.clone(),
            clock: engine.clock.clone(),
            health: engine.health.clone(),
            company: Arc::clone(&engine.company),
            look_every: engine.look_every,
            ask_anew: sources.iter().map(|_| Notify::new()).collect(),
            before: sources.iter().map(|_| Before::default()).collect(),
            sources,
            schedules: engine.schedules.clone(),
            worker: Mutex::default(),
            closing,
            closed: CancellationToken::new(),
        });
        Running {
            pullers: (0..shared.sources.len())
                .map(|source| tokio::spawn(pull::pull(Arc::clone(&shared), source)))
                .collect(),
            heart: tokio::spawn(beat(Arc::clone(&shared))),
            ear: tokio::spawn(ear::listen(Arc::clone(&shared))),
            worker: tokio::spawn(run(Arc::clone(&shared))),
            shared,
        }
    }
}

impl Running {
    /// The lane's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Kills the task that works, with everything it runs, as a fault in it would.
    #[cfg(feature = "testing")]
    pub fn kill_worker(&self) {
        self.shared.kill_worker();
    }

    /// Drains it: what runs may finish within the grace, what was not begun goes back.
    pub async fn stop(self, grace: Duration) {
        let Self {
            shared,
            mut pullers,
            heart,
            ear,
            mut worker,
        } = self;
        shared.closing.cancel();
        ear.abort();
        let _ = tokio::time::timeout(LINGER * 10, join_all(&mut pullers)).await;
        pullers.iter().for_each(JoinHandle::abort);
        // What is held ahead would be begun one after the other for as long as the grace lasts, and the last of it broken
        // off. Others may begin it at once, where nobody waits for its order.
        if shared.stream != EVENTS {
            drop(shared.held.take_surplus());
        }
        let finished = tokio::time::timeout(grace, async {
            while shared.held.unsettled() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        if finished.is_err() {
            tracing::warn!(lane = %shared.name, left = shared.held.unsettled(), "stopped before the work was done; it will come again");
        }
        shared.closed.cancel();
        if tokio::time::timeout(Duration::from_millis(500), &mut worker)
            .await
            .is_err()
        {
            shared.kill_worker();
            let _ = tokio::time::timeout(LINGER, &mut worker).await;
            worker.abort();
        }
        // A process that ended now would take along what is on its way back, for as long as the server waits.
        shared.held.given_back().await;
        heart.abort();
    }
}

/// What a lane reads through.
pub(crate) fn consumers(stream: &'static str, lane: &str, filters: &[String], policy: &Policy) -> Vec<Consumer> {
    let reads = Reads::Settling {
        max_ack_pending: policy.max_ack_pending(),
    };
    let consumer = |stream, name, filters| Consumer {
        stream,
        name,
        filters,
        reads,
    };
    let mut all = vec![consumer(stream, lane.to_owned(), filters.to_vec())];
    if policy.fair || policy.metered {
        let (name, filters) = back::consumer_of(lane);
        all.push(consumer(stream, name, filters));
    }
    all.push(consumer(DEAD, format!("redo-{lane}"), vec![format!("redo.{lane}.>")]));
    all
}

/// Where a source stands, and how many of it are held at the most. What dead letters come back with runs one
/// at a time, in the same slots, beside the others.
fn rank(source: &Consumer) -> (Rank, usize) {
    match (source.stream, source.name.starts_with("late-")) {
        (DEAD, _) => (Rank::Back, 1),
        (_, true) => (Rank::Back, usize::MAX),
        (_, false) => (Rank::Front, usize::MAX),
    }
}

/// Keeps the server from giving away what still runs here.
async fn beat(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(ACK_WAIT / 3);
    loop {
        ticks.tick().await;
        settle::in_progress(&shared.held.nats, shared.held.still_running()).await;
        metrics::gauge!("maru_lane_in_flight", "lane" => shared.name.clone()).set(shared.held.unsettled() as f64);
    }
}

impl Shared {
    // A panic while it is held leaves a whole handle behind.
    fn kill_worker(&self) {
        if let Some(worker) = self.worker.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            worker.abort();
        }
    }
}

/// Keeps an apalis worker at work: another one, should it ever end by itself or panic.
async fn run(shared: Arc<Shared>) {
    while !shared.closed.is_cancelled() {
        let worker = AbortOnDrop(tokio::spawn(run_worker(Arc::clone(&shared))));
        *shared.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker.abort_handle());
        let ended = worker.await;
        if !shared.closed.is_cancelled() {
            tracing::error!(lane = %shared.name, ?ended, "the worker ended by itself; starting it again");
            let _ = shared
                .closed
                .run_until_cancelled(tokio::time::sleep(Duration::from_secs(1)))
                .await;
        }
    }
}

async fn run_worker(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let stop = shared.closed.clone();
    let worker = WorkerBuilder::new(shared.name.clone())
        .backend(Leases(Arc::clone(&shared)))
        .build(Runner(Arc::clone(&shared)));
    worker
        .run_until(async move {
            stop.cancelled().await;
            Ok::<(), WorkerError>(())
        })
        .await
}
