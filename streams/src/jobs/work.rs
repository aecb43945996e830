//! From a lease to a settled message: read it, run the handler within its time, give the slot back,
//! and do to the message what the verdict says.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use maru_schemas::envelope::Envelope;
use tracing::Instrument;
use uuid::Uuid;

use super::dead::{self, DeadLetter};
use super::delivery::Delivery;
use super::lane::Shared;
use super::lease::Lease;
use super::policy::wait_out;
use super::verdict::{Reason, Verdict};
use super::{attempts, settle};

pub(super) async fn work(shared: Arc<Shared>, lease: Lease) {
    let started = Instant::now();
    let read = read(&shared, &lease).await;
    let span = match &read {
        Ok(delivery) => tracing::info_span!(
            "work",
            lane = %shared.name,
            id = %delivery.envelope.id,
            correlation = %delivery.envelope.correlation,
            attempt = delivery.attempt,
        ),
        Err(_) => tracing::info_span!("work", lane = %shared.name, seq = lease.ticket.0),
    };
    async {
        let (delivery, verdict) = match read {
            Ok(delivery) => {
                let delivery = Arc::new(delivery);
                let verdict = handle(&shared, &delivery).await;
                (Some(delivery), verdict)
            }
            Err(verdict) => (None, verdict),
        };
        // From here on the handler's work is over: the next message may begin while this one is settled.
        lease.free_slot();
        let lane = shared.name.clone();
        tracing::debug!(verdict = verdict.label(), "worked");
        metrics::counter!("maru_lane_messages_total", "lane" => lane.clone(), "verdict" => verdict.label())
            .increment(1);
        metrics::histogram!("maru_lane_handler_seconds", "lane" => lane).record(started.elapsed());
        conclude(&shared, &lease, delivery, verdict).await;
    }
    .instrument(span)
    .await;
}

async fn read(shared: &Shared, lease: &Lease) -> Result<Delivery, Verdict> {
    let headers = lease.message.headers.as_ref();
    let envelope = Envelope::read(|name| headers?.get(name).map(|value| value.as_str()))
        .map_err(|error| Verdict::Poison(Reason::from_error("undecodable", &error)))?;
    // The first delivery is the first attempt; only a later one has anything to look up.
    let failures = if lease.deliveries > 1 {
        attempts::failures(&shared.store, &shared.name, envelope.id)
            .await
            .map_err(Verdict::later)?
    } else {
        0
    };
    Ok(Delivery {
        subject: lease.message.subject.to_string(),
        envelope,
        body: lease.message.payload.clone(),
        seq: lease.ticket.0,
        attempt: failures + 1,
    })
}

async fn handle(shared: &Shared, delivery: &Arc<Delivery>) -> Verdict {
    let handler = Arc::clone(&shared.handler);
    let run = async { handler.handle(Arc::clone(delivery)).await };
    // AssertUnwindSafe: what the handler shares with others is behind its own locks or in the database.
    let run = AssertUnwindSafe(run).catch_unwind();
    match tokio::time::timeout(shared.held.policy.timeout, run).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(_)) => Verdict::Retry {
            reason: Reason::new("panicked", "the handler panicked; the log has the place"),
            at_least: None,
        },
        Err(_) => Verdict::Retry {
            reason: Reason::new("timed_out", format!("no end after {:?}", shared.held.policy.timeout)),
            at_least: None,
        },
    }
}

async fn conclude(shared: &Shared, lease: &Lease, delivery: Option<Arc<Delivery>>, verdict: Verdict) {
    let nats = &shared.held.nats;
    let attempt = delivery.as_ref().map_or(0, |delivery| delivery.attempt);
    match verdict {
        Verdict::Done | Verdict::Already => settle::ack(nats, lease).await,
        Verdict::Refuse(reason) => {
            tracing::info!(lane = %shared.name, %reason, "refused");
            settle::ack(nats, lease).await;
        }
        Verdict::Snooze(wait, reason) => {
            tracing::debug!(lane = %shared.name, %reason, "not now");
            settle::nak(nats, lease, wait).await;
        }
        Verdict::Later(reason) => {
            tracing::warn!(lane = %shared.name, %reason, "waiting until the house is in order");
            settle::nak(nats, lease, wait_out(lease.deliveries)).await;
        }
        Verdict::Retry { reason, at_least } => {
            if attempt <= shared.held.policy.retries
                && let Some(delivery) = &delivery
            {
                retry(shared, lease, delivery.envelope.id, attempt, &reason, at_least).await;
            } else {
                bury(shared, lease, delivery, reason).await;
            }
        }
        Verdict::Poison(reason) => bury(shared, lease, delivery, reason).await,
    }
}

async fn retry(
    shared: &Shared,
    lease: &Lease,
    id: Uuid,
    attempt: u32,
    reason: &Reason,
    at_least: Option<std::time::Duration>,
) {
    let wait = shared.held.policy.wait_after(attempt).max(at_least.unwrap_or_default());
    tracing::info!(lane = %shared.name, %id, attempt, %reason, ?wait, "trying again");
    if let Err(error) = attempts::note(&shared.store, &shared.name, id, attempt, reason.code).await {
        // Then this attempt counts for nothing, which is the harmless direction.
        tracing::warn!(%error, "an attempt could not be counted");
    }
    settle::nak(&shared.held.nats, lease, wait).await;
}

/// Gives a message up: tells whoever waits, stores the letter, takes the message off. If any of it
/// does not work, the message stays and all of it is tried again.
async fn bury(shared: &Shared, lease: &Lease, delivery: Option<Arc<Delivery>>, reason: Reason) {
    let attempts = delivery.as_ref().map_or(0, |delivery| delivery.attempt);
    if let Some(delivery) = delivery {
        let told = Arc::clone(&shared.handler).give_up(delivery, reason.clone()).await;
        if let Err(why) = told {
            tracing::warn!(lane = %shared.name, reason = %why, "cannot give up yet");
            return settle::nak(&shared.held.nats, lease, wait_out(lease.deliveries)).await;
        }
    }
    let letter = DeadLetter {
        lane: shared.name.clone(),
        subject: lease.message.subject.to_string(),
        seq: lease.ticket.0,
        attempts,
        reason: reason.code.to_owned(),
        detail: reason.detail.clone(),
    };
    match dead::store(&shared.dead, &letter, &lease.message).await {
        Ok(()) => {
            tracing::error!(lane = %shared.name, subject = %letter.subject, seq = letter.seq, attempts, %reason, "given up: it is in the dead letters");
            metrics::counter!("maru_dead_letters_total", "lane" => shared.name.clone(), "reason" => reason.code)
                .increment(1);
            settle::term(&shared.held.nats, lease, reason.code).await;
        }
        Err(error) => {
            tracing::warn!(lane = %shared.name, %error, "a dead letter could not be stored; the message stays");
            settle::nak(&shared.held.nats, lease, wait_out(lease.deliveries)).await;
        }
    }
}
