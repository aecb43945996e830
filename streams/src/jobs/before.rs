//! What a lane may know of a message from before. A message that is delivered for the first time needs no looking
//! up, and most are. But the server forgets how often it delivered: when it dies, what it did in its last moments;
//! with a consumer that is made anew, or comes out of a backup, all of it. Each time a lane must begin to listen
//! anew. So what was stored after that moment is new if it is delivered for the first time, and what was stored
//! before may have been here, whatever the server says.
//!
//! Looking each of those up would make a long queue slow. Instead it is asked once of what messages anything is
//! known: letters, waits, places, attempts. Of a message that took box and server down with it nothing is, but it
//! was running then, so it is among the first that come again, as many as may be held; these are treated as if they
//! had been here.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::attempts;
use super::lane::Shared;
use super::lease::Lease;
use super::policy::LONGEST;
use super::session::SessionError;
use super::verdict::Verdict;
use crate::topology::{DEAD, JOBS, SCHEDULES, TopologyError};

/// What was there when a lane began to listen to one of its consumers.
pub(super) struct Before(Mutex<Arc<Backlog>>);

struct Backlog {
    /// The newest sequence of the stream at that moment.
    newest: u64,
    /// How many of the first are still to come.
    first: AtomicUsize,
    /// The consumer's own count of its deliveries, as of the last one.
    heard: AtomicU64,
    known: OnceCell<HashSet<Uuid>>,
}

impl Backlog {
    fn new(newest: u64, first: usize) -> Arc<Self> {
        Arc::new(Self {
            newest,
            first: AtomicUsize::new(first),
            heard: AtomicU64::new(0),
            known: OnceCell::new(),
        })
    }

    fn is_among_the_first(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        let taken = self.first.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.is_ok()
    }
}

impl Default for Before {
    fn default() -> Self {
        Self(Mutex::new(Backlog::new(u64::MAX, usize::MAX)))
    }
}

/// A lane begins to listen to a consumer: what the stream holds by now may have been here before.
pub(super) async fn begin(shared: &Shared, source: usize) -> Result<(), SessionError> {
    let stream = shared.held.nats.jetstream().get_stream(shared.sources[source].stream);
    let stream = stream.await.map_err(|error| SessionError::Begin(error.to_string()))?;
    let newest = stream.cached_info().state.last_sequence;
    let backlog = Backlog::new(newest, shared.held.most());
    *shared.before[source].0.lock().unwrap_or_else(PoisonError::into_inner) = backlog;
    Ok(())
}

/// The consumer's own count of its deliveries says how manieth this one is. It grows; if it does not,
/// the consumer was made anew, and a lane that asked for nothing at that moment was not told.
pub(super) fn hear(shared: &Shared, source: usize, nth: u64) {
    let mut backlog = shared.before[source].0.lock().unwrap_or_else(PoisonError::into_inner);
    if backlog.heard.swap(nth, Ordering::AcqRel) >= nth {
        *backlog = Backlog::new(u64::MAX, shared.held.most());
        backlog.heard.store(nth, Ordering::Release);
    }
}

/// Whatever comes until the lane begins anew may have been here: its listening was broken off, perhaps because the
/// server died.
pub(super) fn doubt(shared: &Shared, source: usize) {
    let backlog = Backlog::new(u64::MAX, shared.held.most());
    *shared.before[source].0.lock().unwrap_or_else(PoisonError::into_inner) = backlog;
}

/// Whether something may be known of a message from before: it was delivered before, or waited elsewhere, or may
/// have been. `id`: under which its attempts are counted.
pub(super) async fn comes_again(shared: &Shared, lease: &Lease, id: Uuid) -> Result<bool, Verdict> {
    if lease.deliveries > 1 || lease.message.subject.starts_with("late.") {
        return Ok(true);
    }
    let backlog = {
        let backlog = shared.before[lease.source].0.lock();
        Arc::clone(&backlog.unwrap_or_else(PoisonError::into_inner))
    };
    if lease.ticket.0 > backlog.newest {
        return Ok(false);
    }
    if backlog.is_among_the_first() {
        return Ok(true);
    }
    let known = Box::pin(backlog.known.get_or_try_init(|| known(shared))).await?;
    Ok(known.contains(&id))
}

/// The messages of a lane of which anything is known.
async fn known(shared: &Shared) -> Result<HashSet<Uuid>, Verdict> {
    let attempts = attempts::all(&shared.store, &shared.name).await;
    let mut known: HashSet<Uuid> = attempts.map_err(Verdict::later)?.into_iter().collect();
    let policy = &shared.held.policy;
    let mut places = vec![(DEAD, format!("dead.{}.>", shared.name))];
    let own = shared.sources[0].filters.iter();
    for kind in own.filter_map(|filter| filter.strip_prefix("job.")) {
        if policy.longest_retry > LONGEST {
            places.push((SCHEDULES, format!("sched.job.{kind}")));
        }
        if policy.fair || policy.metered {
            places.push((JOBS, format!("late.{kind}")));
        }
        if policy.metered {
            places.push((JOBS, format!("held.{kind}")));
        }
    }
    for (stream, filter) in places {
        under(shared, stream, &filter, &mut known)
            .await
            .map_err(Verdict::later)?;
    }
    Ok(known)
}

/// The messages that lie under such subjects: each names its own in one of its parts.
async fn under(shared: &Shared, stream: &str, filter: &str, known: &mut HashSet<Uuid>) -> Result<(), TopologyError> {
    let failed = |why: &dyn std::fmt::Display| TopologyError::new(format!("see what lies under {filter}"), why);
    let js = shared.held.nats.jetstream();
    let stream = js.get_stream_no_info(stream).await.map_err(|error| failed(&error))?;
    let subjects = stream.info_with_subjects(filter).await;
    let mut subjects = subjects.map_err(|error| failed(&error))?;
    while let Some((subject, _)) = subjects.try_next().await.map_err(|error| failed(&error))? {
        known.extend(subject.split('.').filter_map(|part| Uuid::parse_str(part).ok()));
    }
    Ok(())
}
