//! Leases: the right to work on one message, for a while.
//!
//! A lease is unique; from its turn on it holds one of the lane's slots. Wherever it is dropped (the worker
//! task died, say), it gives its slot back and tells the server to deliver the message again. While it is held,
//! the lane's heartbeat keeps the server from giving the message to somebody else, but not for ever:
//! a handler that hangs past its time loses it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::breaker::Room;
use super::held::{Held, lock};
use super::settle;
use crate::headers::header;

/// How long the server waits before it delivers a dropped message again.
pub(super) const DROPPED: Duration = Duration::from_secs(1);

/// One delivery of one message, the same after every redelivery: sequence and time of publishing.
pub(super) type Ticket = (u64, i128);

/// The right to work on one message.
pub(super) struct Lease {
    held: Arc<Held>,
    pub(super) message: async_nats::Message,
    pub(super) ticket: Ticket,
    pub(super) deliveries: u64,
    pub(super) source: usize,
    /// What it is about, if order matters: nothing else about it runs until this is settled.
    pub(super) key: Option<Uuid>,
    is_started: AtomicBool,
    is_held: AtomicBool,
    has_slot: AtomicBool,
    is_settled: AtomicBool,
    /// Set when it was let go of: the subject to say so on.
    let_go: OnceLock<String>,
}

/// Whose message it is, if it says so.
pub(super) fn member(message: &async_nats::Message) -> Option<Uuid> {
    id(message, "maru-owner")
}

/// What a message is about.
pub(super) fn key(message: &async_nats::Message) -> Option<Uuid> {
    id(message, "ce-subject")
}

fn id(message: &async_nats::Message, name: &str) -> Option<Uuid> {
    Uuid::parse_str(header(message.headers.as_ref()?, name)?).ok()
}

impl Lease {
    /// One that waits for its turn. `key`: what it is about, if order matters.
    pub(super) fn new(
        held: &Arc<Held>,
        message: async_nats::Message,
        (ticket, deliveries): (Ticket, u64),
        source: usize,
        key: Option<Uuid>,
    ) -> Self {
        Self {
            held: Arc::clone(held),
            message,
            ticket,
            deliveries,
            source,
            key,
            is_started: AtomicBool::new(false),
            is_held: AtomicBool::new(true),
            has_slot: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
            let_go: OnceLock::new(),
        }
    }

    /// From here on a slot is its own, and its key.
    pub(super) fn has_its_turn(&self) {
        self.is_started.store(true, Ordering::Release);
        self.has_slot.store(true, Ordering::Release);
    }

    /// Its handler begins now; until here it waited for its turn.
    pub(super) fn begins(&self) {
        if let Some(running) = lock(&self.held.running).get_mut(&self.ticket) {
            running.since = Some(Instant::now());
        }
    }

    /// The newest subject to settle the message on.
    pub(super) fn reply(&self) -> String {
        if let Some(reply) = self.let_go.get() {
            return reply.clone();
        }
        lock(&self.held.running)
            .get(&self.ticket)
            .map(|running| running.reply.clone())
            .unwrap_or_default()
    }

    /// Waits until its lane is told to stop.
    pub(super) async fn closing(&self) {
        self.held.closing.cancelled().await;
    }

    /// Gives the slot back; the message itself is still ours to settle.
    pub(super) fn free_slot(&self) {
        if self.has_slot.swap(false, Ordering::AcqRel) {
            self.held.slots_taken.fetch_sub(1, Ordering::AcqRel);
            // Who comes later wakes the worker by coming.
            if !lock(&self.held.ready).is_empty() {
                self.held.waker.wake();
            }
        }
        if self.is_held.swap(false, Ordering::AcqRel) {
            self.held.give_back(self.source);
        }
    }

    /// Lets the next message of the same key run.
    fn free_key(&self) {
        if let Some(key) = &self.key
            && self.is_started.swap(false, Ordering::AcqRel)
        {
            lock(&self.held.keys).remove(key);
            self.held.waker.wake();
        }
    }

    /// The message is to come again, and may do so before we hear that the server knows: from here on its
    /// next delivery is another lease, and not news about this one.
    pub(super) fn let_go(&self) {
        if self.let_go.get().is_some() {
            return;
        }
        self.held.leaving.fetch_add(1, Ordering::AcqRel);
        let left = lock(&self.held.running).remove(&self.ticket);
        let _ = self.let_go.set(left.map(|running| running.reply).unwrap_or_default());
    }

    /// It is none of the lane's any more.
    fn leave(&self) {
        if self.let_go.get().is_some() {
            self.held.leaving.fetch_sub(1, Ordering::AcqRel);
        } else {
            lock(&self.held.running).remove(&self.ticket);
        }
        // Where the breaker lets one through only when nothing is unsettled, this may be the moment.
        if self.held.breaker.room_now() != Room::All {
            self.held.look_again();
        }
    }

    /// The server knows the message's fate. `finished`: for good, so a redelivery need not be run.
    pub(super) fn settled(&self, finished: bool) {
        self.is_settled.store(true, Ordering::Release);
        self.leave();
        self.free_key();
        if finished {
            lock(&self.held.done).remember(self.ticket);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.free_slot();
        self.free_key();
        if self.is_settled.load(Ordering::Acquire) {
            return;
        }
        self.let_go();
        let reply = self.reply();
        self.leave();
        let nats = self.held.nats.clone();
        // Where this is not done any more the server's own wait does the same, later.
        self.held
            .before_the_end(async move { settle::hand_back(&nats, &reply, DROPPED).await });
    }
}
