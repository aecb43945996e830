//! Takes jobs whose time has come into JOBS, under a subject that says how often they failed. Moved twice
//! they lie there once: the subject is taken.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::name;
use crate::jobs::{Delivery, Handler, Lane, Policy, Reason, Verdict};
use crate::publish::{Outgoing, Publisher};
use crate::subject::Subject;
use crate::topology::SCHEDULES;

struct Mover {
    jobs: Publisher,
}

/// The lane that moves jobs whose time has come into JOBS.
#[must_use]
pub fn mover(jobs: Publisher) -> Lane {
    Lane {
        name: "due-jobs".to_owned(),
        stream: SCHEDULES,
        filters: vec!["due.job.>".to_owned()],
        policy: Policy {
            concurrency: 16,
            ..Policy::QUICK
        },
        handler: Arc::new(Mover { jobs }),
    }
}

impl Handler for Mover {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            let Some(Subject::JobDue { kind, id, failures }) = Subject::parse(&delivery.subject) else {
                return Verdict::Poison(Reason::new("undecodable", "not a subject of a job that is due"));
            };
            let again = Subject::JobAgain { kind, id, failures };
            let mut message =
                Outgoing::new(again, &delivery.envelope, delivery.body.clone(), true).in_batch(delivery.batch);
            name(&mut message, format!("{id}.{failures}"));
            match self.jobs.publish(message).await {
                Ok(_) => Verdict::Done,
                Err(error) => Verdict::later(error),
            }
        }
        .boxed()
    }
}
