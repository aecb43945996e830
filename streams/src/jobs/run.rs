//! One run of a handler: only if the breaker lets it, in company or alone, within its time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};
use uuid::Uuid;

use super::attempts::{self, Tried};
use super::breaker::{Breaker, Room, Said};
use super::delivery::Delivery;
use super::gate::{self, Gate};
use super::lane::Shared;
use super::lease::Lease;
use super::verdict::{Reason, Verdict};
use crate::store::Store;

/// How long one waits for somebody else to be through.
const A_MOMENT: Duration = Duration::from_secs(1);

/// How long a suspect waits until nobody else runs, and how long it then leaves the others in peace. While it
/// waits nobody else begins, so it must not be long; while stories are written, it may take a few tries.
const ALONE_WITHIN: Duration = Duration::from_secs(10);
const ALONE_AGAIN: Duration = Duration::from_secs(30);

/// How often a run that was heard of, but could not be noted, is noted again.
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// Runs the handler, or says why not now. Through the breaker, a place in the cluster, the company of others
/// and the gate, in this order: whoever is not let through pays for nothing.
pub(super) async fn run(
    shared: &Shared,
    lease: &Lease,
    delivery: &Arc<Delivery>,
    counted_as: Uuid,
    tried: Tried,
) -> Verdict {
    if tried.is_culprit() {
        return Verdict::Poison(Reason::new(
            "ended_its_process",
            "each run ended the whole process, the last one with nobody else running in it",
        ));
    }
    let policy = &shared.held.policy;
    let mut hearing = match shared.held.breaker.enter(Instant::now()) {
        Room::All => Hearing::new(shared, false),
        Room::Probe => {
            metrics::gauge!("maru_lane_breaker", "lane" => shared.name.clone()).set(1.0);
            Hearing::new(shared, true)
        }
        Room::None(until) => return not_now("breaker_open", until.saturating_duration_since(Instant::now())),
        Room::AwaitsProbe => return not_now("breaker_open", A_MOMENT),
    };
    let _place = match policy.across {
        None => None,
        Some(across) => match Box::pin(gate::place(&shared.places, &shared.name, across, lease.closing())).await {
            Ok(Some(place)) => Some(place),
            Ok(None) => return not_now("all_places_taken", A_MOMENT),
            Err(error) => return Verdict::later(error),
        },
    };
    let Some(_company) = company(shared, tried).await else {
        return not_now("others_run", ALONE_AGAIN);
    };
    if let Err(verdict) = pass(shared, lease, delivery).await {
        return verdict;
    }
    let verdict = begin(shared, lease, delivery, counted_as, tried).await;
    hearing.said = match verdict {
        Verdict::Done | Verdict::Already | Verdict::Refuse(_) => Said::Well,
        Verdict::Retry { .. } => Said::Failed,
        Verdict::Snooze(..) | Verdict::Later(_) | Verdict::Hold(_) | Verdict::Poison(_) => Said::Nothing,
    };
    verdict
}

/// The company in which a handler runs: that of all others, or nobody's.
enum Company<'a> {
    Others { _read: RwLockReadGuard<'a, ()> },
    Nobody { _write: RwLockWriteGuard<'a, ()> },
}

/// None if others run for too long to be waited for.
async fn company(shared: &Shared, tried: Tried) -> Option<Company<'_>> {
    if !tried.is_suspect() {
        let _read = shared.company.read().await;
        return Some(Company::Others { _read });
    }
    let alone = tokio::time::timeout(ALONE_WITHIN, shared.company.write()).await;
    alone.ok().map(|_write| Company::Nobody { _write })
}

/// Pays for the run. A wait for the rate is waited out here, in the slot: what else there is of the lane would
/// have to wait as long.
async fn pass(shared: &Shared, lease: &Lease, delivery: &Delivery) -> Result<(), Verdict> {
    let policy = &shared.held.policy;
    let member = delivery.envelope.owner.map(|owner| owner.0);
    let until = Instant::now() + gate::PATIENCE;
    loop {
        match gate::pass(&shared.store, &shared.name, member, policy.rate, policy.metered).await {
            Ok(Gate::Open) => return Ok(()),
            Ok(Gate::Wait(wait)) if Instant::now() + wait < until => {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = lease.closing() => return Err(not_now("rate_reached", wait)),
                }
            }
            Ok(Gate::Wait(wait)) => return Err(not_now("rate_reached", wait)),
            Ok(Gate::Spent) => {
                let reason = Reason::new("budget_spent", "the member has nothing left to spend");
                return Err(Verdict::Hold(reason));
            }
            Err(error) => return Err(Verdict::later(error)),
        }
    }
}

fn not_now(code: &'static str, wait: Duration) -> Verdict {
    let wait = wait.mul_f64(1.0 + rand::random_range(0.0..0.1));
    Verdict::Snooze(wait, Reason::new(code, "it waits, and counts as no attempt"))
}

/// The run itself. Of a message that comes again it is written down before it begins, and taken back when it
/// is heard of.
async fn begin(shared: &Shared, lease: &Lease, delivery: &Arc<Delivery>, counted_as: Uuid, tried: Tried) -> Verdict {
    if !tried.comes_again {
        lease.begins();
        return handle(shared, delivery).await;
    }
    if tried.is_suspect() {
        tracing::warn!(lane = %shared.name, id = %counted_as, "began again and again and was never heard of: it runs alone now");
        metrics::counter!("maru_lane_quarantined_total", "lane" => shared.name.clone()).increment(1);
    }
    if let Err(error) = attempts::begin(&shared.store, &shared.name, counted_as, tried).await {
        return Verdict::later(error);
    }
    let unheard = Unheard {
        shared,
        id: Some(counted_as),
    };
    lease.begins();
    let verdict = handle(shared, delivery).await;
    unheard.heard(&verdict).await;
    verdict
}

/// A run of which nothing was heard so far. One that is broken off by a stop is heard of, too: it did nothing
/// wrong.
struct Unheard<'a> {
    shared: &'a Shared,
    id: Option<Uuid>,
}

impl Unheard<'_> {
    async fn heard(mut self, verdict: &Verdict) {
        let Some(id) = self.id.take() else { return };
        // Noting a failure says the same in passing.
        if !matches!(verdict, Verdict::Retry { .. })
            && let Err(error) = attempts::heard(&self.shared.store, &self.shared.name, id).await
        {
            tracing::warn!(%error, "a run that was heard of could not be noted");
            // Otherwise a database that goes away often enough would make a culprit of who did nothing wrong.
            tokio::spawn(heard_later(self.shared.store.clone(), self.shared.name.clone(), id));
        }
    }
}

/// Notes a run that was heard of when the database is there again, if this process lives to see it.
pub(super) async fn heard_later(store: Store, lane: String, id: Uuid) {
    loop {
        tokio::time::sleep(HEARD_EVERY).await;
        if attempts::heard(&store, &lane, id).await.is_ok() {
            return;
        }
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (store, lane) = (self.shared.store.clone(), self.shared.name.clone());
        self.shared.held.before_the_end(async move {
            if let Err(error) = attempts::heard(&store, &lane, id).await {
                tracing::debug!(%error, "a run that was broken off could not be noted");
            }
        });
    }
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

/// Tells the breaker how a run went, also when the run is dropped half way.
struct Hearing<'a> {
    shared: &'a Shared,
    breaker: &'a Breaker,
    is_probe: bool,
    said: Said,
}

impl<'a> Hearing<'a> {
    fn new(shared: &'a Shared, is_probe: bool) -> Self {
        Self {
            shared,
            breaker: &shared.held.breaker,
            is_probe,
            said: Said::Nothing,
        }
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        if self.shared.held.policy.breaker.is_none() {
            return;
        }
        let now = Instant::now();
        if self.breaker.hear(self.said, self.is_probe, now) {
            let (lane, level) = (self.shared.name.clone(), self.breaker.level(now));
            if level > 0.0 {
                tracing::warn!(%lane, "the breaker is open: what this lane calls is left alone for a while");
            } else {
                tracing::info!(%lane, "the breaker is closed: what this lane calls works again");
            }
            metrics::gauge!("maru_lane_breaker", "lane" => lane).set(level);
        }
        // Pullers go by the breaker, and wait for a sign that looking again is worth it.
        self.shared.held.look_again();
    }
}
