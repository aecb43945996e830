//! Takes the money of a payment. The payment's id is the provider's idempotency key, so a charge that
//! was made before a crash is found, not made again.

use std::time::Duration;

use futures_util::FutureExt;
use maru_schemas::ids::PaymentId;
use maru_schemas::jobs::{FailureCode, Job};
use maru_schemas::payments::{Command, Payments, Status};
use maru_streams::effects::Begun;
use maru_streams::intention::Intention;
use maru_streams::jobs::{Delivery, Policy, Verdict};

use super::{Kind, Outcome, Tools, bank_verdict, in_time, misplaced, moved};
use crate::jobs::refund::payment;
use crate::ports::bank::{Answer, Charge};

/// The kind.
pub const KIND: Kind = Kind {
    name: "charge",
    policy: Policy {
        first_retry: Duration::from_millis(500),
        ..Policy::OUTSIDE
    },
    run: |tools, _, job| {
        async move {
            match job {
                Job::Charge { payment } => run(tools, payment).await,
                _ => Err(misplaced()),
            }
        }
        .boxed()
    },
    give_up,
};

async fn run(tools: &Tools, id: PaymentId) -> Outcome {
    let payment = payment(tools, id).await?;
    if !matches!(payment.status, Status::Requested | Status::Failed) {
        return Ok(Vec::new());
    }
    let answer = match tools.effects.begin(id.0, "charge").await.map_err(Verdict::later)? {
        Begun::Before(answer) => answer,
        Begun::Now(effect) => {
            let charge = Charge {
                key: id.0,
                amount: payment.amount,
                card: payment.card,
            };
            match in_time(tools, tools.bank.charge(charge)).await {
                Ok(answer) => {
                    tools.effects.done(&effect, &answer).await.map_err(Verdict::later)?;
                    if answer == Answer::Approved {
                        moved("charged", payment.amount);
                    }
                    answer
                }
                // Not noted as failed: it may have been made. The ledger goes on saying "begun".
                Err(error) => return Err(bank_verdict(&error)),
            }
        }
    };
    let command = match answer {
        Answer::Approved => Command::ApprovePayment {},
        Answer::Declined(code) => Command::DeclinePayment { code },
    };
    Ok(vec![Intention::command::<Payments>(id, &command, "answer")])
}

fn give_up(_: &Delivery, job: Job, code: FailureCode) -> Vec<Intention> {
    let Job::Charge { payment } = job else {
        return Vec::new();
    };
    vec![Intention::command::<Payments>(
        payment,
        &Command::FailPayment { code },
        "failed",
    )]
}
