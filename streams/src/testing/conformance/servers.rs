//! The contract on real servers. A process is a runtime of its own with a connection of its own, so that it
//! can end without a word: its tasks are dropped where they are and cannot even give back what they held.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use maru_schemas::letters::Letter;
use tokio::runtime::{Builder, Runtime};

use super::script::scripted;
use super::{Backend, Buried, POLICY, Process};
use crate::intention::Clock;
use crate::jobs::{Engine, Handler, Lane, Policy, Running, Verdict};
use crate::letters::Letters;
use crate::nats::Nats;
use crate::publish::{Outgoing, Published, Publisher};
use crate::store::Store;
use crate::testing::World;
use crate::topology::{Consumer, DEAD, JOBS};

/// The lane that the checks run in.
pub const LANE: &str = "job-conformance";

/// That lane.
#[must_use]
pub fn lane(policy: Policy, handler: Arc<dyn Handler>) -> Lane {
    Lane {
        name: LANE.to_owned(),
        stream: JOBS,
        filters: vec!["job.>".to_owned()],
        policy,
        handler,
    }
}

/// Its consumer.
#[must_use]
pub fn consumer() -> Consumer {
    let lane = lane(POLICY, scripted(|_| async { Verdict::Done }).0);
    lane.consumers().swap_remove(0)
}

/// A nats-server and a database.
pub struct Servers(
    /// Both, and what else a test may want.
    pub World,
);

impl Servers {
    /// Starts a process whose connection goes to `url`.
    pub async fn start_at(&self, url: &str, policy: Policy, handler: Arc<dyn Handler>) -> InRuntime {
        InRuntime::start(url, &self.0.store, self.0.clock.clock(), lane(policy, handler)).await
    }
}

impl Backend for Servers {
    type Process = InRuntime;

    async fn make() -> Self {
        let lane = lane(POLICY, scripted(|_| async { Verdict::Done }).0);
        Self(World::new(&lane.consumers()).await)
    }

    async fn publish(&self, message: Outgoing) -> Published {
        self.0.jobs.publish(message).await.expect("stored")
    }

    async fn start(&self, policy: Policy, handler: Arc<dyn Handler>) -> InRuntime {
        self.start_at(self.0.server.url(), policy, handler).await
    }

    async fn letters(&self) -> Vec<Buried> {
        let stream = self
            .0
            .nats
            .jetstream()
            .get_stream(DEAD)
            .await
            .expect("the dead letters");
        let last = stream.cached_info().state.last_sequence;
        let mut letters = BTreeMap::new();
        for seq in 1..=last {
            let message = stream.direct_get(seq).await.expect("a letter");
            let letter: Letter = serde_json::from_slice(&message.payload).expect("a letter says why");
            // The newest word about it counts.
            let buried = Buried {
                subject: letter.subject,
                attempts: letter.attempts,
                reason: letter.reason,
            };
            letters.insert(letter.message, buried);
        }
        letters.into_values().collect()
    }

    async fn unsettled(&self) -> u64 {
        self.0.unsettled_of_all(JOBS, LANE).await
    }

    async fn be_impatient(&self) {
        self.0.shorten_ack_wait(&consumer(), Duration::from_secs(2)).await;
    }
}

/// A process: a runtime, a connection, a lane.
pub struct InRuntime {
    runtime: Option<Runtime>,
    running: Option<Running>,
    nats: Nats,
}

impl InRuntime {
    async fn start(url: &str, store: &Store, clock: Clock, lane: Lane) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (url, store) = (url.to_owned(), store.clone());
        let started = runtime.spawn(async move {
            let nats = Nats::connect(&url, "process").await.expect("a connection");
            let jobs = Publisher::start(nats.clone(), JOBS);
            let letters = Letters::new(nats.clone(), store.clone(), clock.clone());
            let running = lane.start(&Engine::new(nats.clone(), store, jobs, letters, clock));
            (nats, running)
        });
        let (nats, running) = started.await.expect("it starts");
        Self {
            runtime: Some(runtime),
            running: Some(running),
            nats,
        }
    }
}

impl Process for InRuntime {
    async fn stop(mut self, grace: Duration) {
        let (nats, running) = (self.nats.clone(), self.running.take());
        let stopping = async move {
            if let Some(running) = running {
                running.stop(grace).await;
            }
            nats.close().await;
        };
        if let Some(runtime) = &self.runtime {
            runtime.spawn(stopping).await.expect("it stops");
        }
    }

    fn kill_worker(&self) {
        if let Some(running) = &self.running {
            running.kill_worker();
        }
    }

    fn end(self) {
        drop(self);
    }
}

impl Drop for InRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
