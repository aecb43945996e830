//! What it leaves behind.

use maru_schemas::payments::{Event, Payment, Status};

pub(super) fn evolve(payment: Payment, event: &Event) -> Payment {
    let status = match event {
        Event::PaymentRequested {
            reference,
            member,
            amount,
            card,
        } => {
            return Payment {
                member: Some(*member),
                reference: *reference,
                amount: *amount,
                card: *card,
                status: Status::Requested,
            };
        }
        Event::PaymentApproved { .. } => Status::Approved,
        Event::PaymentDeclined { .. } => Status::Declined,
        Event::PaymentFailed { .. } => Status::Failed,
        Event::PaymentRefunded { .. } => Status::Refunded,
        Event::PaymentCancelled { .. } => Status::Cancelled,
    };
    Payment { status, ..payment }
}
