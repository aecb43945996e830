//! Undoes a charge whose purchase did not come about, or sees to it that it is never made.

use std::time::Duration;

use futures_util::FutureExt;
use maru_schemas::ids::PaymentId;
use maru_schemas::jobs::{FailureCode, Job};
use maru_schemas::payments::{Command, Payments, Status};
use maru_streams::effects::Begun;
use maru_streams::intention::Intention;
use maru_streams::jobs::{Delivery, Policy, Verdict};

use super::refund::payment;
use super::{Kind, Outcome, Tools, bank_verdict, in_time, misplaced, moved};

/// The kind. It is somebody's money: tried for longer than anything else.
pub const KIND: Kind = Kind {
    name: "cancel_charge",
    policy: Policy {
        // Five hours, for a bank that is away for longer than anybody's patience.
        retries: 16,
        longest_retry: Duration::from_secs(3600),
        ..Policy::OUTSIDE
    },
    run: |tools, _, job| {
        async move {
            match job {
                Job::CancelCharge { payment } => run(tools, payment).await,
                _ => Err(misplaced()),
            }
        }
        .boxed()
    },
    // Nobody waits for it but the books of account: the dead letter is the alarm.
    give_up: |_: &Delivery, _: Job, _: FailureCode| Vec::new(),
};

async fn run(tools: &Tools, id: PaymentId) -> Outcome {
    let payment = payment(tools, id).await?;
    if !matches!(payment.status, Status::Approved | Status::Failed) {
        return Ok(Vec::new());
    }
    let charged = match tools
        .effects
        .begin(id.0, "cancel_charge")
        .await
        .map_err(Verdict::later)?
    {
        Begun::Before(charged) => charged,
        Begun::Now(effect) => {
            let charged = in_time(tools, tools.bank.cancel(id.0))
                .await
                .map_err(|error| bank_verdict(&error))?;
            tools.effects.done(&effect, &charged).await.map_err(Verdict::later)?;
            if charged {
                moved("cancelled", payment.amount);
            }
            charged
        }
    };
    Ok(vec![Intention::command::<Payments>(
        id,
        &Command::CancelPayment { charged },
        "cancelled",
    )])
}
