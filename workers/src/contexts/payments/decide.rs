//! May it happen?

use maru_schemas::envelope::Actor;
use maru_schemas::payments::{Command, Event, Payment, Refusal, Status};
use maru_streams::contract::By;

pub(super) fn decide(payment: &Payment, command: &Command, by: &By) -> Result<Option<Event>, Refusal> {
    if by.actor != Actor::System {
        return Err(Refusal::NotForPeople);
    }
    let reference = payment.reference;
    let amount = payment.amount;
    if let Command::RequestPayment {
        reference,
        member,
        amount,
        card,
    } = command
    {
        // Asked for by a flow, which may ask twice.
        return Ok(payment.member.is_none().then_some(Event::PaymentRequested {
            reference: *reference,
            member: *member,
            amount: *amount,
            card: *card,
        }));
    }
    if payment.member.is_none() {
        return Err(Refusal::NoSuchPayment);
    }
    match (command, payment.status) {
        // After FAILED too: a letter was replayed, and the provider says that it had charged.
        (Command::ApprovePayment {}, Status::Requested | Status::Failed) => {
            Ok(Some(Event::PaymentApproved { reference, amount }))
        }
        (Command::DeclinePayment { code }, Status::Requested) => {
            Ok(Some(Event::PaymentDeclined { reference, code: *code }))
        }
        (Command::FailPayment { code }, Status::Requested) => Ok(Some(Event::PaymentFailed { reference, code: *code })),
        (Command::RefundPayment {}, Status::Approved) => Ok(Some(Event::PaymentRefunded { reference, amount })),
        (Command::CancelPayment { charged }, Status::Approved | Status::Failed) => Ok(Some(Event::PaymentCancelled {
            reference,
            amount: if *charged { amount } else { 0 },
        })),
        // What has been reported already is nothing new; what contradicts it is refused.
        (Command::ApprovePayment {}, Status::Approved | Status::Refunded | Status::Cancelled)
        | (Command::DeclinePayment { .. }, Status::Declined)
        | (Command::FailPayment { .. }, _)
        | (Command::RefundPayment {}, Status::Refunded)
        | (Command::CancelPayment { .. }, Status::Cancelled) => Ok(None),
        _ => Err(Refusal::NotNow),
    }
}
