//! A dead letter comes back to its lane: operators decided that it be replayed, or discarded. The message in
//! `redo.<lane>.…` only points; what is to be done stands in the letter.
//!
//! Everything here may happen twice, and a crash may come anywhere: the letter says how far it got.

use std::sync::Arc;
use std::time::Duration;

use maru_schemas::envelope::Envelope;
use maru_schemas::ids;
use maru_schemas::letters::{State, What};

use super::attempts::{self, Tried};
use super::before;
use super::dead::away;
use super::delivery::Delivery;
use super::lane::Shared;
use super::lease::Lease;
use super::opened::{Opened, place};
use super::verdict::{Reason, Verdict};
use crate::batches::batch_of;
use crate::letters::{Found, came_in};
use crate::subject::Subject;

/// How soon a letter is read again that is older than its pointer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Takes up what a pointer points to.
pub(super) async fn open(shared: &Shared, lease: &Lease) -> Result<Opened, Verdict> {
    let Some(Subject::Redo { id, .. }) = Subject::parse(&lease.message.subject) else {
        return Err(Verdict::Poison(Reason::new(
            "undecodable",
            "not a pointer to a dead letter",
        )));
    };
    let found = shared.letters.newest(&shared.name, id).await.map_err(Verdict::later)?;
    let Some(found) = found else {
        return Err(Verdict::Already);
    };
    let letter = &found.letter;
    let batch = batch_of(lease.message.headers.as_ref());
    let opened = Opened {
        place: place(shared, letter.key, letter.seq, id),
        is_awaited: true,
        batch,
        came: came_in(letter, batch),
        ..Opened::settled(id, Verdict::Already)
    };
    match letter.state {
        State::Resolved | State::Discarded => {
            tidy(shared, &opened).await.map_err(Verdict::Later)?;
            return Ok(opened);
        }
        // Letter and pointer were stored together, one after the other: this pointer means the letter as it
        // stands, or an earlier replay that has come to its end.
        State::Replaying if found.seq + 1 == lease.ticket.0 => {}
        // Not even the letter that this pointer came with was seen.
        State::Replaying | State::Dead | State::Behind if found.seq + 1 < lease.ticket.0 => {
            return Err(Verdict::Snooze(
                LOOK_AGAIN,
                Reason::new("letter_too_old", "whoever was asked does not know the newest yet"),
            ));
        }
        State::Replaying | State::Dead | State::Behind => return Ok(opened),
    }
    let counted_as = ids::derive(id, &format!("redo/{}", letter.replays));
    let tried = if before::comes_again(shared, lease, counted_as).await? {
        attempts::tried(&shared.store, &shared.name, counted_as, lease.deliveries)
            .await
            .map_err(Verdict::later)?
    } else {
        Tried::default()
    };
    let work = match read(shared, &found, tried.failures + 1).await {
        Ok(delivery) => Ok(Arc::new(delivery)),
        Err(Verdict::Later(reason)) => return Err(Verdict::Later(reason)),
        Err(verdict) => Err(Some(verdict)),
    };
    Ok(Opened {
        work,
        counted_as,
        tried,
        letter: Some(found),
        ..opened
    })
}

/// The message as it was, read by this build.
async fn read(shared: &Shared, found: &Found, attempt: u32) -> Result<Delivery, Verdict> {
    let letter = &found.letter;
    let envelope = Envelope::read(|name| letter.headers.get(name).map(String::as_str))
        .map_err(|error| Verdict::Poison(Reason::from_error("undecodable", &error)))?;
    let body = shared.letters.body(letter).await.map_err(Verdict::later)?;
    let body = body.ok_or_else(|| {
        Verdict::Poison(Reason::new(
            "body_is_gone",
            "neither the database nor COMMANDS has its body any more; discard it",
        ))
    })?;
    Ok(Delivery {
        subject: letter.subject.clone(),
        envelope,
        body,
        seq: letter.seq,
        attempt,
        // It was given up in the batch that it came with; a replay is another one.
        batch: None,
    })
}

/// The replay went through.
pub(super) async fn resolve(
    shared: &Shared,
    opened: &Opened,
    found: &Found,
    refused: Option<&Reason>,
) -> Result<(), Reason> {
    let attempts = opened.delivery().map_or(0, |delivery| delivery.attempt);
    let went_through = Reason::new("done", "it took effect");
    let entry = shared
        .letters
        .found_out(What::Resolved, refused.unwrap_or(&went_through), attempts);
    let is_ours = shared.letters.append(found, State::Resolved, entry).await;
    if !is_ours.map_err(away)? {
        // Another run of the same replay was quicker, and its word counts. The rest is the same only if it
        // closed the letter, too.
        let newest = shared.letters.newest(&shared.name, opened.id).await.map_err(away)?;
        if newest.is_some_and(|newest| newest.letter.state.is_open()) {
            return Err(Reason::new("somebody_else", "another run brought it to another end"));
        }
    }
    tracing::info!(lane = %shared.name, letter = found.letter.number, "a replayed dead letter is resolved");
    tidy(shared, opened).await
}

/// The replay came to nothing either: the letter stays, with one more line in its history.
pub(super) async fn fail_again(shared: &Shared, opened: &Opened, found: &Found, reason: &Reason) -> Result<(), Reason> {
    let attempts = opened.delivery().map_or(0, |delivery| delivery.attempt);
    if let Some(delivery) = opened.delivery() {
        // Whoever waits was told when it died, unless it could not even be read then. Being told twice is once.
        let told = Arc::clone(&shared.handler).give_up(Arc::clone(delivery), reason.clone());
        told.await?;
    }
    let entry = shared.letters.found_out(What::FailedAgain, reason, attempts);
    shared.letters.append(found, State::Dead, entry).await.map_err(away)?;
    tracing::error!(lane = %shared.name, letter = found.letter.number, attempts, %reason, "a replayed dead letter failed again");
    Ok(())
}

/// What follows from a letter that is closed.
async fn tidy(shared: &Shared, opened: &Opened) -> Result<(), Reason> {
    let forgotten = shared.letters.forget_body(&shared.name, opened.id).await;
    forgotten.map_err(away)?;
    // A command that is sent once more under its old id begins anew.
    let forgotten = attempts::forget(&shared.store, &shared.name, opened.id).await;
    forgotten.map_err(away)?;
    opened.let_pass(shared).await
}
