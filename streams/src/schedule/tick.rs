//! The clock: work that comes round by itself, each time once in the whole cluster.
//!
//! Of each tick the next one waits as a schedule. When its time comes it is one message for one consumer,
//! so one process takes it, stores the next tick, and does the work; a failure is tried again like any
//! message. Its id derives from its name and time. The chain is wound up at every start and looked after now
//! and then, so that it goes on even if somebody empties the stream.
//!
//! We count the times ourselves and do not use the server's cron: a tick that was missed (the server or all
//! workers were away) is told by its own time being in the message, and is run once or left out as its
//! [`Missed`] says; never once for each time that went by.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use maru_schemas::envelope::Envelope;
use maru_schemas::ids;
use tokio_util::sync::CancellationToken;

use super::{Schedules, scheduled};
use crate::intention::Clock;
use crate::jobs;
use crate::jobs::{Delivery, Handler, Lane, Policy, Reason, Verdict};
use crate::publish::{Outgoing, PublishError};
use crate::subject::{Subject, kind_of};
use crate::topology::{Consumer, SCHEDULES};

/// The lane that runs what comes round by itself.
pub const LANE: &str = "due-ticks";
const HEARS: &str = "due.tick.>";
const POLICY: Policy = Policy {
    concurrency: 4,
    timeout: Duration::from_secs(600),
    first_retry: Duration::from_secs(5),
    ..Policy::QUICK
};

/// How often the chain is looked after.
const WIND_EVERY: Duration = Duration::from_secs(300);

/// When something comes round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The one word: subject, metric label.
    pub name: &'static str,
    /// How often, counted from 1970 on: 24 hours are a day in UTC.
    pub every: Duration,
    /// How long after the full interval: three hours after midnight, say.
    pub at: Duration,
    /// What becomes of those that were missed.
    pub missed: Missed,
}

/// What becomes of a tick if the next one is due already when somebody comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Nothing: the next one is as good.
    Skip,
    /// It is made up for, once, however many were missed.
    RunOnce,
}

/// What a tick does, and how many things it dealt with. It may be run twice, and must do no harm then.
pub type Work = Arc<dyn Fn() -> BoxFuture<'static, Result<u64, Reason>> + Send + Sync>;

impl Tick {
    /// The first time after `now`.
    #[must_use]
    pub fn after(&self, now: Timestamp) -> Timestamp {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4);
        let (every, at) = (millis(self.every).max(1), millis(self.at));
        let full = (now.as_millisecond() - at).div_euclid(every);
        Timestamp::from_millisecond((full + 1) * every + at).unwrap_or(Timestamp::MAX)
    }

    /// Whether the tick of `due` is to be run at `now`.
    #[must_use]
    pub fn is_wanted(&self, due: Timestamp, now: Timestamp) -> bool {
        self.missed == Missed::RunOnce || now < self.after(due)
    }
}

/// Everything that comes round.
#[derive(Clone)]
pub struct Ticks {
    schedules: Schedules,
    clock: Clock,
    all: Arc<[(Tick, Work)]>,
}

impl Ticks {
    /// These, in this time.
    #[must_use]
    pub fn new(schedules: Schedules, clock: Clock, all: impl IntoIterator<Item = (Tick, Work)>) -> Self {
        Self {
            schedules,
            clock,
            all: all.into_iter().collect(),
        }
    }

    /// The consumers of that lane, for the topology.
    #[must_use]
    pub fn consumers() -> Vec<Consumer> {
        jobs::consumers(SCHEDULES, LANE, &[HEARS.to_owned()], &POLICY)
    }

    /// The lane that runs what has come.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane {
            name: LANE.to_owned(),
            stream: SCHEDULES,
            filters: vec![HEARS.to_owned()],
            policy: POLICY,
            handler: Arc::new(self.clone()),
        }
    }

    /// Sees to it that of every tick the next one waits, until told to stop.
    pub async fn wind(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            for (tick, _) in self.all.iter() {
                if let Err(error) = self.arm(tick, self.clock.now()).await {
                    tracing::warn!(tick = tick.name, %error, "the next tick could not be stored");
                }
            }
            let _ = stop.run_until_cancelled(tokio::time::sleep(WIND_EVERY)).await;
        }
    }

    /// Stores the next tick after a moment, unless one waits already: even one whose time has just come must not
    /// be replaced, it would be lost.
    async fn arm(&self, tick: &Tick, moment: Timestamp) -> Result<(), PublishError> {
        let due = tick.after(moment);
        let id = ids::named("tick", &format!("{} {due}", tick.name));
        let envelope = Envelope::of_the_house(id, kind_of("tick", tick.name), due);
        let later = Subject::TickLater { name: tick.name };
        let message = Outgoing::new(later, &envelope, Bytes::from_static(b"{}"), true);
        let target = Subject::TickDue { name: tick.name };
        let message = scheduled(message, &target, due);
        self.schedules.publisher.publish(message).await.map(|_| ())
    }

    async fn run(&self, delivery: &Delivery) -> Verdict {
        let found = match Subject::parse(&delivery.subject) {
            Some(Subject::TickDue { name }) => self.all.iter().find(|(tick, _)| tick.name == name),
            _ => None,
        };
        let Some((tick, work)) = found else {
            // A tick of another build; whoever knows it winds it up again.
            return Verdict::Refuse(Reason::new("unknown_tick", "this build does not know such a tick"));
        };
        let due = delivery.envelope.time;
        // The server's clock said that this time has come; ours may be behind, and take it for the next one.
        if let Err(error) = self.arm(tick, self.clock.now().max(due)).await {
            return Verdict::later(error);
        }
        let (label, verdict) = if tick.is_wanted(due, self.clock.now()) {
            match work().await {
                Ok(things) => {
                    tracing::info!(tick = tick.name, %due, things, "its time had come");
                    ("run", Verdict::Done)
                }
                Err(reason) => ("failed", Verdict::Retry { reason, at_least: None }),
            }
        } else {
            ("skipped", Verdict::Done)
        };
        metrics::counter!("maru_ticks_total", "tick" => tick.name, "outcome" => label).increment(1);
        verdict
    }
}

impl Handler for Ticks {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move { self.run(&delivery).await }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn tick(every: Duration, at: Duration, missed: Missed) -> Tick {
        Tick {
            name: "x",
            every,
            at,
            missed,
        }
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_begins_at_midnight_and_its_tick_comes_three_hours_later() {
        let daily = tick(24 * HOUR, 3 * HOUR, Missed::Skip);
        assert_eq!(daily.after(time("2026-11-21T02:59:59Z")), time("2026-11-21T03:00:00Z"));
        assert_eq!(daily.after(time("2026-11-21T03:00:00Z")), time("2026-11-22T03:00:00Z"));
    }

    #[test]
    fn what_was_missed_for_days_is_run_once_or_not_at_all() {
        let (due, late) = (time("2026-11-21T03:00:00Z"), time("2026-11-25T12:00:00Z"));
        let daily = |missed| tick(24 * HOUR, 3 * HOUR, missed);
        assert!(daily(Missed::RunOnce).is_wanted(due, late));
        assert!(!daily(Missed::Skip).is_wanted(due, late));
        assert!(
            daily(Missed::Skip).is_wanted(due, time("2026-11-21T09:00:00Z")),
            "late, but before the next"
        );
        assert_eq!(daily(Missed::RunOnce).after(late), time("2026-11-26T03:00:00Z"));
    }

    proptest! {
        #[test]
        fn ticks_come_one_interval_apart_and_never_in_the_past(
            now in 0_i64..4_000_000_000_000, every in 1_u64..200_000, at in 0_u64..200_000,
        ) {
            let tick = tick(Duration::from_secs(every), Duration::from_secs(at), Missed::Skip);
            let now = Timestamp::from_millisecond(now).unwrap();
            let next = tick.after(now);
            prop_assert!(next > now);
            prop_assert!(next.duration_since(now).as_secs() <= i64::try_from(every).unwrap());
            let following = tick.after(next).duration_since(next);
            prop_assert_eq!(following.as_secs(), i64::try_from(every).unwrap());
        }
    }
}
