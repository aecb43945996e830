//! # Jobs
//!
//! Effects on the outside world, one kind a file, and the only place where there are any. A job reads
//! what it needs from the owner, notes the call in the effect ledger, makes it, and says what it wants
//! to happen next as intentions. What is given up says so too, so that nobody waits for ever.

pub mod cancel_charge;
pub mod charge;
pub mod conclude_replay;
pub mod paint_image;
pub mod refund;
pub mod write_story;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::books::{self, Book};
use maru_schemas::ids::BookId;
use maru_schemas::jobs::{FailureCode, Job};
use maru_schemas::message::Message;
use maru_streams::effects::Effects;
use maru_streams::intention::{Intend, Intention};
use maru_streams::jobs::{Delivery, Handler, Lane, Policy, Reason, Verdict};
use maru_streams::letters::Letters;
use maru_streams::metrics;
use maru_streams::objects::Images;
use maru_streams::partial::Partials;
use maru_streams::store::Store;
use maru_streams::topology::JOBS;

use crate::ports::ai::{Ai, AiError};
use crate::ports::bank::{Bank, NoAnswer};

/// What jobs work with.
#[derive(Clone)]
pub struct Tools {
    /// Owners' rows, to read.
    pub store: Store,
    /// Sends what is to happen next.
    pub intend: Intend,
    /// Where calls are noted.
    pub effects: Effects,
    /// Where what is half done is kept.
    pub partials: Partials,
    /// What lanes gave up on.
    pub letters: Letters,
    /// Where images are kept.
    pub images: Images,
    /// Who writes and paints.
    pub ai: Arc<dyn Ai>,
    /// Who takes money and gives it back.
    pub bank: Arc<dyn Bank>,
    /// How long the bank may take to answer.
    pub bank_timeout: Duration,
}

/// What came of a job: intentions, or a verdict that is not success.
pub type Outcome = Result<Vec<Intention>, Verdict>;

/// One kind of job.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name: subject, consumer, metric label.
    pub name: &'static str,
    /// Its rules.
    pub policy: Policy,
    /// Does it.
    pub run: for<'a> fn(&'a Tools, &'a Delivery, Job) -> BoxFuture<'a, Outcome>,
    /// What is to happen when it is given up.
    pub give_up: fn(&Delivery, Job, FailureCode) -> Vec<Intention>,
}

/// Every kind of the house.
#[must_use]
pub const fn all() -> [Kind; 6] {
    [
        write_story::KIND,
        paint_image::KIND,
        charge::KIND,
        refund::KIND,
        cancel_charge::KIND,
        conclude_replay::KIND,
    ]
}

impl Kind {
    /// The kind's lane.
    #[must_use]
    pub fn lane(self, tools: Tools) -> Lane {
        Lane {
            name: format!("job-{}", self.name),
            stream: JOBS,
            filters: vec![format!("job.{}.>", self.name)],
            policy: self.policy,
            handler: Arc::new(Worker { kind: self, tools }),
        }
    }
}

struct Worker {
    kind: Kind,
    tools: Tools,
}

impl Worker {
    async fn run(&self, delivery: &Delivery) -> Verdict {
        let job: Job = match delivery.decode() {
            Ok(job) => job,
            Err(verdict) => return verdict,
        };
        debug_assert_eq!(job.kind(), self.kind.name);
        let (intentions, verdict) = match (self.kind.run)(&self.tools, delivery, job.clone()).await {
            Ok(intentions) => (intentions, Verdict::Done),
            // Turned down for good: whoever waits is told, and there is nothing to repair.
            Err(Verdict::Refuse(reason)) => {
                if let Err(error) = self.tools.partials.forget(delivery.envelope.id).await {
                    return Verdict::later(error);
                }
                let intentions = (self.kind.give_up)(delivery, job, code_of(&reason));
                (intentions, Verdict::Refuse(reason))
            }
            Err(verdict) => return verdict,
        };
        match self.tools.intend.send(&delivery.envelope, intentions).await {
            Ok(()) => verdict,
            Err(error) => Verdict::later(error),
        }
    }
}

impl Handler for Worker {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move { self.run(&delivery).await }.boxed()
    }

    fn give_up(self: Arc<Self>, delivery: Arc<Delivery>, reason: Reason) -> BoxFuture<'static, Result<(), Reason>> {
        async move {
            // A letter that cannot be read has nobody to tell.
            let Ok(job) = delivery.decode() else { return Ok(()) };
            // A job's id is that of its message.
            let forgotten = self.tools.partials.forget(delivery.envelope.id).await;
            forgotten.map_err(|error| Reason::from_error("house_out_of_order", &error))?;
            let intentions = (self.kind.give_up)(&delivery, job, code_of(&reason));
            self.tools
                .intend
                .send(&delivery.envelope, intentions)
                .await
                .map_err(|error| Reason::from_error("house_out_of_order", &error))
        }
        .boxed()
    }
}

/// A book as its owner keeps it.
async fn book(tools: &Tools, id: BookId) -> Result<Book, Verdict> {
    let found: Option<(u64, Book)> = tools.store.state(books::CONTEXT, id).await.map_err(Verdict::later)?;
    found
        .map(|(_, book)| book)
        .ok_or_else(|| Verdict::Poison(Reason::new("no_such_book", "the job names a book that is not there")))
}

/// How often a running job looks whether somebody still waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Ends when nobody waits for the work on a book any more. It looks at what the owner keeps instead of
/// waiting for a word, because a word can be lost.
async fn called_off(tools: &Tools, id: BookId, waits: impl Fn(&Book) -> bool) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // A database that is away does not say that nobody waits.
        if book(tools, id).await.is_ok_and(|book| !waits(&book)) {
            return;
        }
    }
}

/// Tells at once, before the work, that it has begun.
async fn tell(tools: &Tools, delivery: &Delivery, intention: Intention) -> Result<(), Verdict> {
    tools
        .intend
        .send(&delivery.envelope, vec![intention])
        .await
        .map_err(Verdict::later)
}

const UNAVAILABLE: &str = "provider_unavailable";
const REFUSED: &str = "provider_refused";
const UNUSABLE: &str = "unusable_answer";

/// The fate of a failed call to the AI.
fn ai_verdict(error: &AiError) -> Verdict {
    let reason = |code| Reason::from_error(code, error);
    match error {
        AiError::Unavailable { retry_after, .. } => Verdict::Retry {
            reason: reason(UNAVAILABLE),
            at_least: retry_after.map(|wait| wait.min(Duration::from_secs(30))),
        },
        AiError::Unusable(_) => Verdict::Retry {
            reason: reason(UNUSABLE),
            at_least: None,
        },
        AiError::Refused(_) => Verdict::Refuse(reason(REFUSED)),
    }
}

/// The fate of a call to the bank that nobody answered.
fn bank_verdict(error: &NoAnswer) -> Verdict {
    Verdict::Retry {
        reason: Reason::from_error(UNAVAILABLE, error),
        at_least: None,
    }
}

/// As the owner remembers why it was given up.
fn code_of(reason: &Reason) -> FailureCode {
    match reason.code {
        UNAVAILABLE | "timed_out" => FailureCode::ProviderUnavailable,
        REFUSED => FailureCode::ProviderRefused,
        UNUSABLE => FailureCode::UnusableAnswer,
        _ => FailureCode::Internal,
    }
}

/// Waits for the bank, but not for ever.
async fn in_time<T>(tools: &Tools, asked: impl Future<Output = Result<T, NoAnswer>>) -> Result<T, NoAnswer> {
    tokio::time::timeout(tools.bank_timeout, asked)
        .await
        .map_err(|_| NoAnswer("no answer in time".to_owned()))?
}

/// Counts money that has moved, once the bank's answer is noted.
fn moved(movement: &'static str, won: u32) {
    metrics::counter!("maru_money_won_total", "movement" => movement).increment(won.into());
}

/// A job whose lane's kind does not fit its body.
fn misplaced() -> Verdict {
    Verdict::Poison(Reason::new("unknown_kind", "the body is a job of another kind"))
}
