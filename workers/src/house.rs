//! Everything that works in this house, and the starting of as much of it as a process is to run.

use std::sync::Arc;
use std::time::Duration;

use maru_streams::contract::Context;
use maru_streams::effects::Effects;
use maru_streams::intention::{Clock, Intend};
use maru_streams::jobs::{Engine, Lane, Policy, Running, watch};
use maru_streams::nats::Nats;
use maru_streams::objects::Images;
use maru_streams::publish::Publisher;
use maru_streams::store::Store;
use maru_streams::topology::{COMMANDS, Consumer, DEAD, EVENTS, JOBS};
use maru_streams::views::{View, read};
use maru_streams::write::commands::Commands;
use maru_streams::write::outbox::Outbox;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::contexts::books::Books;
use crate::contexts::members::Members;
use crate::contexts::payments::Payments;
use crate::contexts::purchases::Purchases;
use crate::contexts::reviews::Reviews;
use crate::jobs::{self, Tools};
use crate::ports::ai::Ai;
use crate::ports::bank::Bank;
use crate::{flows, views};

/// Deciding is quick. Below twelve writers at once the database does not wait to form groups.
const DECIDING: Policy = Policy {
    concurrency: 10,
    timeout: Duration::from_secs(30),
    retries: 5,
    first_retry: Duration::from_secs(1),
};

/// How long what runs may go on when a process is told to stop.
pub const GRACE: Duration = Duration::from_secs(20);

/// What the house is built with.
#[derive(Clone)]
pub struct Parts {
    /// The connection.
    pub nats: Nats,
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who writes and paints.
    pub ai: Arc<dyn Ai>,
    /// Who takes money and gives it back.
    pub bank: Arc<dyn Bank>,
    /// How long the bank may take to answer.
    pub bank_timeout: Duration,
}

/// Everything that works, not started yet.
pub struct House {
    parts: Parts,
    outbox: Outbox,
    lanes: Vec<Lane>,
    views: Vec<Arc<dyn View>>,
}

/// The names that `--only` takes, and what each stands for.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let contexts = maru_schemas::CONTEXTS;
    let flows = flows::all().map(|flow| flow.name);
    let jobs = jobs::all().map(|job| job.name);
    contexts
        .into_iter()
        .chain(flows)
        .chain(jobs)
        .chain(maru_schemas::views::VIEWS)
        .collect()
}

impl House {
    /// Builds it all.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let commands = Publisher::start(parts.nats.clone(), COMMANDS);
        let jobs_out = Publisher::start(parts.nats.clone(), JOBS);
        let events = Publisher::start(parts.nats.clone(), EVENTS);
        let intend = Intend::new(commands, jobs_out, parts.clock.clone());
        let outbox = Outbox::new(parts.store.clone(), events);
        let tools = Tools {
            store: parts.store.clone(),
            intend: intend.clone(),
            effects: Effects::new(parts.store.clone()),
            images: Images::new(parts.nats.clone()),
            ai: Arc::clone(&parts.ai),
            bank: Arc::clone(&parts.bank),
            bank_timeout: parts.bank_timeout,
        };
        let mut lanes = vec![
            deciding::<Members>(&parts, &outbox),
            deciding::<Books>(&parts, &outbox),
            deciding::<Payments>(&parts, &outbox),
            deciding::<Purchases>(&parts, &outbox),
            deciding::<Reviews>(&parts, &outbox),
        ];
        lanes.extend(flows::all().map(|flow| flow.lane(intend.clone())));
        lanes.extend(jobs::all().map(|kind| kind.lane(tools.clone())));
        Self {
            parts,
            outbox,
            lanes,
            views: views::all(),
        }
    }

    /// The consumers of all lanes and views, for the topology.
    #[must_use]
    pub fn consumers(&self) -> Vec<Consumer> {
        let lanes = self.lanes.iter().map(Lane::consumer);
        lanes.chain(self.views.iter().map(|view| view.consumer())).collect()
    }

    /// Puts something around every lane: a test's way to make life hard.
    #[must_use]
    pub fn wrap(mut self, wrap: impl FnMut(Lane) -> Lane) -> Self {
        self.lanes = self.lanes.into_iter().map(wrap).collect();
        self
    }

    /// Starts the named ones, or everything if none is named.
    #[must_use]
    pub fn start(self, only: &[String]) -> Working {
        let consumers = self.consumers();
        let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
        let engine = Engine {
            nats: self.parts.nats.clone(),
            store: self.parts.store.clone(),
            dead: Publisher::start(self.parts.nats.clone(), DEAD),
        };
        let stop = CancellationToken::new();
        let lanes = self
            .lanes
            .into_iter()
            .filter(|lane| wanted(lane.name.split_once('-').map_or("", |(_, name)| name)))
            .map(|lane| lane.start(&engine))
            .collect();
        let mut tasks: Vec<JoinHandle<()>> = self
            .views
            .into_iter()
            .filter(|view| wanted(view.name()))
            .map(|view| {
                let (nats, store) = (self.parts.nats.clone(), self.parts.store.clone());
                tokio::spawn(read(nats, store, view, stop.clone()))
            })
            .collect();
        tasks.push(tokio::spawn(self.outbox.sweep(stop.clone())));
        tasks.push(tokio::spawn(watch(self.parts.nats.clone(), consumers, stop.clone())));
        Working { lanes, tasks, stop }
    }
}

fn deciding<C: Context>(parts: &Parts, outbox: &Outbox) -> Lane {
    Lane {
        name: format!("cmd-{}", C::NAME),
        stream: COMMANDS,
        filters: vec![format!("cmd.{}.>", C::NAME)],
        policy: DECIDING,
        handler: Arc::new(Commands::<C>::new(
            parts.nats.clone(),
            parts.store.clone(),
            outbox.clone(),
        )),
    }
}

/// What is at work.
pub struct Working {
    lanes: Vec<Running>,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Working {
    /// How many lanes run.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Drains everything: what runs may finish within the grace.
    pub async fn stop(self) {
        futures_util::future::join_all(self.lanes.into_iter().map(|lane| lane.stop(GRACE))).await;
        self.stop.cancel();
        for task in self.tasks {
            let _ = tokio::time::timeout(Duration::from_secs(2), task).await;
        }
    }
}
