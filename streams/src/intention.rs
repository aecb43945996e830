//! Intentions: what flows and jobs want to happen. They say it as data; this sends it.
//!
//! An intention's id derives from its cause and a name, so that reacting twice intends once: the
//! second one finds its subject taken.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use maru_schemas::envelope::{Actor, Envelope};
use maru_schemas::ids;
use maru_schemas::jobs::Job;
use maru_schemas::message::{Contract, Message};
use uuid::Uuid;

use crate::publish::{Outgoing, PublishError, Publisher};
use crate::subject::{Subject, kind_of};

/// Where the time comes from. Passed in, so that tests can move it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The clock of the machine.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else is given"
    )]
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock of one's own.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What it says, to the millisecond: that is what every place we keep times in can hold.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = (self.0)();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

/// Something that shall happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intention {
    what: What,
    kind: &'static str,
    /// What it is about: the aggregate of a command, the thing a job is for.
    about: Uuid,
    once: Once,
    body: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Command(&'static str),
    Job,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Once {
    /// Once for each cause: the id derives from the cause and this name.
    Named(String),
    /// Once for ever.
    Id(Uuid),
}

impl Intention {
    /// That a context be asked something, once for each cause under this name.
    pub fn command<C: Contract>(aggregate: impl Into<Uuid>, command: &C::Command, name: impl Into<String>) -> Self {
        Self {
            what: What::Command(C::CONTEXT),
            kind: command.kind(),
            about: aggregate.into(),
            once: Once::Named(name.into()),
            body: body(command),
        }
    }

    /// That a job be done, once for ever under this id.
    pub fn job(id: impl Into<Uuid>, job: &Job, about: impl Into<Uuid>) -> Self {
        Self {
            what: What::Job,
            kind: job.kind(),
            about: about.into(),
            once: Once::Id(id.into()),
            body: body(job),
        }
    }

    /// That a job be done, once for each cause under this name.
    pub fn named_job(name: impl Into<String>, job: &Job, about: impl Into<Uuid>) -> Self {
        Self {
            once: Once::Named(name.into()),
            ..Self::job(Uuid::nil(), job, about)
        }
    }

    fn id(&self, cause: &Envelope) -> Uuid {
        match &self.once {
            Once::Named(name) => ids::derive(cause.id, name),
            Once::Id(id) => *id,
        }
    }
}

/// Our own messages are plain data; should one ever not serialise, its empty body is refused as
/// undecodable where it arrives, and is seen in the dead letters.
fn body(message: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(message).unwrap_or_default().into()
}

/// Sends intentions.
#[derive(Clone)]
pub struct Intend {
    commands: Publisher,
    jobs: Publisher,
    clock: Clock,
}

impl Intend {
    /// Sends through these publishers, in this time.
    #[must_use]
    pub const fn new(commands: Publisher, jobs: Publisher, clock: Clock) -> Self {
        Self { commands, jobs, clock }
    }

    /// Sends all, and waits until all are stored. What was sent for the same cause before is there
    /// already, which is as good.
    ///
    /// # Errors
    /// When one is not known to be stored; sending all again is right.
    pub async fn send(&self, cause: &Envelope, intentions: Vec<Intention>) -> Result<(), PublishError> {
        let sent = intentions.into_iter().map(|intention| self.send_one(cause, intention));
        futures_util::future::try_join_all(sent).await.map(|_| ())
    }

    async fn send_one(&self, cause: &Envelope, intention: Intention) -> Result<(), PublishError> {
        let id = intention.id(cause);
        let kind = intention.kind;
        let (publisher, subject, room) = match intention.what {
            What::Command(context) => (&self.commands, Subject::Command { context, kind, id }, context),
            What::Job => (&self.jobs, Subject::Job { kind, id }, "job"),
        };
        let envelope = Envelope {
            id,
            kind: kind_of(room, kind),
            source: "maru/workers".to_owned(),
            time: self.clock.now(),
            subject: intention.about,
            actor: Actor::System,
            correlation: cause.correlation,
            causation: Some(cause.id),
            version: None,
            // Whose doing it is: members take turns in lanes by it.
            owner: cause.owner,
            fingerprint: None,
            reply: None,
            traceparent: cause.traceparent.clone(),
        };
        let message = Outgoing::new(subject, &envelope, intention.body, true);
        publisher.publish(message).await.map(|_| ())
    }
}
