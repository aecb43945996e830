//! How the money comes, or does not.

use maru_schemas::purchases::{Command, Event, RejectCode, Status};

use super::super::Purchases;
use super::{EARLIER, PAYMENT, STANDINGS, completed, free, history, reports};
use crate::contexts::given::{after, given, plain};

#[test]
fn when_the_money_comes_the_book_is_theirs_as_ordered() {
    let complete = Command::CompletePurchase { payment: PAYMENT };
    let told = given::<Purchases>(history(Status::Paying)).when(complete).told();
    assert_eq!(told, [plain::<Purchases>(completed(10))]);
}

#[test]
fn money_that_came_already_is_nothing_new() {
    for status in [Status::Completed, Status::Refunding, Status::Refunded] {
        let complete = Command::CompletePurchase { payment: PAYMENT };
        given::<Purchases>(history(status)).when(complete).then_nothing_new();
    }
}

#[test]
fn money_that_comes_too_late_goes_back() {
    let complete = Command::CompletePurchase { payment: PAYMENT };
    let refused = Event::CompletionRefused { payment: PAYMENT };
    let told = given::<Purchases>(history(Status::Rejected)).when(complete).told();
    assert_eq!(told, [plain::<Purchases>(refused)]);
    let purchase = after::<Purchases>(history(Status::Rejected).into_iter().chain(told));
    assert_eq!(purchase, after::<Purchases>(history(Status::Rejected)));
}

#[test]
fn money_for_an_earlier_order_goes_back_wherever_the_purchase_stands() {
    for history in STANDINGS.map(history).into_iter().chain([free()]) {
        let complete = Command::CompletePurchase { payment: EARLIER };
        let refused = Event::CompletionRefused { payment: EARLIER };
        given::<Purchases>(history).when(complete).then([refused]);
    }
}

#[test]
fn without_money_there_is_no_purchase() {
    for code in [RejectCode::PaymentDeclined, RejectCode::PaymentFailed] {
        let reject = Command::RejectPurchase { payment: PAYMENT, code };
        let told = given::<Purchases>(history(Status::Paying)).when(reject).told();
        let purchase = after::<Purchases>(history(Status::Paying).into_iter().chain(told));
        assert_eq!((purchase.status, purchase.code), (Status::Rejected, Some(code)));
    }
}

#[test]
fn a_rejection_counts_only_while_the_purchase_waits() {
    for status in STANDINGS.into_iter().filter(|status| *status != Status::Paying) {
        let [_, reject, _, _] = reports(PAYMENT);
        given::<Purchases>(history(status)).when(reject).then_nothing_new();
    }
}

#[test]
fn word_of_an_earlier_order_is_nothing_new() {
    for status in STANDINGS {
        let [_, reject, revoke, keep] = reports(EARLIER);
        for report in [reject, revoke, keep] {
            given::<Purchases>(history(status)).when(report).then_nothing_new();
        }
    }
}
