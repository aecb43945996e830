//! # By the clock
//!
//! What comes round by itself, each time once in the whole cluster, whichever process with workers takes
//! it. All of it may be done twice without harm.

pub mod images;
mod money;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_streams::desk::{Desk, DeskError};
use maru_streams::intention::Clock;
use maru_streams::janitor::Janitor;
use maru_streams::jobs::Reason;
use maru_streams::leases::Leases;
use maru_streams::letters::Letters;
use maru_streams::nats::Nats;
use maru_streams::objects::Images;
use maru_streams::retention::Retention;
use maru_streams::schedule::{Missed, Schedules, Tick, Ticks, Work};
use maru_streams::store::Store;
use maru_streams::topology::Consumer;
use serde_json::json;

/// How many things were taken away.
type Outcome = Result<u64, Reason>;

/// One thing that comes round.
#[derive(Clone, Copy)]
struct Round {
    tick: Tick,
    run: for<'a> fn(&'a Clockwork) -> BoxFuture<'a, Outcome>,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Everything that comes round. The nightly ones come one after the other, in UTC.
const ROUNDS: [Round; 5] = [
    // Often, and at once after a start: a full stream refuses people.
    Round {
        tick: Tick {
            name: "janitor",
            every: MINUTE.saturating_mul(10),
            at: Duration::ZERO,
            missed: Missed::RunOnce,
        },
        run: |clockwork| {
            async {
                let swept = clockwork.janitor().sweep().await.map_err(|error| reason(&error))?;
                let purged = clockwork.letters().purge_closed(clockwork.horizon).await;
                Ok(swept + purged.map_err(|error| reason(&error))?)
            }
            .boxed()
        },
    },
    // Money that does not add up is somebody's.
    Round {
        tick: Tick {
            name: "money",
            every: money::EVERY,
            at: MINUTE,
            missed: Missed::RunOnce,
        },
        run: |clockwork| money::compare(clockwork).boxed(),
    },
    Round {
        tick: Tick {
            name: "retention",
            every: DAY,
            at: MINUTE.saturating_mul(3 * 60 + 10),
            missed: Missed::RunOnce,
        },
        run: |clockwork| async { clockwork.retention().walk().await.map_err(|error| reason(&error)) }.boxed(),
    },
    Round {
        tick: Tick {
            name: "refresh_tokens",
            every: DAY,
            at: MINUTE.saturating_mul(3 * 60 + 20),
            missed: Missed::RunOnce,
        },
        run: |clockwork| tokens::purge(clockwork).boxed(),
    },
    // Garbage that lies a day longer harms nobody.
    Round {
        tick: Tick {
            name: "images",
            every: DAY,
            at: MINUTE.saturating_mul(3 * 60 + 30),
            missed: Missed::Skip,
        },
        run: |clockwork| images::collect(clockwork).boxed(),
    },
];

/// The names of everything that comes round.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROUNDS.iter().map(|round| round.tick.name)
}

/// What the clock's work is done with.
#[derive(Clone)]
pub struct Clockwork {
    /// The connection.
    pub nats: Nats,
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who reads the streams.
    pub consumers: Vec<Consumer>,
    /// For how long they keep what is settled.
    pub horizon: Duration,
}

impl Clockwork {
    /// The ticks of the house.
    #[must_use]
    pub fn ticks(&self, schedules: Schedules) -> Ticks {
        let all = ROUNDS.map(|round| {
            let clockwork = self.clone();
            let work: Work = Arc::new(move || {
                let clockwork = clockwork.clone();
                async move { (round.run)(&clockwork).await }.boxed()
            });
            (round.tick, work)
        });
        Ticks::new(schedules, self.clock.clone(), all)
    }

    /// What operators may ask of the clock: what comes round when, and to do it now.
    #[must_use]
    pub fn answers(self, desk: Desk) -> Desk {
        let clock = self.clock.clone();
        let desk = desk.answers("clock.ticks", move |_, _| {
            let now = clock.now();
            let ticks = ROUNDS.map(|Round { tick, .. }| {
                json!({ "name": tick.name, "everySeconds": tick.every.as_secs(), "next": tick.after(now).to_string() })
            });
            async move { Ok(json!({ "ticks": ticks })) }.boxed()
        });
        desk.answers("clock.run", move |question, _| {
            let clockwork = self.clone();
            async move {
                let name = question["name"].as_str().unwrap_or_default();
                let round = ROUNDS.iter().find(|round| round.tick.name == name).ok_or_else(|| {
                    let names = ROUNDS.map(|round| round.tick.name).join(", ");
                    DeskError::NotThere(format!("nothing called `{name}` comes round; there are {names}"))
                })?;
                let done = (round.run)(&clockwork).await;
                let done = done.map_err(|reason| DeskError::Failed(reason.to_string()))?;
                Ok(json!({ "name": name, "done": done }))
            }
            .boxed()
        })
    }

    fn janitor(&self) -> Janitor {
        let (nats, clock) = (self.nats.clone(), self.clock.clone());
        Janitor::new(nats, clock, self.consumers.clone(), self.horizon)
    }

    fn retention(&self) -> Retention {
        let (nats, store, clock) = (self.nats.clone(), self.store.clone(), self.clock.clone());
        Retention::new(nats, store, self.leases(), clock, self.horizon)
    }

    fn leases(&self) -> Leases {
        Leases::new(self.store.clone())
    }

    fn letters(&self) -> Letters {
        Letters::new(self.nats.clone(), self.store.clone(), self.clock.clone())
    }

    fn images(&self) -> Images {
        Images::new(self.nats.clone())
    }
}

fn reason(error: &dyn std::error::Error) -> Reason {
    Reason::from_error("clock_work_failed", error)
}
