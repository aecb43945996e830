//! A purchase from the order to the book. How the money comes is in `money`, how it goes back
//! in `refunds`, what holds whatever happens in `properties`.

mod money;
mod properties;
mod refunds;

use maru_schemas::envelope::Actor;
use maru_schemas::ids::{self, BookId, PaymentId};
use maru_schemas::message::Told;
use maru_schemas::payments::TestCard;
use maru_schemas::purchases::{Command, Event, Refusal, RejectCode, Status};
use maru_streams::contract::Context;
use uuid::Uuid;

use super::Purchases;
use crate::contexts::given::{COMMAND, JUNHO, MINA, after, given, plain};

type Said = Told<Event, ()>;

const BUYER: Actor = Actor::Member(MINA);
const OTHERS: [Actor; 4] = [
    Actor::Member(JUNHO),
    Actor::Admin(JUNHO),
    Actor::Anonymous,
    Actor::System,
];
const BOOK: BookId = BookId(Uuid::from_u128(0xb0));
const PAYMENT: PaymentId = PaymentId(Uuid::from_u128(0xb111));
/// Of an earlier order.
const EARLIER: PaymentId = PaymentId(Uuid::from_u128(0xb110));
const CODE: RejectCode = RejectCode::PaymentDeclined;
const REFUND: Command = Command::RequestRefund {};

const STANDINGS: [Status; 5] = [
    Status::Paying,
    Status::Completed,
    Status::Rejected,
    Status::Refunding,
    Status::Refunded,
];

fn order(price: u32) -> Command {
    Command::RequestPurchase {
        member: MINA,
        book: BOOK,
        edition: 3,
        price,
        card: TestCard::Approved,
    }
}

/// What the house reports of a payment: the money came, will not come, is back, could not go back.
fn reports(payment: PaymentId) -> [Command; 4] {
    [
        Command::CompletePurchase { payment },
        Command::RejectPurchase { payment, code: CODE },
        Command::RevokePurchase { payment },
        Command::KeepPurchase { payment },
    ]
}

fn requested(payment: PaymentId, amount: u32) -> Event {
    Event::PurchaseRequested {
        member: MINA,
        book: BOOK,
        edition: 3,
        amount,
        payment,
        card: TestCard::Approved,
    }
}

fn completed(amount: u32) -> Event {
    Event::PurchaseCompleted {
        member: MINA,
        book: BOOK,
        edition: 3,
        amount,
    }
}

fn rejected() -> Event {
    Event::PurchaseRejected {
        member: MINA,
        book: BOOK,
        code: CODE,
    }
}

fn refund_requested() -> Event {
    Event::RefundRequested {
        payment: PAYMENT,
        amount: 10,
    }
}

fn refunded(amount: u32) -> Event {
    Event::PurchaseRefunded {
        member: MINA,
        book: BOOK,
        amount,
    }
}

/// How a purchase got to where it stands.
fn history(status: Status) -> Vec<Said> {
    let ordered = requested(PAYMENT, 10);
    let events = match status {
        Status::Paying => vec![ordered],
        Status::Completed => vec![ordered, completed(10)],
        Status::Rejected => vec![ordered, rejected()],
        Status::Refunding => vec![ordered, completed(10), refund_requested()],
        Status::Refunded => vec![ordered, completed(10), refund_requested(), refunded(10)],
    };
    events.into_iter().map(plain::<Purchases>).collect()
}

fn free() -> Vec<Said> {
    vec![plain::<Purchases>(completed(0))]
}

#[test]
fn every_event_leaves_the_purchase_where_it_says() {
    for status in STANDINGS {
        let purchase = after::<Purchases>(history(status));
        assert_eq!((purchase.status, purchase.payment), (status, Some(PAYMENT)));
        assert_eq!((purchase.member, purchase.book), (Some(MINA), Some(BOOK)));
        assert_eq!((purchase.edition, purchase.amount), (3, 10));
        assert_eq!(purchase.code, (status == Status::Rejected).then_some(CODE));
        assert_eq!(Purchases::owner(&purchase), Some(MINA));
    }
}

#[test]
fn only_a_completed_purchase_opens_the_contents() {
    for status in STANDINGS {
        let purchase = after::<Purchases>(history(status));
        assert_eq!(purchase.entitles(), status == Status::Completed, "{status:?}");
    }
    assert!(after::<Purchases>(free()).entitles());
}

#[test]
fn an_order_waits_for_its_payment() {
    let payment = PaymentId(ids::derive(COMMAND, "payment"));
    let asked = given::<Purchases>([]).by(BUYER).when(order(10));
    asked.then([requested(payment, 10)]);
}

#[test]
fn a_book_that_costs_nothing_is_theirs_at_once() {
    given::<Purchases>([]).by(BUYER).when(order(0)).then([completed(0)]);
}

#[test]
fn nobody_buys_for_somebody_else() {
    for other in OTHERS {
        let asked = given::<Purchases>([]).by(other).when(order(10));
        asked.then_refused(Refusal::NotYours);
    }
}

#[test]
fn a_second_purchase_of_the_same_book_is_refused() {
    let refusals = [
        (Status::Paying, Refusal::StillPaying),
        (Status::Completed, Refusal::AlreadyBought),
        (Status::Refunding, Refusal::RefundUnderWay),
    ];
    for (status, refusal) in refusals {
        for price in [0, 10] {
            let asked = given::<Purchases>(history(status)).by(BUYER).when(order(price));
            asked.then_refused(refusal);
        }
    }
}

#[test]
fn what_did_not_come_about_or_was_given_back_can_be_bought_again() {
    let payment = PaymentId(ids::derive(COMMAND, "payment"));
    for status in [Status::Rejected, Status::Refunded] {
        let told = given::<Purchases>(history(status)).by(BUYER).when(order(20)).told();
        assert_eq!(told[0].event, requested(payment, 20));
        let purchase = after::<Purchases>(history(status).into_iter().chain(told));
        assert_eq!((purchase.status, purchase.payment), (Status::Paying, Some(payment)));
        assert_eq!((purchase.amount, purchase.code), (20, None));
    }
}

#[test]
fn a_free_book_forgets_the_payment_of_an_earlier_order() {
    let purchase = after::<Purchases>(history(Status::Rejected).into_iter().chain(free()));
    assert_eq!((purchase.payment, purchase.amount, purchase.code), (None, 0, None));
}

#[test]
fn people_do_not_report_on_payments() {
    for who in [BUYER, Actor::Member(JUNHO), Actor::Admin(JUNHO), Actor::Anonymous] {
        for report in reports(PAYMENT) {
            let asked = given::<Purchases>(history(Status::Paying)).by(who).when(report);
            asked.then_refused(Refusal::NotForPeople);
        }
    }
}

#[test]
fn what_nobody_ordered_is_not_there() {
    for report in reports(PAYMENT) {
        given::<Purchases>([])
            .when(report)
            .then_refused(Refusal::NoSuchPurchase);
    }
    given::<Purchases>([])
        .by(BUYER)
        .when(REFUND)
        .then_refused(Refusal::NoSuchPurchase);
}
