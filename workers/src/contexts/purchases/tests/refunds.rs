//! How the money goes back, or does not.

use maru_schemas::purchases::{Event, Refusal, Status};

use super::super::Purchases;
use super::{BUYER, OTHERS, PAYMENT, REFUND, STANDINGS, Said, free, history, refund_requested, refunded, reports};
use crate::contexts::given::{after, given, plain};

#[test]
fn a_buyer_gets_back_what_they_paid() {
    let asked = given::<Purchases>(history(Status::Completed)).by(BUYER).when(REFUND);
    asked.then([refund_requested()]);
    given::<Purchases>(free()).by(BUYER).when(REFUND).then([refunded(0)]);
}

#[test]
fn a_refund_is_asked_for_once_and_of_what_was_completed() {
    let refusals = [
        (Status::Paying, Refusal::NothingToRefund),
        (Status::Rejected, Refusal::NothingToRefund),
        (Status::Refunding, Refusal::RefundUnderWay),
        (Status::Refunded, Refusal::NothingToRefund),
    ];
    for (status, refusal) in refusals {
        let asked = given::<Purchases>(history(status)).by(BUYER).when(REFUND);
        asked.then_refused(refusal);
    }
}

#[test]
fn nobody_returns_the_book_of_somebody_else() {
    for other in OTHERS {
        for status in STANDINGS {
            let asked = given::<Purchases>(history(status)).by(other).when(REFUND);
            asked.then_refused(Refusal::NotYours);
        }
    }
}

#[test]
fn when_the_money_is_back_the_purchase_is_over() {
    let [_, _, revoke, _] = reports(PAYMENT);
    given::<Purchases>(history(Status::Refunding))
        .when(revoke)
        .then([refunded(10)]);
}

#[test]
fn money_that_cannot_go_back_leaves_the_book_and_another_try() {
    let [_, _, _, keep] = reports(PAYMENT);
    let told = given::<Purchases>(history(Status::Refunding)).when(keep).told();
    assert_eq!(told, [plain::<Purchases>(Event::RefundFailed { payment: PAYMENT })]);
    let kept: Vec<Said> = history(Status::Refunding).into_iter().chain(told).collect();
    assert!(after::<Purchases>(kept.clone()).entitles());
    given::<Purchases>(kept)
        .by(BUYER)
        .when(REFUND)
        .then([refund_requested()]);
}

/// The refund job gives up, the purchase is kept, and its letter is replayed with success; or the job
/// runs a second time after the bank has paid, and its "keep" overtakes the "revoke".
#[test]
fn money_that_is_back_after_all_closes_the_contents() {
    let [_, _, revoke, _] = reports(PAYMENT);
    let kept = plain::<Purchases>(Event::RefundFailed { payment: PAYMENT });
    given::<Purchases>(history(Status::Refunding).into_iter().chain([kept]))
        .when(revoke)
        .then([refunded(10)]);
}

#[test]
fn word_of_a_refund_that_is_not_waited_for_is_nothing_new() {
    let [_, _, revoke, keep] = reports(PAYMENT);
    for status in [Status::Paying, Status::Rejected, Status::Refunded] {
        given::<Purchases>(history(status))
            .when(revoke.clone())
            .then_nothing_new();
    }
    for status in [Status::Paying, Status::Completed, Status::Rejected, Status::Refunded] {
        given::<Purchases>(history(status))
            .when(keep.clone())
            .then_nothing_new();
    }
}
