//! Canaries: once a minute a message that means nothing goes the whole way of every lane (stored, pulled,
//! leased, read, the database asked, settled), so that a lane that has nothing to do is known to be able to.
//!
//! Every process sends them; they have one id a minute, so one of each is stored.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use maru_schemas::envelope::Envelope;
use maru_schemas::ids;
use tokio_util::sync::CancellationToken;

use super::verdict::Verdict;
use crate::intention::Clock;
use crate::publish::{Outgoing, Publisher};
use crate::store::Store;
use crate::subject::Subject;

/// How often one is sent.
const EVERY: Duration = Duration::from_secs(60);

/// The `ce-type` of a canary.
const KIND: &str = "maru.canary.beat.v1";
/// What flows hear beside their events; views pass it by.
pub(crate) const EVENTS: &str = "evt.canary.>";

/// A lane's canary: through which publisher, and under which subject an id goes.
#[derive(Clone)]
pub struct Canary {
    /// Where it is stored.
    pub into: Publisher,
    /// The way it takes.
    pub way: Way,
}

/// The way of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Through a context's commands.
    Command(&'static str),
    /// Through a kind of job.
    Job(&'static str),
    /// Through every flow.
    Event,
}

impl Way {
    fn subject(&self, minute: i64) -> String {
        let id = ids::named("canary", &format!("{self:?} {minute}"));
        match self {
            Self::Command(context) => Subject::Command {
                context,
                kind: "canary",
                id,
            },
            Self::Job(kind) => Subject::Job { kind, id },
            Self::Event => Subject::Event {
                context: "canary",
                kind: "beat",
                aggregate: id,
            },
        }
        .to_string()
    }
}

/// Sends them until told to stop.
pub async fn sing(canaries: Vec<Canary>, clock: Clock, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        send(&canaries, &clock).await;
    }
}

/// Sends those of this minute.
pub async fn send(canaries: &[Canary], clock: &Clock) {
    let now = clock.now();
    let minute = now.as_second() / 60;
    join_all(canaries.iter().map(async |canary| {
        let id = ids::named("canary", &format!("{:?} {minute}", canary.way));
        let envelope = Envelope::of_the_house(id, KIND.to_owned(), now);
        let message = Outgoing::new(canary.way.subject(minute), &envelope, Bytes::new(), true);
        if let Err(error) = canary.into.publish(message).await {
            tracing::debug!(%error, way = ?canary.way, "a canary was not sent");
        }
    }))
    .await;
}

/// Whether a message is one.
pub(crate) fn is_canary(envelope: &Envelope) -> bool {
    envelope.kind == KIND
}

/// What a lane does with one: what every handler needs is asked for, and the way is measured.
pub(super) async fn hear(store: &Store, clock: &Clock, lane: &str, envelope: &Envelope) -> Verdict {
    let context = lane.strip_prefix("cmd-").unwrap_or_default();
    if let Err(error) = store.ping_for(context).await {
        return Verdict::later(error);
    }
    let now = clock.now();
    let way = now.duration_since(envelope.time).as_secs_f64().max(0.0);
    metrics::histogram!("maru_lane_canary_seconds", "lane" => lane.to_owned()).record(way);
    metrics::gauge!("maru_lane_canary_timestamp_seconds", "lane" => lane.to_owned()).set(now.as_second() as f64);
    Verdict::Done
}
