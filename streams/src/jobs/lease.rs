//! Leases: the right to work on one message, for a while.
//!
//! A lease is unique and holds one of the lane's slots. Wherever it is dropped (the worker task died,
//! say), it gives its slot back and tells the server to deliver the message again. While it is held,
//! the lane's heartbeat keeps the server from giving the message to somebody else, but not for ever:
//! a handler that hangs past its time loses it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use async_nats::jetstream::message::Info;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::policy::Policy;
use super::settle;
use crate::nats::Nats;

/// How many settled messages a lane remembers. An unclean server brings many of them again, and they
/// are acknowledged at once instead of being run.
const REMEMBERED: usize = 65_536;
/// How long after its time a handler's lease is still renewed, for settling.
const GRACE: Duration = Duration::from_secs(15);
/// How long the server waits before it delivers a dropped message again.
const DROPPED: Duration = Duration::from_secs(1);

/// One delivery of one message, the same after every redelivery: sequence and time of publishing.
pub(super) type Ticket = (u64, i128);

/// What a lane's tasks share.
pub(super) struct Held {
    pub(super) nats: Nats,
    pub(super) policy: Policy,
    in_use: AtomicUsize,
    freed: Notify,
    running: Mutex<HashMap<Ticket, Running>>,
    done: Mutex<Ring>,
    ready: Mutex<VecDeque<Lease>>,
    waker: AtomicWaker,
}

struct Running {
    /// The newest reply subject: after a redelivery an older one no longer counts.
    reply: String,
    since: Instant,
}

#[derive(Default)]
struct Ring {
    order: VecDeque<Ticket>,
    known: HashSet<Ticket>,
}

/// The right to work on one message.
pub(super) struct Lease {
    held: Arc<Held>,
    pub(super) message: async_nats::Message,
    pub(super) ticket: Ticket,
    pub(super) deliveries: u64,
    has_slot: AtomicBool,
    is_settled: AtomicBool,
}

// A panic while one of these locks is held leaves only plain data behind, so it is taken all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Held {
    pub(super) fn new(nats: Nats, policy: Policy) -> Arc<Self> {
        Arc::new(Self {
            nats,
            policy,
            in_use: AtomicUsize::new(0),
            freed: Notify::new(),
            running: Mutex::default(),
            done: Mutex::default(),
            ready: Mutex::default(),
            waker: AtomicWaker::new(),
        })
    }

    /// How many more messages could run now.
    pub(super) fn free(&self) -> usize {
        self.policy
            .concurrency
            .saturating_sub(self.in_use.load(Ordering::Acquire))
    }

    /// How many messages are not settled yet.
    pub(super) fn unsettled(&self) -> usize {
        lock(&self.running).len()
    }

    /// Waits until a slot is given back.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Takes a delivery in: as a new lease that waits to be run, or, if it is one that we still run or
    /// have just settled, as news about that.
    pub(super) fn admit(self: &Arc<Self>, message: async_nats::Message, info: &Info<'_>) {
        let ticket = (info.stream_sequence, info.published.unix_timestamp_nanos());
        let deliveries = u64::try_from(info.delivered).unwrap_or(1);
        let reply = message.reply.as_ref().map(ToString::to_string).unwrap_or_default();
        if lock(&self.done).known.contains(&ticket) {
            let nats = self.nats.clone();
            tokio::spawn(async move { settle::acknowledge(&nats, &reply).await });
            return;
        }
        {
            let mut running = lock(&self.running);
            if let Some(ours) = running.get_mut(&ticket) {
                ours.reply = reply;
                return;
            }
            running.insert(
                ticket,
                Running {
                    reply,
                    since: Instant::now(),
                },
            );
        }
        self.in_use.fetch_add(1, Ordering::AcqRel);
        lock(&self.ready).push_back(Lease {
            held: Arc::clone(self),
            message,
            ticket,
            deliveries,
            has_slot: AtomicBool::new(true),
            is_settled: AtomicBool::new(false),
        });
        self.waker.wake();
    }

    /// The next lease to run, or a promise to wake the caller when there is one.
    pub(super) fn next_or_wake(&self, waker: &Waker) -> Option<Lease> {
        if let Some(lease) = lock(&self.ready).pop_front() {
            return Some(lease);
        }
        self.waker.register(waker);
        lock(&self.ready).pop_front()
    }

    /// Leases that nobody has begun to run; dropping them returns them to the server.
    pub(super) fn take_unstarted(&self) -> Vec<Lease> {
        lock(&self.ready).drain(..).collect()
    }

    /// The subjects to tell the server on that their messages are still being worked on.
    pub(super) fn still_running(&self) -> Vec<String> {
        let longest = self.policy.timeout + GRACE;
        lock(&self.running)
            .values()
            .filter(|running| running.since.elapsed() < longest)
            .map(|running| running.reply.clone())
            .collect()
    }
}

impl Lease {
    /// The newest subject to settle the message on.
    pub(super) fn reply(&self) -> String {
        lock(&self.held.running)
            .get(&self.ticket)
            .map(|running| running.reply.clone())
            .unwrap_or_default()
    }

    /// Gives the slot back; the message itself is still ours to settle.
    pub(super) fn free_slot(&self) {
        if self.has_slot.swap(false, Ordering::AcqRel) {
            self.held.in_use.fetch_sub(1, Ordering::AcqRel);
            self.held.freed.notify_one();
        }
    }

    /// The server knows the message's fate. `finished`: for good, so a redelivery need not be run.
    pub(super) fn settled(&self, finished: bool) {
        self.is_settled.store(true, Ordering::Release);
        lock(&self.held.running).remove(&self.ticket);
        if finished {
            let mut done = lock(&self.held.done);
            if done.known.insert(self.ticket) {
                done.order.push_back(self.ticket);
            }
            if done.order.len() > REMEMBERED
                && let Some(oldest) = done.order.pop_front()
            {
                done.known.remove(&oldest);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.free_slot();
        if self.is_settled.load(Ordering::Acquire) {
            return;
        }
        let reply = self.reply();
        lock(&self.held.running).remove(&self.ticket);
        let nats = self.held.nats.clone();
        // Outside a runtime (a process that is ending) the server's own wait does the same, later.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { settle::hand_back(&nats, &reply, DROPPED).await });
        }
    }
}
