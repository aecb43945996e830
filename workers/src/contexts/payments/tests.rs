//! A payment from the asking to the giving back. What holds whatever happens is in `properties`.

mod properties;

use maru_schemas::envelope::Actor;
use maru_schemas::jobs::FailureCode;
use maru_schemas::message::Told;
use maru_schemas::payments::{Command, DeclineCode, Event, Refusal, Status, TestCard};
use maru_streams::contract::Context;
use uuid::Uuid;

use super::Payments;
use crate::contexts::given::{JUNHO, MINA, after, given, plain};

const ORDER: Uuid = Uuid::from_u128(0x04de4);
const DECLINED: DeclineCode = DeclineCode::InsufficientFunds;
const FAILED: FailureCode = FailureCode::ProviderUnavailable;

const REQUEST: Command = Command::RequestPayment {
    reference: ORDER,
    member: MINA,
    amount: 10,
    card: TestCard::TimesOut,
};
const APPROVE: Command = Command::ApprovePayment {};
const DECLINE: Command = Command::DeclinePayment { code: DECLINED };
const FAIL: Command = Command::FailPayment { code: FAILED };
const REFUND: Command = Command::RefundPayment {};
const CANCEL: Command = Command::CancelPayment { charged: true };
const CANCEL_UNCHARGED: Command = Command::CancelPayment { charged: false };

const REQUESTED: Event = Event::PaymentRequested {
    reference: ORDER,
    member: MINA,
    amount: 10,
    card: TestCard::TimesOut,
};

fn reports() -> [Command; 6] {
    [APPROVE, DECLINE, FAIL, REFUND, CANCEL, CANCEL_UNCHARGED]
}

fn approved() -> Event {
    Event::PaymentApproved {
        reference: ORDER,
        amount: 10,
    }
}

fn declined() -> Event {
    Event::PaymentDeclined {
        reference: ORDER,
        code: DECLINED,
    }
}

fn failed() -> Event {
    Event::PaymentFailed {
        reference: ORDER,
        code: FAILED,
    }
}

fn refunded() -> Event {
    Event::PaymentRefunded {
        reference: ORDER,
        amount: 10,
    }
}

fn cancelled(amount: u32) -> Event {
    Event::PaymentCancelled {
        reference: ORDER,
        amount,
    }
}

/// How a payment got to where it stands.
fn history(status: Status) -> Vec<Told<Event, ()>> {
    let events = match status {
        Status::Requested => vec![REQUESTED],
        Status::Approved => vec![REQUESTED, approved()],
        Status::Declined => vec![REQUESTED, declined()],
        Status::Failed => vec![REQUESTED, failed()],
        Status::Cancelled => vec![REQUESTED, approved(), cancelled(10)],
        Status::Refunded => vec![REQUESTED, approved(), refunded()],
    };
    events.into_iter().map(plain::<Payments>).collect()
}

const STANDINGS: [Status; 6] = [
    Status::Requested,
    Status::Approved,
    Status::Declined,
    Status::Failed,
    Status::Cancelled,
    Status::Refunded,
];

#[test]
fn every_event_leaves_the_payment_where_it_says() {
    for status in STANDINGS {
        let payment = after::<Payments>(history(status));
        assert_eq!(payment.status, status);
        assert_eq!(
            (payment.reference, payment.amount, payment.card),
            (ORDER, 10, TestCard::TimesOut)
        );
        assert_eq!(Payments::owner(&payment), Some(MINA));
    }
}

#[test]
fn money_is_asked_for() {
    given::<Payments>([]).when(REQUEST).then([REQUESTED]);
}

#[test]
fn money_is_asked_for_once_wherever_the_payment_stands() {
    for status in STANDINGS {
        given::<Payments>(history(status)).when(REQUEST).then_nothing_new();
    }
}

#[test]
fn the_bank_says_yes_or_no_or_nothing() {
    for (report, event) in [(APPROVE, approved()), (DECLINE, declined()), (FAIL, failed())] {
        given::<Payments>(history(Status::Requested)).when(report).then([event]);
    }
}

#[test]
fn a_charge_that_was_made_after_all_is_approved() {
    given::<Payments>(history(Status::Failed))
        .when(APPROVE)
        .then([approved()]);
}

#[test]
fn money_that_was_taken_goes_back_to_a_buyer_who_asks() {
    given::<Payments>(history(Status::Approved))
        .when(REFUND)
        .then([refunded()]);
}

#[test]
fn money_for_what_did_not_come_about_goes_back() {
    for status in [Status::Approved, Status::Failed] {
        given::<Payments>(history(status)).when(CANCEL).then([cancelled(10)]);
    }
}

#[test]
fn money_that_was_never_taken_is_not_given_back() {
    let silent = given::<Payments>(history(Status::Failed));
    silent.when(CANCEL_UNCHARGED).then([cancelled(0)]);
}

#[test]
fn what_has_been_reported_already_is_nothing_new() {
    let late = [
        (Status::Approved, APPROVE),
        (Status::Refunded, APPROVE),
        (Status::Cancelled, APPROVE),
        (Status::Declined, DECLINE),
        (Status::Refunded, REFUND),
        (Status::Cancelled, CANCEL),
        (Status::Cancelled, CANCEL_UNCHARGED),
    ];
    for (status, report) in late {
        given::<Payments>(history(status)).when(report).then_nothing_new();
    }
}

#[test]
fn who_gave_up_waiting_is_told_nothing_once_there_is_an_answer() {
    for status in STANDINGS.into_iter().filter(|status| *status != Status::Requested) {
        given::<Payments>(history(status)).when(FAIL).then_nothing_new();
    }
}

#[test]
fn what_contradicts_what_has_happened_is_refused() {
    let contradictions = [
        (Status::Requested, REFUND),
        (Status::Requested, CANCEL),
        (Status::Requested, CANCEL_UNCHARGED),
        (Status::Approved, DECLINE),
        (Status::Declined, APPROVE),
        (Status::Declined, REFUND),
        (Status::Declined, CANCEL),
        (Status::Declined, CANCEL_UNCHARGED),
        (Status::Failed, DECLINE),
        (Status::Failed, REFUND),
        (Status::Cancelled, DECLINE),
        (Status::Cancelled, REFUND),
        (Status::Refunded, DECLINE),
        (Status::Refunded, CANCEL),
        (Status::Refunded, CANCEL_UNCHARGED),
    ];
    for (status, report) in contradictions {
        let asked = given::<Payments>(history(status)).when(report);
        asked.then_refused(Refusal::NotNow);
    }
}

#[test]
fn a_payment_that_nobody_asked_for_is_not_there() {
    for report in reports() {
        given::<Payments>([]).when(report).then_refused(Refusal::NoSuchPayment);
    }
}

#[test]
fn people_do_not_report_on_payments() {
    let people = [
        Actor::Member(MINA),
        Actor::Member(JUNHO),
        Actor::Admin(MINA),
        Actor::Anonymous,
    ];
    for who in people {
        given::<Payments>([])
            .by(who)
            .when(REQUEST)
            .then_refused(Refusal::NotForPeople);
        for report in reports() {
            let asked = given::<Payments>(history(Status::Approved)).by(who).when(report);
            asked.then_refused(Refusal::NotForPeople);
        }
    }
}
