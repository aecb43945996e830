//! Everything that works in this house, and the starting of as much of it as a process is to run.

use std::sync::Arc;
use std::time::Duration;

use maru_streams::batches;
use maru_streams::budgets::Budgets;
use maru_streams::contract::Context;
use maru_streams::doctor::{Place, watch_disk};
use maru_streams::effects::Effects;
use maru_streams::intention::{Clock, Intend};
use maru_streams::janitor::HORIZON;
use maru_streams::jobs::canary::{self, Canary, Way};
use maru_streams::jobs::{Engine, Health, Lane, Policy, Running};
use maru_streams::lanes::{Paces, watch};
use maru_streams::leases::Leases;
use maru_streams::letters::Letters;
use maru_streams::nats::Nats;
use maru_streams::objects::Images;
use maru_streams::partial::Partials;
use maru_streams::publish::Publisher;
use maru_streams::schedule::{self, Ticks, mover};
use maru_streams::store::Store;
use maru_streams::topology::{COMMANDS, Consumer, DEAD, EVENTS, JOBS, SCHEDULES};
use maru_streams::views::{self as reading, View, read};
use maru_streams::write::commands::{Commands, lane};
use maru_streams::write::outbox::Outbox;
use maru_streams::write::waiting;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clockwork;
use crate::contexts::books::Books;
use crate::contexts::members::Members;
use crate::contexts::payments::Payments;
use crate::contexts::purchases::Purchases;
use crate::contexts::reviews::Reviews;
use crate::jobs::{self, Tools};
use crate::ports::ai::Ai;
use crate::ports::bank::Bank;
use crate::ports::watched::{WatchedAi, WatchedBank};
use crate::{flows, views};

/// Deciding is quick, and what waits together is committed, published and cleared together: with more at once the
/// groups grow, not the number of commits.
const DECIDING: Policy = Policy {
    concurrency: 64,
    ..Policy::QUICK
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
    pub(crate) parts: Parts,
    outbox: Outbox,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) views: Vec<Arc<dyn View>>,
    canaries: Vec<Canary>,
    jobs: Publisher,
    pub(crate) paces: Paces,
    pub(crate) place: Place,
    horizon: Duration,
    health: Health,
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
        let canaries = maru_schemas::CONTEXTS
            .map(|context| (&commands, Way::Command(context)))
            .into_iter()
            .chain(jobs::all().map(|kind| (&jobs_out, Way::Job(kind.name))))
            .chain([(&events, Way::Event)])
            .map(|(into, way)| Canary {
                into: into.clone(),
                way,
            })
            .collect();
        let outbox = Outbox::new(parts.store.clone(), events);
        let intend = Intend::new(commands, jobs_out.clone(), parts.clock.clone());
        let tools = Tools {
            store: parts.store.clone(),
            intend: intend.clone(),
            effects: Effects::new(parts.store.clone()),
            partials: Partials::new(parts.store.clone(), parts.nats.clone()),
            letters: Letters::new(parts.nats.clone(), parts.store.clone(), parts.clock.clone()),
            images: Images::new(parts.nats.clone()),
            ai: Arc::new(WatchedAi(Arc::clone(&parts.ai))),
            bank: Arc::new(WatchedBank(Arc::clone(&parts.bank))),
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
        lanes.push(mover(jobs_out.clone()));
        Self {
            horizon: HORIZON,
            health: Health::default(),
            parts,
            outbox,
            lanes,
            views: views::all(),
            canaries,
            jobs: jobs_out,
            paces: Paces::default(),
            place: Place::default(),
        }
    }

    /// Says where it stands, for the doctor.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The consumers of all lanes and views, for the topology.
    #[must_use]
    pub fn consumers(&self) -> Vec<Consumer> {
        let lanes = self.lanes.iter().flat_map(Lane::consumers);
        lanes
            .chain(self.views.iter().map(|view| view.consumer()))
            .chain(Ticks::consumers())
            .collect()
    }

    /// Says for how long streams keep what is settled.
    #[must_use]
    pub const fn keeping(mut self, horizon: Duration) -> Self {
        self.horizon = horizon;
        self
    }

    /// Says where it is seen whether it is well: whoever is asked for that may be there before it.
    #[must_use]
    pub fn seen_at(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// What comes round by itself.
    pub(crate) fn clockwork(&self) -> Clockwork {
        Clockwork {
            nats: self.parts.nats.clone(),
            store: self.parts.store.clone(),
            clock: self.parts.clock.clone(),
            consumers: self.consumers(),
            horizon: self.horizon,
        }
    }

    /// What members may have done for them.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        Budgets::new(self.parts.nats.clone(), self.parts.store.clone(), self.jobs.clone())
    }

    /// The names of all lanes.
    #[must_use]
    pub(crate) fn lanes(&self) -> Vec<String> {
        let lanes = self.lanes.iter().map(|lane| lane.name.clone());
        lanes.chain([schedule::LANE.to_owned()]).collect()
    }

    /// What lanes gave up on.
    #[must_use]
    pub(crate) fn letters(&self) -> Letters {
        let Parts { nats, store, clock, .. } = &self.parts;
        Letters::new(nats.clone(), store.clone(), clock.clone())
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
        let (desk, names) = (self.desk(), self.lanes());
        let budgets = self.budgets();
        let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
        let letters = self.letters();
        let (nats, store) = (self.parts.nats.clone(), self.parts.store.clone());
        let health = self.health.clone();
        let mut engine = Engine::new(
            nats,
            store,
            self.jobs.clone(),
            letters.clone(),
            self.parts.clock.clone(),
        );
        engine.health = health.clone();
        let ticks = self.clockwork().ticks(engine.schedules.clone());
        let stop = CancellationToken::new();
        let watched = self.views.clone();
        let lanes = self
            .lanes
            .into_iter()
            .filter(|lane| wanted(lane.name.split_once('-').map_or("", |(_, name)| name)) || lane.name == "due-jobs")
            .chain([ticks.lane()])
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
        tasks.push(tokio::spawn(canary::sing(
            self.canaries,
            self.parts.clock.clone(),
            stop.clone(),
        )));
        let leases = Leases::new(self.parts.store.clone());
        tasks.push(tokio::spawn(budgets.clone().sweep(leases, stop.clone())));
        let metered = jobs::all().into_iter().filter(|kind| kind.policy.metered);
        tasks.push(tokio::spawn(
            budgets.count(metered.map(|kind| kind.name).collect(), stop.clone()),
        ));
        tasks.push(tokio::spawn(waiting::watch(
            self.parts.store.clone(),
            self.parts.clock.clone(),
            stop.clone(),
        )));
        if let Some(data) = self.place.data {
            tasks.push(tokio::spawn(watch_disk(data, stop.clone())));
        }
        let (nats, store) = (self.parts.nats.clone(), self.parts.store.clone());
        tasks.push(tokio::spawn(reading::watch(nats, store, watched, stop.clone())));
        tasks.push(tokio::spawn(ticks.wind(stop.clone())));
        tasks.push(tokio::spawn(desk.open(self.parts.nats.clone(), stop.clone())));
        tasks.push(tokio::spawn(
            self.outbox.sweep(Leases::new(self.parts.store.clone()), stop.clone()),
        ));
        tasks.push(tokio::spawn(batches::sweep(letters.clone(), names, stop.clone())));
        tasks.push(tokio::spawn(letters.count(stop.clone())));
        let streams = &[COMMANDS, JOBS, EVENTS, SCHEDULES, DEAD];
        tasks.push(tokio::spawn(watch(
            self.parts.nats.clone(),
            self.paces,
            streams,
            stop.clone(),
        )));
        Working {
            lanes,
            tasks,
            stop,
            health,
        }
    }
}

fn deciding<C: Context>(parts: &Parts, outbox: &Outbox) -> Lane {
    Lane {
        name: lane(C::NAME),
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
    health: Health,
}

impl Working {
    /// Whether everything that works here is well.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

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
