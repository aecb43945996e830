//! Giving a message up. Whoever waits is told, what a replay needs is kept, the letter is stored and
//! confirmed; then the message is taken off. A crash in between finds all of it there already.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::HeaderMap;
use maru_schemas::letters::{Letter, State, What};
use maru_schemas::words;
use uuid::Uuid;

use super::lane::Shared;
use super::lease::Lease;
use super::opened::Opened;
use super::verdict::Reason;
use crate::batches::BATCH;
use crate::headers;
use crate::topology::COMMANDS;

/// What a letter keeps of its message's headers. Headers of the server are left out, and so is the subject
/// on which somebody waited.
const KEPT: &[&str] = &[
    "ce-id",
    "ce-type",
    "ce-source",
    "ce-time",
    "ce-subject",
    "maru-actor",
    "maru-correlation",
    "maru-causation",
    "maru-version",
    "maru-owner",
    "maru-fingerprint",
    "traceparent",
    "content-type",
    BATCH,
];

/// The headers that go with a message wherever it is taken.
pub(crate) fn carried(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let header = |name: &&'static str| Some((*name, headers.get(*name)?.as_str().to_owned()));
    KEPT.iter().filter_map(header).collect()
}

/// The id under which a message becomes a letter. One that was not ours has none; where it lies is as unique.
pub(super) fn letter_id(message: &async_nats::Message, seq: u64) -> Uuid {
    header(message, "ce-id")
        .and_then(|id| Uuid::parse_str(id).ok())
        .unwrap_or_else(|| maru_schemas::ids::named("dead", &format!("{}/{seq}", message.subject)))
}

fn header<'a>(message: &'a async_nats::Message, name: &str) -> Option<&'a str> {
    headers::header(message.headers.as_ref()?, name)
}

/// Gives a message up for good.
///
/// # Errors
/// Why not yet: then the message stays, and all of it is tried again.
pub(super) async fn bury(shared: &Shared, lease: &Lease, opened: &Opened, reason: &Reason) -> Result<(), Reason> {
    let is_behind = opened.is_behind;
    if let Some(delivery) = opened.delivery()
        && !is_behind
    {
        let told = Arc::clone(&shared.handler).give_up(Arc::clone(delivery), reason.clone());
        told.await?;
    }
    if let Some(place) = &opened.place {
        if is_behind && !place.follow(&shared.store).await.map_err(away)? {
            // It runs when it comes again; the later ones wait for that.
            place.take(&shared.store, true).await.map_err(away)?;
            return Err(Reason::new("nobody_before", "what it was to wait for is settled"));
        }
        if !is_behind {
            place.take(&shared.store, false).await.map_err(away)?;
        }
    }
    let letter = letter(shared, lease, opened, reason).await?;
    shared.letters.store(&letter).await.map_err(away)?;
    if is_behind {
        // What it waits for may have gone before the letter was there to be found.
        opened.move_up(shared).await?;
        tracing::warn!(lane = %shared.name, id = %letter.message, "waits behind an earlier message of its key, which is dead");
    } else {
        tracing::error!(lane = %shared.name, subject = %letter.subject, seq = letter.seq, attempts = letter.attempts, %reason, "given up: it is in the dead letters");
    }
    metrics::counter!("maru_dead_letters_total", "lane" => shared.name.clone(), "reason" => reason.code).increment(1);
    Ok(())
}

/// The letter as it is first stored. Commands may hold what people typed: their letter hides it, and the
/// whole body is kept in the database for as long as somebody may want to replay it.
async fn letter(shared: &Shared, lease: &Lease, opened: &Opened, reason: &Reason) -> Result<Letter, Reason> {
    let message = &lease.message;
    let is_redacted = shared.stream == COMMANDS;
    let kind = header(message, "ce-type").unwrap_or_default().to_owned();
    let whole = String::from_utf8_lossy(&message.payload);
    if is_redacted {
        let kept = shared.letters.keep_body(&shared.name, opened.id, &whole).await;
        kept.map_err(away)?;
    }
    let attempts = opened.delivery().map_or(0, |delivery| delivery.attempt);
    let what = if opened.is_behind { What::Parked } else { What::Died };
    let entry = shared.letters.found_out(what, reason, attempts);
    let headers: BTreeMap<String, String> = KEPT
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), header(message, name)?.to_owned())))
        .collect();
    Ok(Letter {
        number: 0,
        lane: shared.name.clone(),
        message: opened.id,
        key: header(message, "ce-subject").and_then(|key| Uuid::parse_str(key).ok()),
        state: if opened.is_behind { State::Behind } else { State::Dead },
        reason: reason.code.to_owned(),
        detail: reason.detail.clone(),
        attempts,
        died_at: entry.at,
        replays: 0,
        subject: message.subject.to_string(),
        seq: lease.ticket.0,
        headers,
        body: if is_redacted {
            words::hide(&kind, &message.payload)
        } else {
            whole.into_owned()
        },
        is_redacted,
        kind,
        history: vec![entry],
    })
}

/// Something that giving up needs is away.
pub(super) fn away(error: impl std::error::Error) -> Reason {
    Reason::from_error("house_out_of_order", &error)
}
