//! One message as a handler gets it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::envelope::Envelope;
use maru_schemas::message::Message;
use uuid::Uuid;

use super::verdict::{Reason, Verdict};
use crate::subject::Subject;

/// A message with what is known about it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where it lies.
    pub subject: String,
    /// About it.
    pub envelope: Envelope,
    /// Itself.
    pub body: Bytes,
    /// Its sequence in the stream.
    pub seq: u64,
    /// Counted from one: how often it was tried, this time included. What a neighbour's crash brought
    /// back does not count.
    pub attempt: u32,
    /// The [batch](crate::batches) that it belongs to, if to any.
    pub batch: Option<Uuid>,
}

impl Delivery {
    /// Reads the body as one of `M`.
    ///
    /// # Errors
    /// The verdict: a kind that `M` does not know and a body that cannot be read are both poison, and
    /// told apart, because a newer or older build may know the kind.
    pub fn decode<M: Message>(&self) -> Result<M, Verdict> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let kind = match Subject::parse(&self.subject) {
                Some(
                    Subject::Command { kind, .. }
                    | Subject::Job { kind, .. }
                    | Subject::JobAgain { kind, .. }
                    | Subject::Event { kind, .. },
                ) => kind,
                _ => "",
            };
            if M::KINDS.contains(&kind) {
                // serde repeats the offending value in its message; only where it stood is told.
                Verdict::Poison(Reason::new(
                    "undecodable",
                    format!(
                        "the body cannot be read at line {}, column {}",
                        error.line(),
                        error.column()
                    ),
                ))
            } else {
                Verdict::Poison(Reason::new("unknown_kind", "this build does not know such a message"))
            }
        })
    }
}

/// Does the work of a lane.
pub trait Handler: Send + Sync + 'static {
    /// Does it, and says what became of it.
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict>;

    /// Called before a message is given up for good, to tell whoever waits for it. If it fails, the
    /// message is not given up yet.
    fn give_up(self: Arc<Self>, _delivery: Arc<Delivery>, _reason: Reason) -> BoxFuture<'static, Result<(), Reason>> {
        async { Ok(()) }.boxed()
    }
}
