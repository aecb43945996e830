//! Flows: pure reactions, from an event to intentions. A flow owns nothing, names nobody who names
//! it, and may hear a thing twice or out of turn: its intentions have fixed ids, and contexts answer
//! late or early ones by their state.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::intention::{Intend, Intention};
use crate::jobs::{Delivery, Handler, Lane, Policy, Verdict, canary};
use crate::topology::EVENTS;

/// Reacting is quick and pure, so every flow is treated alike.
const POLICY: Policy = Policy {
    concurrency: 16,
    ..Policy::QUICK
};

/// What a flow makes of an event: its intentions, or why the event cannot be read.
pub type React = fn(&Delivery) -> Result<Vec<Intention>, Verdict>;

/// A flow.
#[derive(Clone)]
pub struct Flow {
    /// The one word.
    pub name: &'static str,
    /// What it hears, as `(context, kinds)`.
    pub hears: &'static [(&'static str, &'static [&'static str])],
    /// What it makes of it.
    pub react: React,
}

struct Reactor {
    react: React,
    intend: Intend,
}

impl Flow {
    /// The flow as a lane on EVENTS.
    #[must_use]
    pub fn lane(&self, intend: Intend) -> Lane {
        Lane {
            name: format!("flow-{}", self.name),
            stream: EVENTS,
            filters: self
                .hears
                .iter()
                .flat_map(|(context, kinds)| kinds.iter().map(move |kind| format!("evt.{context}.{kind}.v1.*")))
                .chain([canary::EVENTS.to_owned()])
                .collect(),
            policy: POLICY,
            handler: Arc::new(Reactor {
                react: self.react,
                intend,
            }),
        }
    }
}

impl Handler for Reactor {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            let intentions = match (self.react)(&delivery) {
                Ok(intentions) => intentions,
                Err(verdict) => return verdict,
            };
            match self.intend.send(&delivery.envelope, intentions).await {
                Ok(()) => Verdict::Done,
                Err(error) => Verdict::later(error),
            }
        }
        .boxed()
    }
}
