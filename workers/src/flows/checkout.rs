//! # Checkout
//!
//! The purchase saga. Every step is an event that has happened, and what follows has a fixed id, so
//! reacting twice intends once.
//!
//! ```text
//! PurchaseRequested ─▶ RequestPayment      PaymentRequested ─▶ job charge
//! PaymentApproved   ─▶ CompletePurchase    CompletionRefused ─▶ job cancel_charge
//! PaymentDeclined   ─▶ RejectPurchase
//! PaymentFailed     ─▶ RejectPurchase, job cancel_charge (it may have been charged after all)
//! RefundRequested   ─▶ job refund          PaymentRefunded, PaymentCancelled ─▶ RevokePurchase
//! ```

use maru_schemas::ids::{self, PaymentId, PurchaseId};
use maru_schemas::jobs::Job;
use maru_schemas::payments::{self, Payments};
use maru_schemas::purchases::{self, Purchases, RejectCode};
use maru_streams::flow::Flow;
use maru_streams::intention::Intention;
use uuid::Uuid;

use crate::facts::Fact;

/// The flow.
pub const FLOW: Flow = Flow {
    name: "checkout",
    hears: &[
        (
            purchases::CONTEXT,
            &["purchase_requested", "completion_refused", "refund_requested"],
        ),
        (
            payments::CONTEXT,
            &[
                "payment_requested",
                "payment_approved",
                "payment_declined",
                "payment_failed",
                "payment_refunded",
                "payment_cancelled",
            ],
        ),
    ],
    react: |delivery| Ok(react(delivery.envelope.subject, &Fact::read(delivery)?)),
};

/// What follows for a purchase or a payment.
#[must_use]
pub fn react(subject: Uuid, fact: &Fact) -> Vec<Intention> {
    match fact {
        Fact::Purchases(event) => about_purchase(PurchaseId(subject), event),
        Fact::Payments(event) => about_payment(PaymentId(subject), event),
        _ => Vec::new(),
    }
}

fn about_purchase(purchase: PurchaseId, event: &purchases::Event) -> Vec<Intention> {
    match event {
        purchases::Event::PurchaseRequested {
            member,
            amount,
            payment,
            card,
            ..
        } => {
            let request = payments::Command::RequestPayment {
                reference: purchase.0,
                member: *member,
                amount: *amount,
                card: *card,
            };
            vec![Intention::command::<Payments>(*payment, &request, "payment")]
        }
        purchases::Event::CompletionRefused { payment } => vec![cancel(*payment, "refused")],
        purchases::Event::RefundRequested { payment, .. } => {
            let refund = Job::Refund {
                payment: *payment,
                purchase,
            };
            vec![Intention::named_job("refund", &refund, *payment)]
        }
        _ => Vec::new(),
    }
}

fn about_payment(payment: PaymentId, event: &payments::Event) -> Vec<Intention> {
    let tell = |purchase: &Uuid, command: &purchases::Command, name: &str| {
        Intention::command::<Purchases>(*purchase, command, name)
    };
    match event {
        payments::Event::PaymentRequested { .. } => {
            let charge = Job::Charge { payment };
            vec![Intention::job(ids::derive(payment.0, "charge"), &charge, payment)]
        }
        payments::Event::PaymentApproved { reference, .. } => {
            vec![tell(
                reference,
                &purchases::Command::CompletePurchase { payment },
                "complete",
            )]
        }
        payments::Event::PaymentDeclined { reference, .. } => {
            let code = RejectCode::PaymentDeclined;
            vec![tell(
                reference,
                &purchases::Command::RejectPurchase { payment, code },
                "reject",
            )]
        }
        payments::Event::PaymentFailed { reference, .. } => {
            let code = RejectCode::PaymentFailed;
            vec![
                tell(
                    reference,
                    &purchases::Command::RejectPurchase { payment, code },
                    "reject",
                ),
                cancel(payment, "failed"),
            ]
        }
        // Whatever way the money went back, the contents are closed.
        payments::Event::PaymentRefunded { reference, .. } | payments::Event::PaymentCancelled { reference, .. } => {
            vec![tell(
                reference,
                &purchases::Command::RevokePurchase { payment },
                "revoke",
            )]
        }
    }
}

fn cancel(payment: PaymentId, why: &str) -> Intention {
    Intention::named_job(format!("cancel/{why}"), &Job::CancelCharge { payment }, payment)
}
