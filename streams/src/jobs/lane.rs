//! A lane from start to drain.
//!
//! Stopping has two phases. First the puller asks for nothing more but keeps its inbox open until what
//! was on its way has arrived, because a message dropped on the way waits a whole `ack_wait`. Then what
//! arrived is run within the grace, and what was not begun goes back to the server.

use std::sync::Arc;
use std::time::Duration;

use apalis_core::error::WorkerError;
use apalis_core::worker::builder::WorkerBuilder;
use async_nats::jetstream::Message;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::backend::{Leases, Runner};
use super::delivery::Handler;
use super::lease::Held;
use super::policy::Policy;
use super::session::{Next, Session, SessionError};
use super::settle;
use crate::nats::Nats;
use crate::publish::Publisher;
use crate::store::Store;
use crate::topology::{ACK_WAIT, Consumer, Reads};

/// How long a stopping puller waits for what may be on its way.
const SILENCE: Duration = Duration::from_millis(200);

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
    /// Into the dead letters.
    pub dead: Publisher,
}

/// What the tasks of a running lane share.
pub(super) struct Shared {
    pub(super) name: String,
    stream: &'static str,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) held: Arc<Held>,
    pub(super) store: Store,
    pub(super) dead: Publisher,
    closing: CancellationToken,
    closed: CancellationToken,
}

/// A lane that runs. Dropping it lets it run on; [`Running::stop`] ends it.
pub struct Running {
    shared: Arc<Shared>,
    puller: JoinHandle<()>,
    heart: JoinHandle<()>,
    worker: JoinHandle<()>,
}

impl Lane {
    /// The consumer it reads through, for the topology.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        Consumer {
            stream: self.stream,
            name: self.name.clone(),
            filters: self.filters.clone(),
            reads: Reads::Settling {
                max_ack_pending: self.policy.max_ack_pending(),
            },
        }
    }

    /// Starts it.
    #[must_use]
    pub fn start(self, engine: &Engine) -> Running {
        let shared = Arc::new(Shared {
            held: Held::new(engine.nats.clone(), self.policy),
            name: self.name,
            stream: self.stream,
            handler: self.handler,
            store: engine.store.clone(),
            dead: engine.dead.clone(),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
        });
        Running {
            puller: tokio::spawn(pull(Arc::clone(&shared))),
            heart: tokio::spawn(beat(Arc::clone(&shared))),
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

    /// Drains it: what runs may finish within the grace, what was not begun goes back.
    pub async fn stop(self, grace: Duration) {
        let Self {
            shared,
            mut puller,
            heart,
            mut worker,
        } = self;
        shared.closing.cancel();
        let _ = tokio::time::timeout(SILENCE * 10, &mut puller).await;
        puller.abort();
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
            worker.abort();
        }
        heart.abort();
    }
}

/// Asks for exactly as many messages as there are free slots.
async fn pull(shared: Arc<Shared>) {
    let mut trouble = 0_u32;
    while !shared.closing.is_cancelled() {
        match pull_session(&shared).await {
            Ok(()) => return,
            Err(error) => {
                trouble = if matches!(error, SessionError::Reconnected) {
                    0
                } else {
                    trouble + 1
                };
                metrics::counter!("maru_lane_sessions_lost_total", "lane" => shared.name.clone()).increment(1);
                if trouble > 2 {
                    tracing::warn!(lane = %shared.name, %error, "cannot pull");
                } else {
                    tracing::debug!(lane = %shared.name, %error, "pulling anew");
                }
                let wait = Duration::from_millis(50).saturating_mul(1 << trouble.min(7));
                let _ = shared.closing.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }
}

async fn pull_session(shared: &Shared) -> Result<(), SessionError> {
    let held = &shared.held;
    let mut session = Session::open(&held.nats, shared.stream, &shared.name, None).await?;
    loop {
        let free = held.free().saturating_sub(session.outstanding());
        // Not for every single slot: a quarter of them at a time is as quick and far fewer requests.
        if free > 0 && (session.outstanding() == 0 || free >= held.policy.concurrency.div_ceil(4)) {
            session.request(free).await?;
        }
        tokio::select! {
            next = session.next() => take(shared, next?),
            () = held.freed() => {}
            () = shared.closing.cancelled() => break,
        }
    }
    while session.outstanding() > 0
        && let Ok(next) = tokio::time::timeout(SILENCE, session.next()).await
    {
        take(shared, next?);
    }
    Ok(())
}

fn take(shared: &Shared, next: Next) {
    let Next::Message(message) = next else { return };
    let message = Message {
        message: *message,
        context: shared.held.nats.jetstream().clone(),
    };
    match message.info() {
        Ok(info) => shared.held.admit(message.message.clone(), &info),
        Err(error) => tracing::error!(lane = %shared.name, %error, "a message without a way to settle it"),
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

/// Runs the apalis worker, again should it ever end by itself.
async fn run(shared: Arc<Shared>) {
    while !shared.closed.is_cancelled() {
        let stop = shared.closed.clone();
        let worker = WorkerBuilder::new(shared.name.clone())
            .backend(Leases(Arc::clone(&shared)))
            .build(Runner(Arc::clone(&shared)));
        let ended = worker
            .run_until(async move {
                stop.cancelled().await;
                Ok::<(), WorkerError>(())
            })
            .await;
        if !shared.closed.is_cancelled() {
            tracing::error!(lane = %shared.name, ?ended, "the worker ended by itself; starting it again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
