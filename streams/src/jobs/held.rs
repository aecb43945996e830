//! What a running lane holds: the messages it took in, who runs, who waits for a slot, and what was settled lately.
//!
//! Pullers ask it how many messages to fetch, the worker asks it what to run next, the heartbeat asks it whose
//! messages to keep. Each message in it is a [`Lease`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::arrival::Arrival;
use super::breaker::{Breaker, Room};
use super::lease::{DROPPED, Lease, Ticket, key, member};
use super::policy::{Policy, wait_out};
use super::settle;
use super::turns::{Rank, Turns};
use crate::nats::Nats;

/// How many settled messages a lane remembers. An unclean server brings many of them again, and they
/// are acknowledged at once instead of being run.
const REMEMBERED: usize = 65_536;
/// So many messages anybody may have waiting in front of a fair lane; who asks for little never waits at
/// the back.
const SHARE: usize = 16;
/// How long after its time a handler's lease is still renewed, for settling.
const GRACE: Duration = Duration::from_secs(15);

/// What a lane's tasks share.
pub(super) struct Held {
    pub(super) nats: Nats,
    pub(super) policy: Policy,
    pub(super) breaker: Breaker,
    /// Whether messages of one key run one after the other.
    is_ordered: bool,
    sources: Vec<Source>,
    pub(super) keys: Mutex<HashSet<Uuid>>,
    pub(super) slots_taken: AtomicUsize,
    pub(super) running: Mutex<HashMap<Ticket, Running>>,
    pub(super) done: Mutex<Ring>,
    pub(super) ready: Mutex<Turns<Lease>>,
    pub(super) waker: AtomicWaker,
    pub(super) closing: CancellationToken,
    /// How many are let go of, and the server does not know yet.
    pub(super) leaving: AtomicUsize,
    /// What was dropped, on its way back to the server.
    returning: TaskTracker,
}

/// One of the consumers that a lane pulls from.
struct Source {
    rank: Rank,
    /// At most so many of it are held.
    most: usize,
    /// How many of it are held, running or waiting for their turn.
    held: AtomicUsize,
    /// How many were asked for and have not come.
    asked: AtomicUsize,
    /// How many more wait on the server, as the last message told.
    behind: AtomicU64,
    freed: Notify,
}

pub(super) struct Running {
    /// The newest reply subject: after a redelivery an older one no longer counts.
    pub(super) reply: String,
    /// Since when it runs; none while it waits for its turn.
    pub(super) since: Option<Instant>,
}

/// What was settled lately.
#[derive(Default)]
pub(super) struct Ring {
    order: VecDeque<Ticket>,
    known: HashSet<Ticket>,
}

impl Ring {
    pub(super) fn remember(&mut self, ticket: Ticket) {
        if self.known.insert(ticket) {
            self.order.push_back(ticket);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

// A panic while one of these locks is held leaves only plain data behind, so it is taken all the same.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Held {
    /// `sources`: each with its rank and how many of it are held at the most.
    pub(super) fn new(
        nats: Nats,
        policy: Policy,
        is_ordered: bool,
        sources: impl IntoIterator<Item = (Rank, usize)>,
        closing: CancellationToken,
    ) -> Arc<Self> {
        let source = |(rank, most)| Source {
            rank,
            most,
            held: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            behind: AtomicU64::new(0),
            freed: Notify::new(),
        };
        Arc::new(Self {
            nats,
            breaker: Breaker::new(policy.breaker),
            policy,
            is_ordered,
            keys: Mutex::default(),
            sources: sources.into_iter().map(source).collect(),
            slots_taken: AtomicUsize::new(0),
            running: Mutex::default(),
            done: Mutex::default(),
            ready: Mutex::default(),
            waker: AtomicWaker::new(),
            closing,
            leaving: AtomicUsize::new(0),
            returning: TaskTracker::new(),
        })
    }

    /// One of a source is held no more.
    pub(super) fn give_back(&self, source: usize) {
        self.sources[source].held.fetch_sub(1, Ordering::SeqCst);
        if self.wanted(source) > 0 {
            self.sources[source].freed.notify_one();
        }
    }

    /// How many messages a puller is to ask its source for now, when so many are on their way to it.
    pub(super) fn to_ask_for(&self, source: usize, asked: usize) -> usize {
        // In this order: whoever gives a place free later sees what was asked for, and wakes the puller.
        self.sources[source].asked.store(asked, Ordering::SeqCst);
        self.wanted(source)
    }

    /// Not for every single slot: a quarter of them at a time is as quick and far fewer requests.
    fn wanted(&self, source: usize) -> usize {
        let asked = self.sources[source].asked.load(Ordering::SeqCst);
        let free = self.free(source).saturating_sub(asked);
        match asked == 0 || free >= self.policy.concurrency.div_ceil(4) {
            true => free,
            false => 0,
        }
    }

    /// How many more messages could be held of a source now.
    pub(super) fn free(&self, source: usize) -> usize {
        let source = &self.sources[source];
        let held = source.held.load(Ordering::SeqCst);
        let most = match source.rank {
            Rank::Front => {
                let behind = source.behind.load(Ordering::Relaxed);
                self.policy.most_in_front(behind, self.is_ordered)
            }
            Rank::Back => self.policy.concurrency.min(source.most),
        };
        match self.breaker.room_now() {
            Room::All => most.saturating_sub(held),
            Room::Probe => usize::from(self.unsettled() == 0),
            Room::None(_) | Room::AwaitsProbe => 0,
        }
    }

    /// Waits until the breaker's rest is over; for ever, if it is not resting.
    pub(super) async fn rested(&self) {
        match self.breaker.room_now() {
            Room::None(until) => tokio::time::sleep_until(until.into()).await,
            _ => std::future::pending().await,
        }
    }

    /// How many messages are not settled yet.
    pub(super) fn unsettled(&self) -> usize {
        lock(&self.running).len() + self.leaving.load(Ordering::Acquire)
    }

    /// Waits until there may be more to ask a source for.
    pub(super) async fn freed(&self, source: usize) {
        self.sources[source].freed.notified().await;
    }

    /// Has every puller look again how much there is room for.
    pub(super) fn look_again(&self) {
        self.sources.iter().for_each(|source| source.freed.notify_one());
    }

    /// Does something that a stop waits for.
    pub(super) fn before_the_end(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Outside a runtime (a process that is ending) it cannot be done any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.returning.spawn_on(work, &runtime);
        }
    }

    /// Takes a delivery in: as a new lease that waits for its turn, or, if it is one that we still hold or
    /// have just settled, as news about that. Returns a lease that its member has too many of in front.
    pub(super) fn admit(
        self: &Arc<Self>,
        message: async_nats::Message,
        arrival: Arrival,
        source: usize,
    ) -> Option<Lease> {
        let Arrival {
            ticket,
            deliveries,
            behind,
        } = arrival;
        let reply = message.reply.as_ref().map(ToString::to_string).unwrap_or_default();
        if lock(&self.done).known.contains(&ticket) {
            let nats = self.nats.clone();
            tokio::spawn(async move { settle::acknowledge(&nats, &reply).await });
            return None;
        }
        {
            let mut running = lock(&self.running);
            if let Some(ours) = running.get_mut(&ticket) {
                if ours.since.is_none_or(|since| since.elapsed() < self.longest()) {
                    ours.reply = reply;
                } else {
                    // It hangs here where nothing can stop it, and its lease is over: to somebody else, if
                    // there is anybody.
                    let nats = self.nats.clone();
                    tokio::spawn(async move { settle::hand_back(&nats, &reply, wait_out(deliveries)).await });
                }
                return None;
            }
            running.insert(ticket, Running { reply, since: None });
        }
        self.sources[source].held.fetch_add(1, Ordering::SeqCst);
        self.sources[source].behind.store(behind, Ordering::Relaxed);
        let member = self.policy.fair.then(|| member(&message)).flatten();
        let key = self.is_ordered.then(|| key(&message)).flatten();
        let lease = Lease::new(self, message, (ticket, deliveries), source, key);
        let rank = self.sources[source].rank;
        let mut ready = lock(&self.ready);
        // With nobody behind there is nobody to make way for.
        let is_too_much = self.policy.fair
            && rank == Rank::Front
            && behind > 0
            && ready.in_front(member) >= self.policy.concurrency.max(SHARE);
        if is_too_much {
            return Some(lease);
        }
        ready.push(rank, member, lease);
        drop(ready);
        self.waker.wake();
        None
    }

    /// The next lease to run, with a slot; or a promise to wake the caller when there is one.
    pub(super) fn next_or_wake(&self, waker: &Waker) -> Option<Lease> {
        self.next().or_else(|| {
            self.waker.register(waker);
            self.next()
        })
    }

    fn next(&self) -> Option<Lease> {
        // One task asks, so between looking and taking slots can only become free.
        if self.slots_taken.load(Ordering::Acquire) >= self.policy.concurrency {
            return None;
        }
        let mut keys = lock(&self.keys);
        let is_free = |lease: &Lease| lease.key.is_none_or(|key| !keys.contains(&key));
        let lease = lock(&self.ready).pop(is_free)?;
        keys.extend(lease.key);
        self.slots_taken.fetch_add(1, Ordering::AcqRel);
        lease.has_its_turn();
        Some(lease)
    }

    /// Leases that nobody has begun to run; dropping them returns them to the server.
    pub(super) fn take_unstarted(&self) -> Vec<Lease> {
        lock(&self.ready).drain()
    }

    /// Those of them that would have to wait for a slot.
    pub(super) fn take_surplus(&self) -> Vec<Lease> {
        let mut ready = lock(&self.ready);
        let free = self
            .policy
            .concurrency
            .saturating_sub(self.slots_taken.load(Ordering::Acquire));
        let next: Vec<Lease> = (0..free).map_while(|_| ready.pop(|_| true)).collect();
        let surplus = ready.drain();
        for lease in next {
            ready.push(self.sources[lease.source].rank, None, lease);
        }
        drop(ready);
        self.waker.wake();
        surplus
    }

    /// How many messages of a source's own stream are held at the most.
    pub(super) fn most(&self) -> usize {
        self.policy.most_in_front(u64::MAX, self.is_ordered)
    }

    /// Waits until the server knows of everything that was dropped, but not long: a handler that blocks its
    /// thread cannot be dropped, and a server that is away will find out by itself.
    pub(super) async fn given_back(&self) {
        self.returning.close();
        let _ = tokio::time::timeout(DROPPED, async {
            while self.unsettled() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.returning.wait().await;
        })
        .await;
    }

    /// How long a lease is renewed at most.
    fn longest(&self) -> Duration {
        self.policy.timeout + GRACE
    }

    /// The subjects to tell the server on that their messages are still being worked on.
    pub(super) fn still_running(&self) -> Vec<String> {
        let longest = self.longest();
        lock(&self.running)
            .values()
            .filter(|running| running.since.is_none_or(|since| since.elapsed() < longest))
            .map(|running| running.reply.clone())
            .collect()
    }
}
