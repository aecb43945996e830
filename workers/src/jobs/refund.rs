//! Gives the money of a payment back to a buyer who asked for it.

use futures_util::FutureExt;
use maru_schemas::ids::{PaymentId, PurchaseId};
use maru_schemas::jobs::{FailureCode, Job};
use maru_schemas::payments::{self, Command, Payment, Payments, Status};
use maru_schemas::purchases::{self, Purchases};
use maru_streams::effects::Begun;
use maru_streams::intention::Intention;
use maru_streams::jobs::{Delivery, Policy, Reason, Verdict};

use super::{Kind, Outcome, Tools, bank_verdict, in_time, misplaced, moved};

/// The kind.
pub const KIND: Kind = Kind {
    name: "refund",
    policy: Policy {
        retries: 5,
        ..Policy::OUTSIDE
    },
    run: |tools, _, job| {
        async move {
            match job {
                Job::Refund { payment, purchase } => run(tools, payment, purchase).await,
                _ => Err(misplaced()),
            }
        }
        .boxed()
    },
    give_up,
};

/// A payment as its owner keeps it.
pub(super) async fn payment(tools: &Tools, id: PaymentId) -> Result<Payment, Verdict> {
    let found: Option<(u64, Payment)> = tools.store.state(payments::CONTEXT, id).await.map_err(Verdict::later)?;
    found.map(|(_, payment)| payment).ok_or_else(|| {
        Verdict::Poison(Reason::new(
            "no_such_payment",
            "the job names a payment that is not there",
        ))
    })
}

async fn run(tools: &Tools, id: PaymentId, purchase: PurchaseId) -> Outcome {
    let payment = payment(tools, id).await?;
    if payment.status != Status::Approved {
        // Given back already, or never taken: there is nothing to do, but the purchase must not wait.
        return Ok(keep(id, purchase));
    }
    match tools.effects.begin(id.0, "refund").await.map_err(Verdict::later)? {
        Begun::Before(()) => {}
        Begun::Now(effect) => {
            in_time(tools, tools.bank.refund(id.0))
                .await
                .map_err(|error| bank_verdict(&error))?;
            tools.effects.done(&effect, &()).await.map_err(Verdict::later)?;
            moved("refunded", payment.amount);
        }
    }
    Ok(vec![Intention::command::<Payments>(
        id,
        &Command::RefundPayment {},
        "refunded",
    )])
}

/// The purchase goes on as it was; a late word to one that is refunded already changes nothing.
fn keep(payment: PaymentId, purchase: PurchaseId) -> Vec<Intention> {
    let keep = purchases::Command::KeepPurchase { payment };
    vec![Intention::command::<Purchases>(purchase, &keep, "keep")]
}

fn give_up(_: &Delivery, job: Job, _: FailureCode) -> Vec<Intention> {
    let Job::Refund { payment, purchase } = job else {
        return Vec::new();
    };
    keep(payment, purchase)
}
