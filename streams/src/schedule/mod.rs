//! What happens later: the server keeps a message until its time and then lays it under another subject.
//!
//! ```text
//! a job that failed ─▶ sched.job.<kind>.<id> ─(its time)─▶ due.job.… ─[mover]─▶ job.<kind>.v1.<id>.<n>
//! the clock         ─▶ sched.tick.<name>     ─(its time)─▶ due.tick.… ─[ticks]─▶ the work, and the next tick
//! ```
//!
//! A schedule is stored like anything else: what is acknowledged survives a crash, and one whose time came
//! while the server was away fires when it is back, once. There is one schedule under a subject; another one
//! takes its place. Times are the server's own, so nothing here can be moved by a test's clock.

mod mover;
mod tick;

use std::time::Duration;

use async_nats::jetstream::stream::DirectGetErrorKind;
use jiff::{SignedDuration, Timestamp};
use maru_schemas::envelope::MESSAGE_ID;
use uuid::Uuid;

use crate::intention::Clock;
use crate::jobs::Delivery;
use crate::nats::Nats;
use crate::publish::{Outgoing, PublishError, Publisher};
use crate::subject::Subject;
use crate::topology::{SCHEDULES, TopologyError};

pub use mover::mover;
pub use tick::{LANE, Missed, Tick, Ticks, Work};

const AT: &str = "Nats-Schedule";
const TARGET: &str = "Nats-Schedule-Target";

/// Stores what is to happen later.
#[derive(Clone)]
pub struct Schedules {
    nats: Nats,
    publisher: Publisher,
    clock: Clock,
}

impl Schedules {
    /// Stores through this connection.
    #[must_use]
    pub fn start(nats: Nats) -> Self {
        Self {
            publisher: Publisher::start(nats.clone(), SCHEDULES),
            nats,
            clock: Clock::system(),
        }
    }

    /// The same, by a test's clock: one that is behind makes waits shorter.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn by(nats: Nats, clock: Clock) -> Self {
        Self {
            clock,
            ..Self::start(nats)
        }
    }

    /// Has a job that has now failed so often come back after a wait, in place of any earlier wait of it.
    ///
    /// # Errors
    /// When it is not known to be stored.
    pub(crate) async fn job(
        &self,
        kind: &str,
        delivery: &Delivery,
        failures: u32,
        wait: Duration,
    ) -> Result<(), PublishError> {
        let id = delivery.envelope.id;
        let at = self.clock.now() + SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_hours(1));
        let target = Subject::JobDue { kind, id, failures };
        let later = Subject::JobLater { kind, id };
        let mut message = scheduled(
            Outgoing::new(later, &delivery.envelope, delivery.body.clone(), false).in_batch(delivery.batch),
            &target,
            at,
        );
        name(&mut message, format!("{id}.{failures}"));
        self.publisher.publish(message).await.map(|_| ())
    }

    /// After how many failures a job is to come back that waits now; none if it does not wait.
    pub(crate) async fn waiting(&self, kind: &str, id: Uuid) -> Result<Option<u32>, TopologyError> {
        let later = Subject::JobLater { kind, id }.to_string();
        let target = self.target(later).await?;
        Ok(match target.as_deref().and_then(Subject::parse) {
            Some(Subject::JobDue { failures, .. }) => Some(failures),
            _ => None,
        })
    }

    /// Where the message that waits under a subject will go; none if nothing waits there.
    async fn target(&self, later: String) -> Result<Option<String>, TopologyError> {
        let failed = |why: &dyn std::fmt::Display| TopologyError::new("look for a schedule", why);
        let stream = self
            .nats
            .jetstream()
            .get_stream_no_info(SCHEDULES)
            .await
            .map_err(|error| failed(&error))?;
        match stream.direct_get_last_for_subject(later).await {
            Ok(message) => Ok(message.headers.get(TARGET).map(|target| target.as_str().to_owned())),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Makes a message one that waits.
fn scheduled(mut message: Outgoing, target: &Subject<'_>, at: Timestamp) -> Outgoing {
    message.headers.push((AT, format!("@at {at}")));
    message.headers.push((TARGET, target.to_string()));
    message
}

/// Gives a message another name for the server's dedupe window: it is the same thing again, and meant so.
fn name(message: &mut Outgoing, name: String) {
    message.headers.retain(|(header, _)| *header != MESSAGE_ID);
    message.headers.push((MESSAGE_ID, name));
}
