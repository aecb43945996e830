//! The lane of a context: takes its commands, decides them, gets their events out, answers.
//!
//! The order matters. The answer goes out when the events are in the stream, because it carries their
//! sequence; the outbox is cleared after the answer, because nobody waits for that.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::outcome::Outcome;
use tracing::Instrument;

use super::deciding::Deciding;
use super::outbox::Outbox;
use crate::contract::{CommandOf, Context};
use crate::jobs::{Delivery, Handler, Verdict};
use crate::nats::Nats;
use crate::spans;
use crate::store::Store;

/// The lane that takes a context's commands.
#[must_use]
pub fn lane(context: &str) -> String {
    format!("cmd-{context}")
}

/// Handles the commands of context `C`.
pub struct Commands<C: Context> {
    nats: Nats,
    deciding: Deciding<C>,
    outbox: Outbox,
}

impl<C: Context> Commands<C> {
    /// A handler for `C`.
    #[must_use]
    pub fn new(nats: Nats, store: Store, outbox: Outbox) -> Self {
        Self {
            nats,
            deciding: Deciding::new(store),
            outbox,
        }
    }

    async fn run(&self, delivery: &Delivery) -> Verdict {
        let command: CommandOf<C> = match delivery.decode() {
            Ok(command) => command,
            Err(verdict) => return verdict,
        };
        let span = spans::transaction(C::NAME);
        let committed = self.deciding.decide(&delivery.envelope, command);
        let committed = match committed.instrument(span.clone()).await {
            Ok(committed) => committed,
            Err(error) => {
                spans::failed(&span, "not_committed");
                return Verdict::later(error);
            }
        };
        drop(span);
        let carried = match self.outbox.publish(&committed.pending).await {
            Ok(carried) => carried,
            // The events stay in the outbox; this command's redelivery or the sweeper brings them out.
            Err(error) => return Verdict::later(error),
        };
        let outcome = with_token(committed.outcome, carried.last_of(delivery.envelope.id));
        self.answer(delivery, &outcome).await;
        if let Err(error) = self.outbox.clear(carried).await {
            tracing::warn!(%error, "published events stay in the outbox until the sweeper comes");
        }
        metrics::counter!("maru_commands_total", "context" => C::NAME, "outcome" => label(&outcome)).increment(1);
        if committed.already {
            Verdict::Already
        } else {
            Verdict::Done
        }
    }

    /// Tells whoever waits at the door. Best effort: the inbox row is the durable truth.
    async fn answer(&self, delivery: &Delivery, outcome: &Outcome) {
        let Some(reply) = delivery.envelope.reply.clone() else {
            return;
        };
        match serde_json::to_vec(outcome) {
            Ok(body) => {
                if let Err(error) = self.nats.client().publish(reply, body.into()).await {
                    tracing::debug!(%error, "nobody was told the outcome");
                }
            }
            Err(error) => tracing::error!(%error, "an outcome cannot be written"),
        }
    }
}

fn with_token(outcome: Outcome, published: Option<u64>) -> Outcome {
    match outcome {
        Outcome::Done { subject, version, seq } => Outcome::Done {
            subject,
            version,
            seq: published.or(seq),
        },
        refused @ Outcome::Refused { .. } => refused,
    }
}

const fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done { .. } => "done",
        Outcome::Refused { .. } => "refused",
    }
}

impl<C: Context> Handler for Commands<C> {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move { self.run(&delivery).await }.boxed()
    }
}
