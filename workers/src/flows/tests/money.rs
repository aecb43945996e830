//! Charging, refunding, and giving back what was taken for nothing.

use maru_schemas::ids;
use maru_schemas::jobs::Job;
use maru_schemas::payments::{self, DeclineCode, Payments, TestCard};
use maru_schemas::purchases::{self, Purchases, RejectCode};
use maru_streams::intention::Intention;

use super::super::checkout::react;
use super::{BOOK, CODE, MINA, PAYMENT, PURCHASE, everything, nothing};
use crate::facts::Fact;

fn after_purchase(event: purchases::Event) -> Vec<Intention> {
    react(PURCHASE.0, &Fact::Purchases(event))
}

fn after_payment(event: payments::Event) -> Vec<Intention> {
    react(PAYMENT.0, &Fact::Payments(event))
}

fn purchase_is_to(command: &purchases::Command, name: &str) -> Intention {
    Intention::command::<Purchases>(PURCHASE, command, name)
}

fn reject(code: RejectCode) -> Intention {
    let payment = PAYMENT;
    purchase_is_to(&purchases::Command::RejectPurchase { payment, code }, "reject")
}

fn cancel(name: &str) -> Intention {
    Intention::named_job(name, &Job::CancelCharge { payment: PAYMENT }, PAYMENT)
}

#[test]
fn an_order_asks_for_its_money() {
    let ordered = purchases::Event::PurchaseRequested {
        member: MINA,
        book: BOOK,
        edition: 3,
        amount: 10,
        payment: PAYMENT,
        card: TestCard::TimesOut,
    };
    let request = payments::Command::RequestPayment {
        reference: PURCHASE.0,
        member: MINA,
        amount: 10,
        card: TestCard::TimesOut,
    };
    let ask = Intention::command::<Payments>(PAYMENT, &request, "payment");
    assert_eq!(after_purchase(ordered), [ask]);
}

#[test]
fn money_that_was_asked_for_is_charged_once_for_ever() {
    let requested = payments::Event::PaymentRequested {
        reference: PURCHASE.0,
        member: MINA,
        amount: 10,
        card: TestCard::TimesOut,
    };
    let charge = Job::Charge { payment: PAYMENT };
    let id = ids::derive(PAYMENT.0, "charge");
    assert_eq!(after_payment(requested), [Intention::job(id, &charge, PAYMENT)]);
}

#[test]
fn money_that_came_completes_the_purchase() {
    let (reference, payment) = (PURCHASE.0, PAYMENT);
    let approved = payments::Event::PaymentApproved { reference, amount: 10 };
    let complete = purchases::Command::CompletePurchase { payment };
    assert_eq!(after_payment(approved), [purchase_is_to(&complete, "complete")]);
}

#[test]
fn a_declined_payment_rejects_the_purchase() {
    let declined = payments::Event::PaymentDeclined {
        reference: PURCHASE.0,
        code: DeclineCode::CardDeclined,
    };
    assert_eq!(after_payment(declined), [reject(RejectCode::PaymentDeclined)]);
}

#[test]
fn a_payment_without_an_answer_rejects_the_purchase_and_undoes_the_charge() {
    let failed = payments::Event::PaymentFailed {
        reference: PURCHASE.0,
        code: CODE,
    };
    let follows = [reject(RejectCode::PaymentFailed), cancel("cancel/failed")];
    assert_eq!(after_payment(failed), follows);
}

#[test]
fn money_that_comes_too_late_goes_back() {
    let refused = purchases::Event::CompletionRefused { payment: PAYMENT };
    assert_eq!(after_purchase(refused), [cancel("cancel/refused")]);
}

#[test]
fn a_refund_that_was_asked_for_is_made() {
    let (payment, purchase) = (PAYMENT, PURCHASE);
    let asked = purchases::Event::RefundRequested { payment, amount: 10 };
    let refund = Intention::named_job("refund", &Job::Refund { payment, purchase }, PAYMENT);
    assert_eq!(after_purchase(asked), [refund]);
}

#[test]
fn money_that_is_back_closes_the_contents() {
    let (reference, payment) = (PURCHASE.0, PAYMENT);
    let refunded = payments::Event::PaymentRefunded { reference, amount: 10 };
    let revoke = purchases::Command::RevokePurchase { payment };
    assert_eq!(after_payment(refunded), [purchase_is_to(&revoke, "revoke")]);
}

#[test]
fn nothing_follows_the_end_of_a_purchase() {
    let (member, book, amount) = (MINA, BOOK, 10);
    let ends = [
        purchases::Event::PurchaseCompleted {
            member,
            book,
            edition: 3,
            amount,
        },
        purchases::Event::PurchaseRejected {
            member,
            book,
            code: RejectCode::PaymentFailed,
        },
        purchases::Event::PurchaseRefunded { member, book, amount },
        purchases::Event::RefundFailed { payment: PAYMENT },
    ];
    for end in ends {
        assert_eq!(after_purchase(end), nothing());
    }
}

#[test]
fn a_cancelled_charge_closes_the_contents_too() {
    let (reference, payment) = (PURCHASE.0, PAYMENT);
    let cancelled = payments::Event::PaymentCancelled { reference, amount: 10 };
    let revoke = purchases::Command::RevokePurchase { payment };
    assert_eq!(after_payment(cancelled), [purchase_is_to(&revoke, "revoke")]);
}

#[test]
fn reacting_twice_intends_the_same() {
    for fact in everything() {
        assert_eq!(react(PURCHASE.0, &fact), react(PURCHASE.0, &fact));
    }
}
