//! A message that is taken up: what it says, whether it comes from its stream or from the dead letters, and
//! whether it is its turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use maru_schemas::letters::{Letter, State};
use maru_schemas::replays::Came;
use uuid::Uuid;

use super::attempts::Tried;
use super::dead::{away, letter_id};
use super::delivery::Delivery;
use super::lane::Shared;
use super::lease::Lease;
use super::policy::{LONGEST, wait_out};
use super::verdict::{Reason, Verdict};
use super::{attempts, back, before, redo};
use crate::batches::batch_of;
use crate::headers;
use crate::letters::Found;
use crate::letters::parked::{Foremost, Place};
use crate::subject::Subject;
use crate::topology::{COMMANDS, EVENTS};

/// How long a message looks again after an earlier one of its key that is retrying.
const TURN: Duration = Duration::from_millis(500);
/// The longest wait before a message that is held is looked up again, and how long it is held at the most.
const LONGEST_LOOK: Duration = Duration::from_secs(4);
const HELD: Duration = Duration::from_secs(120);

/// A message that is taken up.
pub(super) struct Opened {
    /// What is to be handled, or a fate that is known without.
    pub(super) work: Result<Arc<Delivery>, Option<Verdict>>,
    /// Which message it is.
    pub(super) id: Uuid,
    /// Under what its attempts are counted: each replay begins anew.
    pub(super) counted_as: Uuid,
    /// What is known of its runs so far.
    pub(super) tried: Tried,
    /// Its place in the order of its key, in a lane that keeps order.
    pub(super) place: Option<Place>,
    /// Whether later ones wait for it.
    pub(super) is_awaited: bool,
    /// Whether an earlier one of its key is dead.
    pub(super) is_behind: bool,
    /// The letter it comes from.
    pub(super) letter: Option<Found>,
    /// The batch in which it is taken up.
    pub(super) batch: Option<Uuid>,
    /// What came of it earlier, as far as its batch goes.
    pub(super) came: Option<Came>,
}

impl Opened {
    /// With nothing to handle.
    pub(super) fn settled(id: Uuid, verdict: Verdict) -> Self {
        Self {
            work: Err(Some(verdict)),
            id,
            counted_as: id,
            tried: Tried::default(),
            place: None,
            is_awaited: false,
            is_behind: false,
            letter: None,
            batch: None,
            came: None,
        }
    }

    /// What is handled, if something is.
    pub(super) fn delivery(&self) -> Option<&Arc<Delivery>> {
        self.work.as_ref().ok()
    }

    /// What comes of it now that it is finished: what it came to earlier, if there was nothing to handle.
    pub(super) fn came_now(&self, is_refused: bool) -> Option<Came> {
        match (&self.work, is_refused) {
            (Err(_), _) => self.came,
            (Ok(_), true) => Some(Came::Refused),
            (Ok(_), false) => Some(Came::Done),
        }
    }

    /// Has its batch know what came of it; nothing if it belongs to none.
    pub(super) async fn note(&self, shared: &Shared, came: Option<Came>) -> Result<(), Reason> {
        let (Some(batch), Some(came)) = (self.batch, came) else {
            return Ok(());
        };
        let noted = shared.letters.batches().note(batch, &shared.name, self.id, came);
        Box::pin(noted).await.map_err(away)
    }

    /// The later ones of its key need not wait for it any more; the next of them is released.
    pub(super) async fn let_pass(&self, shared: &Shared) -> Result<(), Reason> {
        if let Some(place) = &self.place {
            place.leave(&shared.store).await.map_err(away)?;
        }
        self.move_up(shared).await
    }

    /// Has the later ones of its key wait for it while it waits itself. One that is a letter has its place.
    pub(super) async fn keep_place(&self, shared: &Shared) {
        if let Some(place) = self
            .place
            .as_ref()
            .filter(|_| self.letter.is_none() && self.delivery().is_some())
            && let Err(error) = place.take(&shared.store, true).await
        {
            // The later ones cannot look whether it is their turn either, as long as the database is away.
            tracing::warn!(%error, "later messages of its key may overtake it");
        }
    }

    /// Releases whatever is first of its key, if that is a letter that only waited.
    pub(super) async fn move_up(&self, shared: &Shared) -> Result<(), Reason> {
        let Some(place) = &self.place else { return Ok(()) };
        if let Some(Foremost::Letter(found)) = shared.letters.foremost(place).await.map_err(away)? {
            shared.letters.release(&found, self.batch).await.map_err(away)?;
        }
        Ok(())
    }
}

/// Takes a message up. In a lane that keeps order it is held here while the house is out of order: what it is cannot be
/// looked up then, and no row can be written for later ones to wait behind. Not for ever: perhaps this process alone cannot
/// reach the database, and another one can.
pub(super) async fn open(shared: &Shared, lease: &Lease) -> Opened {
    let id = letter_id(&lease.message, lease.ticket.0);
    let (begun, mut looks) = (Instant::now(), 0);
    loop {
        let opened = if lease.message.subject.starts_with("redo.") {
            Box::pin(redo::open(shared, lease)).await
        } else {
            from_stream(shared, lease, id).await
        };
        let verdict = match opened {
            Ok(opened) => return opened,
            // It has not run yet: nothing of it has failed, and nobody could be told of its end.
            Err(Verdict::Retry { reason, .. }) => Verdict::Later(reason),
            Err(verdict) => verdict,
        };
        if let Verdict::Later(reason) = &verdict
            && shared.stream == EVENTS
            && begun.elapsed() < HELD
        {
            tracing::warn!(lane = %shared.name, %reason, "waiting until the house is in order");
            metrics::counter!("maru_lane_messages_total", "lane" => shared.name.clone(), "verdict" => verdict.label())
                .increment(1);
            looks += 1;
            tokio::select! {
                () = tokio::time::sleep(wait_out(looks).min(LONGEST_LOOK)) => continue,
                () = lease.closing() => {}
            }
        }
        return Opened {
            batch: batch_of(lease.message.headers.as_ref()),
            ..Opened::settled(id, verdict)
        };
    }
}

// What only happens to what comes again is boxed: most messages are new, and a task is copied as often as it is handed
// on, with room for all that it might ever do.
async fn from_stream(shared: &Shared, lease: &Lease, id: Uuid) -> Result<Opened, Verdict> {
    let batch = batch_of(lease.message.headers.as_ref());
    // Only what comes again can have become a letter before; then nothing but a replay may run it.
    let comes_again = before::comes_again(shared, lease, id).await?;
    let letter = match comes_again {
        true => Box::pin(shared.letters.newest(&shared.name, id))
            .await
            .map_err(Verdict::later)?,
        false => None,
    };
    if let Some(found) = letter.filter(|found| is_about_this(shared, &found.letter, lease.ticket.0)) {
        let opened = Opened {
            place: place(shared, found.letter.key, lease.ticket.0, id),
            batch,
            came: (found.letter.state != State::Behind).then_some(Came::Dead),
            ..Opened::settled(id, Verdict::Already)
        };
        if found.letter.state == State::Behind {
            Box::pin(opened.move_up(shared)).await.map_err(Verdict::Later)?;
        }
        return Ok(opened);
    }
    let envelope = headers::envelope(lease.message.headers.as_ref())
        .map_err(|error| Verdict::Poison(Reason::from_error("undecodable", &error)))?;
    let (kind, before) = as_job(&lease.message.subject).unwrap_or_default();
    let has_moved = async || Box::pin(back::has_moved(shared, lease, kind, id)).await;
    if comes_again && has_moved().await.map_err(Verdict::later)? {
        return Err(Verdict::Already);
    }
    if comes_again && shared.held.policy.longest_retry > LONGEST {
        let waiting = Box::pin(shared.schedules.waiting(kind, id)).await;
        // Whoever had it before us died between storing its schedule and settling it.
        if waiting
            .map_err(Verdict::later)?
            .is_some_and(|failures| failures > before)
        {
            return Err(Verdict::Already);
        }
    }
    // The first delivery is the first attempt; only a later one has anything to look up.
    let tried = if comes_again || before > 0 {
        attempts::tried(&shared.store, &shared.name, id, lease.deliveries)
            .await
            .map_err(Verdict::later)?
    } else {
        Tried::default()
    };
    // Where it came to lie later (at the back, out of a schedule) it has waited elsewhere.
    if let Some(early) = tried.is_early_by()
        && before == 0
        && !lease.message.subject.starts_with("late.")
    {
        let why = "the server forgot how long it was to wait";
        return Err(Verdict::Snooze(early, Reason::new("not_due", why)));
    }
    let tried = tried.at_least(before);
    let place = place(shared, Some(envelope.subject), lease.ticket.0, id);
    let (is_awaited, is_behind) = match &place {
        Some(place) => match place.first(&shared.store).await.map_err(Verdict::later)? {
            Some(first) if first.seq < place.seq && first.is_retrying => {
                // It looks again at a moment of its own, and whoever is behind it must not look first.
                place.wait(&shared.store).await.map_err(Verdict::later)?;
                return Err(Verdict::Snooze(
                    TURN,
                    Reason::new("not_its_turn", "an earlier message of its key is retrying"),
                ));
            }
            Some(first) => (first.seq == place.seq, first.seq < place.seq),
            None => (false, false),
        },
        None => (false, false),
    };
    Ok(Opened {
        work: Ok(Arc::new(Delivery {
            subject: lease.message.subject.to_string(),
            envelope,
            body: lease.message.payload.clone(),
            seq: lease.ticket.0,
            attempt: tried.failures + 1,
            batch,
        })),
        id,
        counted_as: id,
        tried,
        place,
        is_awaited,
        is_behind,
        letter: None,
        batch,
        came: None,
    })
}

/// A command that was given up, closed, and has left its stream may be sent once more under its old id. That one is
/// another message, and no letter is about it.
fn is_about_this(shared: &Shared, letter: &Letter, seq: u64) -> bool {
    shared.stream != COMMANDS || letter.state.is_open() || letter.seq >= seq
}

/// A job's kind, and how often it had failed when it came to lie where it lies.
pub(super) fn as_job(subject: &str) -> Option<(&str, u32)> {
    match Subject::parse(subject)? {
        Subject::Job { kind, .. } => Some((kind, 0)),
        Subject::JobAgain { kind, failures, .. } => Some((kind, failures)),
        _ => None,
    }
}

/// Lanes on EVENTS keep order: what happened to one thing is reacted to in turn.
pub(super) fn place(shared: &Shared, key: Option<Uuid>, seq: u64, message: Uuid) -> Option<Place> {
    let key = key.filter(|_| shared.stream == EVENTS)?;
    Some(Place {
        lane: shared.name.clone(),
        key,
        seq,
        message,
    })
}
