//! From a lease to a settled message: read it, run the handler within its time, give the slot back,
//! and do to the message what the verdict says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use maru_schemas::replays::Came;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

use super::dead::bury;
use super::delivery::Delivery;
use super::lane::Shared;
use super::lease::Lease;
use super::opened::{Opened, as_job, open};
use super::policy::{LONGEST, wait_out};
use super::run::{heard_later, run};
use super::verdict::{Reason, Verdict};
use super::{attempts, back, canary, redo, settle};
use crate::spans;
use crate::topology::{COMMANDS, EVENTS};

pub(super) async fn work(shared: Arc<Shared>, lease: Lease) {
    let started = Instant::now();
    let mut opened = open(&shared, &lease).await;
    let (known, traced) = spans_of(&shared, &lease, &opened);
    let process = traced.clone();
    async {
        let verdict = match &mut opened.work {
            Ok(_) if opened.is_behind => Verdict::Poison(Reason::new(
                "behind",
                "an earlier message of its key is dead; it follows when that one is settled",
            )),
            Ok(delivery) if canary::is_canary(&delivery.envelope) => {
                Box::pin(canary::hear(
                    &shared.store,
                    &shared.clock,
                    &shared.name,
                    &delivery.envelope,
                ))
                .await
            }
            Ok(delivery) => run(&shared, &lease, delivery, opened.counted_as, opened.tried).await,
            Err(known) => known.take().unwrap_or(Verdict::Already),
        };
        // From here on the handler's work is over: the next message may begin while this one is settled.
        lease.free_slot();
        let lane = shared.name.clone();
        mark(&process, &verdict);
        tracing::debug!(verdict = verdict.label(), "worked");
        metrics::counter!("maru_lane_messages_total", "lane" => lane.clone(), "verdict" => verdict.label())
            .increment(1);
        metrics::histogram!("maru_lane_handler_seconds", "lane" => lane).record(started.elapsed());
        conclude(&shared, &lease, &opened, verdict).await;
    }
    .instrument(known)
    .instrument(traced)
    .await;
}

/// What the lines of the log about a message say of it, and its span in the trace that it belongs to. A canary
/// belongs to none.
fn spans_of(shared: &Shared, lease: &Lease, opened: &Opened) -> (Span, Span) {
    let Some(Delivery {
        subject,
        envelope,
        attempt,
        ..
    }) = opened.delivery().map(AsRef::as_ref)
    else {
        let known = tracing::info_span!("work", lane = %shared.name, seq = lease.ticket.0);
        return (known, Span::none());
    };
    let known = tracing::info_span!(
        "work",
        lane = %shared.name,
        requestId = %envelope.correlation,
        traceId = Empty,
        commandId = Empty,
        messageId = %envelope.id,
        attempt,
    );
    let traced = if canary::is_canary(envelope) {
        Span::none()
    } else {
        spans::processing(shared.stream, &shared.name, subject, envelope, *attempt)
    };
    let here = spans::of(&traced);
    let context = here.as_deref().or(envelope.traceparent.as_deref());
    if let Some(trace) = context.and_then(spans::trace_id) {
        known.record("traceId", trace);
    }
    let command = match shared.stream {
        COMMANDS => Some(envelope.id),
        EVENTS => envelope.causation,
        _ => None,
    };
    if let Some(command) = command {
        known.record("commandId", display(command));
    }
    (known, traced)
}

/// Notes in the trace what became of it.
fn mark(process: &Span, verdict: &Verdict) {
    process.record("maru.verdict", verdict.label());
    match verdict {
        Verdict::Later(reason) | Verdict::Retry { reason, .. } | Verdict::Poison(reason) => {
            spans::failed(process, reason.code);
        }
        Verdict::Done | Verdict::Already | Verdict::Snooze(..) | Verdict::Hold(_) | Verdict::Refuse(_) => {}
    }
}

// What seldom becomes of a message is boxed, so that the task of one that simply works is small.
async fn conclude(shared: &Shared, lease: &Lease, opened: &Opened, verdict: Verdict) {
    let nats = &shared.held.nats;
    let attempt = opened.delivery().map_or(0, |delivery| delivery.attempt);
    match verdict {
        Verdict::Done | Verdict::Already => finish(shared, lease, opened, None).await,
        Verdict::Refuse(reason) => {
            tracing::info!(lane = %shared.name, %reason, "refused");
            finish(shared, lease, opened, Some(&reason)).await;
        }
        Verdict::Snooze(wait, reason) => {
            tracing::debug!(lane = %shared.name, %reason, "not now");
            opened.keep_place(shared).await;
            settle::nak(nats, lease, wait).await;
        }
        Verdict::Later(reason) => {
            tracing::warn!(lane = %shared.name, %reason, "waiting until the house is in order");
            opened.keep_place(shared).await;
            settle::nak(nats, lease, wait_out(lease.deliveries)).await;
        }
        // A letter has its own place to wait, where people see it.
        Verdict::Hold(reason) if opened.letter.is_some() => Box::pin(give_up(shared, lease, opened, &reason)).await,
        Verdict::Hold(reason) => {
            tracing::info!(lane = %shared.name, %reason, "waits aside");
            Box::pin(back::hold(shared, lease)).await;
        }
        Verdict::Retry { reason, at_least } => {
            if attempt > 0 && attempt <= shared.held.policy.retries {
                Box::pin(retry(shared, lease, opened, attempt, &reason, at_least)).await;
            } else {
                Box::pin(give_up(shared, lease, opened, &reason)).await;
            }
        }
        Verdict::Poison(reason) => Box::pin(give_up(shared, lease, opened, &reason)).await,
    }
}

/// It took effect, or was answered.
async fn finish(shared: &Shared, lease: &Lease, opened: &Opened, refused: Option<&Reason>) {
    let finished = match &opened.letter {
        Some(found) => Box::pin(redo::resolve(shared, opened, found, refused)).await,
        None if opened.is_awaited && opened.delivery().is_some() => Box::pin(opened.let_pass(shared)).await,
        None => Ok(()),
    };
    let noted = match finished {
        Ok(()) => opened.note(shared, opened.came_now(refused.is_some())).await,
        not_finished => not_finished,
    };
    match noted {
        Ok(()) => settle::ack(&shared.held.nats, lease).await,
        Err(why) => not_yet(shared, lease, &why).await,
    }
}

async fn retry(
    shared: &Shared,
    lease: &Lease,
    opened: &Opened,
    attempt: u32,
    reason: &Reason,
    at_least: Option<Duration>,
) {
    let wait = shared.held.policy.wait_after(attempt).max(at_least.unwrap_or_default());
    tracing::info!(lane = %shared.name, id = %opened.id, attempt, %reason, ?wait, "trying again");
    // Stored first, counted and settled then: a crash in between finds the schedule.
    let is_long = wait > LONGEST.mul_f64(1.25) && shared.held.policy.longest_retry > LONGEST;
    let job = opened.delivery().filter(|_| is_long && opened.letter.is_none());
    let job = job.and_then(|delivery| Some((as_job(&delivery.subject)?.0, delivery)));
    if let Some((kind, delivery)) = job
        && let Err(error) = shared.schedules.job(kind, delivery, attempt, wait).await
    {
        tracing::warn!(lane = %shared.name, %error, "a job could not be put off; it comes again soon");
        return settle::nak(&shared.held.nats, lease, wait_out(lease.deliveries)).await;
    }
    let noted = attempts::note(
        &shared.store,
        &shared.name,
        opened.counted_as,
        attempt,
        reason.code,
        wait,
    );
    if let Err(error) = noted.await {
        // Then this attempt counts for nothing, which is the harmless direction; but it was heard of.
        tracing::warn!(%error, "an attempt could not be counted");
        tokio::spawn(heard_later(
            shared.store.clone(),
            shared.name.clone(),
            opened.counted_as,
        ));
    }
    opened.keep_place(shared).await;
    if job.is_some() {
        settle::ack(&shared.held.nats, lease).await;
    } else {
        settle::nak(&shared.held.nats, lease, wait).await;
    }
}

/// Gives a message up, for the first time or again. If any of it does not work, the message stays and all
/// of it is tried again.
async fn give_up(shared: &Shared, lease: &Lease, opened: &Opened, reason: &Reason) {
    let given_up = match &opened.letter {
        Some(found) => redo::fail_again(shared, opened, found, reason).await,
        None => bury(shared, lease, opened, reason).await,
    };
    let noted = match given_up {
        // What waits behind another one is not given up for good.
        Ok(()) if opened.is_behind => Ok(()),
        Ok(()) => opened.note(shared, Some(Came::Dead)).await,
        not_given_up => not_given_up,
    };
    match noted {
        Ok(()) => settle::term(&shared.held.nats, lease, reason.code).await,
        Err(why) => not_yet(shared, lease, &why).await,
    }
}

async fn not_yet(shared: &Shared, lease: &Lease, why: &Reason) {
    tracing::warn!(lane = %shared.name, reason = %why, "cannot be settled yet; it will come again");
    settle::nak(&shared.held.nats, lease, wait_out(lease.deliveries)).await;
}
