//! What it leaves behind.

use maru_schemas::purchases::{Event, Purchase, Status};

pub(super) fn evolve(mut purchase: Purchase, event: &Event) -> Purchase {
    match event {
        Event::PurchaseRequested {
            member,
            book,
            edition,
            amount,
            payment,
            card: _,
        } => Purchase {
            member: Some(*member),
            book: Some(*book),
            edition: *edition,
            amount: *amount,
            payment: Some(*payment),
            status: Status::Paying,
            code: None,
        },
        Event::PurchaseCompleted {
            member,
            book,
            edition,
            amount,
        } => Purchase {
            member: Some(*member),
            book: Some(*book),
            edition: *edition,
            amount: *amount,
            // A book that costs nothing has no payment, also if an earlier order had one.
            payment: purchase.payment.filter(|_| *amount > 0),
            status: Status::Completed,
            code: None,
        },
        Event::PurchaseRejected { code, .. } => {
            purchase.status = Status::Rejected;
            purchase.code = Some(*code);
            purchase
        }
        // The money goes back; the purchase stays as it was.
        Event::CompletionRefused { .. } => purchase,
        Event::RefundRequested { .. } => {
            purchase.status = Status::Refunding;
            purchase
        }
        Event::RefundFailed { .. } => {
            purchase.status = Status::Completed;
            purchase
        }
        Event::PurchaseRefunded { .. } => {
            purchase.status = Status::Refunded;
            purchase
        }
    }
}
