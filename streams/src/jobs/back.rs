//! Where a job waits when it does not wait in front: at the back of its lane, or aside.
//!
//! ```text
//! job.<kind>.v1.<id>                 in front, one after the other as members take turns
//! late.<kind>.v1.<id>                at the back: what its member has too much of in front
//! held.<kind>.<member>.v1.<id>.<n>   aside: pulled by nobody until the member's budget is topped up; each time
//!                                    under a subject of its own, by where it lay before
//! late.<kind>.v1.<id>.<n>            let go again; `n` is where it lay aside
//! ```
//!
//! It keeps its id, so the ledger, the count of attempts and its dead letter are the same wherever it
//! waits. First it is stored in its new place, then it is taken off the old one; a crash in between finds
//! it stored already.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::RawMessageError;
use uuid::Uuid;

use super::dead::carried;
use super::lane::Shared;
use super::lease::{Lease, member};
use super::policy::LONGEST;
use super::settle;
use crate::nats::latest;
use crate::publish::Outgoing;
use crate::subject::Subject;
use crate::topology::JOBS;

/// How long a message waits that cannot be set aside.
const INSTEAD: Duration = Duration::from_secs(30);

/// The consumer of a lane's back, and what it hears.
pub(super) fn consumer_of(lane: &str) -> (String, Vec<String>) {
    let kind = lane.trim_start_matches("job-");
    (format!("late-{kind}"), vec![format!("late.{kind}.>")])
}

/// Moves a message to the back.
pub(super) async fn move_back(shared: Arc<Shared>, lease: Lease) {
    let to = lease.message.subject.as_str().replacen("job.", "late.", 1);
    if store(&shared, &lease, to).await {
        metrics::counter!("maru_lane_moved_back_total", "lane" => shared.name.clone()).increment(1);
        settle::ack(&shared.held.nats, &lease).await;
    }
    // Otherwise dropping the lease brings it again in a moment.
}

/// Sets a message aside. One that is no member's job is looked at again later.
pub(super) async fn hold(shared: &Shared, lease: &Lease) {
    let to = match (Subject::parse(lease.message.subject.as_str()), member(&lease.message)) {
        (Some(Subject::Job { kind, id }), Some(member)) => {
            Some(format!("held.{kind}.{member}.v1.{id}.{}", lease.ticket.0))
        }
        _ => None,
    };
    let is_stored = match to {
        Some(to) => store(shared, lease, to).await,
        None => false,
    };
    if is_stored {
        metrics::counter!("maru_lane_held_total", "lane" => shared.name.clone()).increment(1);
        settle::ack(&shared.held.nats, lease).await;
    } else {
        settle::nak(&shared.held.nats, lease, INSTEAD).await;
    }
}

/// Whether a job that comes again lies further on already: whoever moved it died before it was taken off this place.
/// Wherever a job goes on, it is stored anew, so the newest place counts.
pub(super) async fn has_moved(shared: &Shared, lease: &Lease, kind: &str, id: Uuid) -> Result<bool, RawMessageError> {
    let policy = &shared.held.policy;
    let (at_the_back, aside) = (policy.fair || policy.metered, policy.metered);
    let places = [
        (at_the_back, format!("late.{kind}.v1.{id}")),
        (at_the_back, format!("late.{kind}.v1.{id}.*")),
        (aside, format!("held.{kind}.*.v1.{id}.*")),
        (policy.longest_retry > LONGEST, format!("job.{kind}.v1.{id}.*")),
    ];
    for (_, place) in places.iter().filter(|(is_one, _)| *is_one && shared.stream == JOBS) {
        let newest = latest(&shared.held.nats, JOBS, place).await?;
        if newest.is_some_and(|newest| newest.sequence > lease.ticket.0) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn store(shared: &Shared, lease: &Lease, subject: String) -> bool {
    let message = Outgoing {
        subject,
        headers: lease.message.headers.as_ref().map(carried).unwrap_or_default(),
        body: lease.message.payload.clone(),
        expects: Some(0),
    };
    match shared.jobs.publish(message).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(lane = %shared.name, %error, "a message could not be given another place to wait");
            false
        }
    }
}
