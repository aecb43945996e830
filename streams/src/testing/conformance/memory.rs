//! The contract as a model, in memory: a list of messages, when each is due, and processes that take what
//! is due. It shares rules with the real lanes ([`Policy`], the breaker), and no machinery.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use maru_schemas::envelope::Envelope;
use tokio::sync::{Notify, RwLock};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Backend, Buried, Process};
use crate::jobs::breaker::{Breaker, Room, Said};
use crate::jobs::policy::wait_out;
use crate::jobs::{Delivery, Handler, Policy, Reason, Verdict};
use crate::publish::{Outgoing, Published};
use crate::topology::ACK_WAIT;

/// How soon what was dropped unfinished is due again.
const DROPPED: Duration = Duration::from_millis(100);
/// From so many unheard-of runs on, a message runs alone.
const SUSPECT_FROM: u32 = 3;

/// Messages in memory, and a lane for them.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Kept>>, Arc<Notify>);

struct Kept {
    messages: Vec<Message>,
    due: BTreeSet<(Instant, usize)>,
    unsettled: u64,
    letters: Vec<Buried>,
    patience: Duration,
}

#[derive(Clone)]
struct Message {
    outgoing: Outgoing,
    failures: u32,
    /// Runs that began and of which nothing was heard.
    unheard: u32,
    was_alone: bool,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            due: BTreeSet::new(),
            unsettled: 0,
            letters: Vec::new(),
            patience: ACK_WAIT,
        }
    }
}

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_due(&self, now: Instant) -> Option<usize> {
        let mut kept = self.kept();
        let first = *kept.due.first().filter(|(due, _)| *due <= now)?;
        kept.due.remove(&first);
        Some(first.1)
    }

    fn put_back(&self, at: usize, wait: Duration) {
        self.kept().due.insert((Instant::now() + wait, at));
        self.1.notify_waiters();
    }
}

impl Backend for Memory {
    type Process = InMemory;

    async fn make() -> Self {
        Self::default()
    }

    async fn publish(&self, message: Outgoing) -> Published {
        let mut kept = self.kept();
        let found = kept
            .messages
            .iter()
            .position(|kept| kept.outgoing.subject == message.subject);
        let at = found.unwrap_or(kept.messages.len());
        if found.is_none() {
            kept.messages.push(Message {
                outgoing: message,
                failures: 0,
                unheard: 0,
                was_alone: false,
            });
            kept.unsettled += 1;
            kept.due.insert((Instant::now(), at));
            self.1.notify_waiters();
        }
        Published {
            seq: at as u64 + 1,
            already: found.is_some(),
        }
    }

    async fn start(&self, policy: Policy, handler: Arc<dyn Handler>) -> InMemory {
        let lane = Arc::new(Lane {
            memory: self.clone(),
            policy,
            handler,
            breaker: Breaker::new(policy.breaker),
            company: RwLock::default(),
            has_ended: AtomicBool::new(false),
            killed: Notify::new(),
            closing: CancellationToken::new(),
        });
        let worker = tokio::spawn(Arc::clone(&lane).work());
        InMemory { lane, worker }
    }

    async fn letters(&self) -> Vec<Buried> {
        self.kept().letters.clone()
    }

    async fn unsettled(&self) -> u64 {
        self.kept().unsettled
    }

    async fn be_impatient(&self) {
        self.kept().patience = Duration::from_secs(2);
    }
}

/// A process of the model.
pub struct InMemory {
    lane: Arc<Lane>,
    worker: JoinHandle<()>,
}

impl Process for InMemory {
    async fn stop(mut self, grace: Duration) {
        self.lane.closing.cancel();
        if tokio::time::timeout(grace, &mut self.worker).await.is_err() {
            self.worker.abort();
        }
    }

    fn kill_worker(&self) {
        self.lane.killed.notify_one();
    }

    fn end(self) {
        self.lane.has_ended.store(true, Ordering::SeqCst);
        self.worker.abort();
    }
}

struct Lane {
    memory: Memory,
    policy: Policy,
    handler: Arc<dyn Handler>,
    breaker: Breaker,
    company: RwLock<()>,
    has_ended: AtomicBool,
    killed: Notify,
    closing: CancellationToken,
}

impl Lane {
    async fn work(self: Arc<Self>) {
        let mut running = JoinSet::new();
        while !self.closing.is_cancelled() {
            let news = self.memory.1.notified();
            let room = match self.breaker.room_now() {
                Room::All => self.policy.concurrency.saturating_sub(running.len()),
                Room::Probe => usize::from(running.is_empty()),
                Room::None(_) | Room::AwaitsProbe => 0,
            };
            let taken = (room > 0).then(|| self.memory.take_due(Instant::now())).flatten();
            if let Some(at) = taken {
                running.spawn(Arc::clone(&self).run(at));
                continue;
            }
            tokio::select! {
                () = news => {}
                // What is due, and when a rest is over, is looked up rather than waited for.
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
                Some(_) = running.join_next() => {}
                () = self.killed.notified() => running.abort_all(),
                () = self.closing.cancelled() => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn run(self: Arc<Self>, at: usize) {
        let message = self.memory.kept().messages[at].clone();
        let mut held = Held {
            lane: &self,
            at,
            is_probe: false,
            said: Said::Nothing,
            is_concluded: false,
        };
        let header = |name: &str| {
            let headers = message.outgoing.headers.iter();
            headers
                .filter(|(found, _)| *found == name)
                .map(|(_, value)| value.as_str())
                .next()
        };
        let verdict = match Envelope::read(header) {
            Err(error) => (None, Verdict::Poison(Reason::from_error("undecodable", &error))),
            Ok(envelope) => {
                let delivery = Arc::new(Delivery {
                    subject: message.outgoing.subject.clone(),
                    envelope,
                    body: message.outgoing.body.clone(),
                    seq: at as u64 + 1,
                    attempt: message.failures + 1,
                    batch: None,
                });
                let verdict = held.verdict(&delivery, &message).await;
                (Some(delivery), verdict)
            }
        };
        held.conclude(verdict.0, verdict.1).await;
    }
}

/// One message while it runs. Dropped half way, it is due again.
struct Held<'a> {
    lane: &'a Lane,
    at: usize,
    is_probe: bool,
    said: Said,
    is_concluded: bool,
}

impl Held<'_> {
    fn note(&self, change: impl FnOnce(&mut Message)) {
        change(&mut self.lane.memory.kept().messages[self.at]);
    }

    async fn verdict(&mut self, delivery: &Arc<Delivery>, message: &Message) -> Verdict {
        let is_suspect = message.unheard >= SUSPECT_FROM;
        if is_suspect && message.was_alone {
            return Verdict::Poison(Reason::new("ended_its_process", "the last time with nobody else in it"));
        }
        let not_now = |wait| Verdict::Snooze(wait, Reason::new("breaker_open", "not now"));
        match self.lane.breaker.enter(Instant::now()) {
            Room::All => {}
            Room::Probe => self.is_probe = true,
            Room::None(until) => return not_now(until - Instant::now()),
            Room::AwaitsProbe => return not_now(DROPPED),
        }
        self.note(|message| message.unheard += 1);
        let verdict = if is_suspect {
            let _alone = self.lane.company.write().await;
            self.note(|message| message.was_alone = true);
            self.handle(delivery).await
        } else {
            let _company = self.lane.company.read().await;
            self.handle(delivery).await
        };
        self.note(|message| (message.unheard, message.was_alone) = (0, false));
        self.said = match verdict {
            Verdict::Done | Verdict::Already | Verdict::Refuse(_) => Said::Well,
            Verdict::Retry { .. } => Said::Failed,
            Verdict::Snooze(..) | Verdict::Later(_) | Verdict::Hold(_) | Verdict::Poison(_) => Said::Nothing,
        };
        verdict
    }

    async fn handle(&self, delivery: &Arc<Delivery>) -> Verdict {
        let work = async { Arc::clone(&self.lane.handler).handle(Arc::clone(delivery)).await };
        let timed = async { tokio::time::timeout(self.lane.policy.timeout, work).await };
        let failed = |code, detail| Verdict::Retry {
            reason: Reason::new(code, detail),
            at_least: None,
        };
        match AssertUnwindSafe(timed).catch_unwind().await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => failed("timed_out", "no end in time"),
            Err(_) => failed("panicked", "the handler panicked"),
        }
    }

    async fn conclude(mut self, delivery: Option<Arc<Delivery>>, verdict: Verdict) {
        let attempt = delivery.as_ref().map_or(0, |delivery| delivery.attempt);
        let again = match verdict {
            Verdict::Done | Verdict::Already | Verdict::Refuse(_) => None,
            Verdict::Snooze(wait, _) => Some(wait),
            Verdict::Later(_) => Some(wait_out(1)),
            // There are no budgets here.
            Verdict::Hold(_) => Some(Duration::from_secs(30)),
            Verdict::Retry { at_least, .. } if attempt <= self.lane.policy.retries => {
                self.note(|message| message.failures = attempt);
                Some(self.lane.policy.wait_after(attempt).max(at_least.unwrap_or_default()))
            }
            Verdict::Retry { reason, .. } | Verdict::Poison(reason) => self.bury(delivery, reason).await,
        };
        self.is_concluded = true;
        match again {
            Some(wait) => self.lane.memory.put_back(self.at, wait),
            None => self.lane.memory.kept().unsettled -= 1,
        }
    }

    /// Gives it up, or says when to try that again.
    async fn bury(&self, delivery: Option<Arc<Delivery>>, reason: Reason) -> Option<Duration> {
        let attempts = delivery.as_ref().map_or(0, |delivery| delivery.attempt);
        if let Some(delivery) = delivery {
            let told = Arc::clone(&self.lane.handler).give_up(delivery, reason.clone()).await;
            if told.is_err() {
                return Some(wait_out(1));
            }
        }
        let mut kept = self.lane.memory.kept();
        let letter = Buried {
            subject: kept.messages[self.at].outgoing.subject.clone(),
            attempts,
            reason: reason.code.to_owned(),
        };
        kept.letters.push(letter);
        None
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.lane.breaker.hear(self.said, self.is_probe, Instant::now());
        if !self.is_concluded {
            let has_ended = self.lane.has_ended.load(Ordering::SeqCst);
            let wait = if has_ended {
                self.lane.memory.kept().patience
            } else {
                DROPPED
            };
            self.lane.memory.put_back(self.at, wait);
        }
    }
}
