//! What follows from what happened. The lines of the two flows' tables are in `stories` and `money`;
//! here, that each flow hears just what it answers to.

mod money;
mod stories;

use std::collections::BTreeSet;

use maru_schemas::books;
use maru_schemas::ids::{BookId, ImageId, JobId, MemberId, PaymentId, PurchaseId};
use maru_schemas::jobs::FailureCode;
use maru_schemas::members::{self, Role};
use maru_schemas::message::Message;
use maru_schemas::payments::{self, DeclineCode, TestCard};
use maru_schemas::purchases::{self, RejectCode};
use maru_schemas::reviews::{self, HalfStars};
use maru_streams::flow::Flow;
use maru_streams::intention::Intention;
use uuid::Uuid;

use super::{all, authoring, checkout};
use crate::facts::Fact;

const MINA: MemberId = MemberId(Uuid::from_u128(0xa11ce));
const BOOK: BookId = BookId(Uuid::from_u128(0xb0));
const JOB: JobId = JobId(Uuid::from_u128(0x70b));
const PAYMENT: PaymentId = PaymentId(Uuid::from_u128(0xb111));
const PURCHASE: PurchaseId = PurchaseId(Uuid::from_u128(0xb04e));
const CODE: FailureCode = FailureCode::ProviderUnavailable;

fn books_events() -> Vec<books::Event> {
    use books::Event::*;
    let (job, image, price, edition, attempt, attempts, code) = (JOB, true, 10, 2, 1, 4, CODE);
    vec![
        BookCreated {
            author: MINA,
            price,
            edition,
        },
        BookEdited { price, edition },
        BookPublished { price, edition },
        BookWithdrawn {},
        StoryRequested { job, image },
        StoryStarted { job, attempt },
        StoryAttached { job, edition, image },
        StoryFailed {
            job,
            code,
            attempts,
            image,
        },
        StoryCancelled { job },
        ImageRequested { job },
        ImageStarted { job, attempt },
        ImageAttached {
            job,
            image: ImageId(Uuid::nil()),
            edition,
        },
        ImageFailed { job, code, attempts },
        ImageCancelled { job },
    ]
}

fn payments_events() -> Vec<payments::Event> {
    use payments::Event::*;
    let (reference, amount) = (PURCHASE.0, 10);
    vec![
        PaymentRequested {
            reference,
            member: MINA,
            amount,
            card: TestCard::TimesOut,
        },
        PaymentApproved { reference, amount },
        PaymentDeclined {
            reference,
            code: DeclineCode::CardDeclined,
        },
        PaymentFailed { reference, code: CODE },
        PaymentRefunded { reference, amount },
        PaymentCancelled { reference, amount },
    ]
}

fn purchases_events() -> Vec<purchases::Event> {
    use purchases::Event::*;
    let (member, book, edition, amount, payment) = (MINA, BOOK, 3, 10, PAYMENT);
    vec![
        PurchaseRequested {
            member,
            book,
            edition,
            amount,
            payment,
            card: TestCard::TimesOut,
        },
        PurchaseCompleted {
            member,
            book,
            edition,
            amount,
        },
        PurchaseRejected {
            member,
            book,
            code: RejectCode::PaymentDeclined,
        },
        CompletionRefused { payment },
        RefundRequested { payment, amount },
        RefundFailed { payment },
        PurchaseRefunded { member, book, amount },
    ]
}

fn reviews_events() -> Vec<reviews::Event> {
    use reviews::Event::*;
    let (book, rating) = (BOOK, HalfStars::try_from(9).unwrap());
    vec![
        ReviewWritten {
            member: MINA,
            book,
            rating,
        },
        ReviewEdited {
            book,
            before: rating,
            rating,
        },
        ReviewRemoved { book, before: rating },
    ]
}

/// One event of every kind of the house; of those that may want an image, one that does.
fn everything() -> Vec<Fact> {
    let joined = members::Event::AccountRegistered {
        member: MINA,
        role: Role::Author,
    };
    let mut facts = vec![Fact::Members(joined)];
    facts.extend(books_events().into_iter().map(Fact::Books));
    facts.extend(payments_events().into_iter().map(Fact::Payments));
    facts.extend(purchases_events().into_iter().map(Fact::Purchases));
    facts.extend(reviews_events().into_iter().map(Fact::Reviews));
    facts
}

const fn nothing() -> Vec<Intention> {
    Vec::new()
}

fn name(fact: &Fact) -> (&'static str, &'static str) {
    match fact {
        Fact::Members(event) => (members::CONTEXT, event.kind()),
        Fact::Books(event) => (books::CONTEXT, event.kind()),
        Fact::Payments(event) => (payments::CONTEXT, event.kind()),
        Fact::Purchases(event) => (purchases::CONTEXT, event.kind()),
        Fact::Reviews(event) => (reviews::CONTEXT, event.kind()),
    }
}

fn kinds(context: &str) -> &'static [&'static str] {
    match context {
        members::CONTEXT => members::Event::KINDS,
        books::CONTEXT => books::Event::KINDS,
        payments::CONTEXT => payments::Event::KINDS,
        purchases::CONTEXT => purchases::Event::KINDS,
        reviews::CONTEXT => reviews::Event::KINDS,
        other => panic!("there is no context {other}"),
    }
}

fn heard(flow: &Flow) -> BTreeSet<(&'static str, &'static str)> {
    let mut heard = BTreeSet::new();
    for (context, kinds) in flow.hears {
        heard.extend(kinds.iter().map(|kind| (*context, *kind)));
    }
    heard
}

fn answered(react: impl Fn(&Fact) -> Vec<Intention>) -> BTreeSet<(&'static str, &'static str)> {
    let facts = everything();
    facts.iter().filter(|fact| !react(fact).is_empty()).map(name).collect()
}

#[test]
fn what_is_heard_can_be_said() {
    for flow in all() {
        for (context, kind) in heard(&flow) {
            assert!(kinds(context).contains(&kind), "{} hears {context}.{kind}", flow.name);
        }
    }
}

#[test]
fn every_kind_of_event_is_tried_here() {
    let tried: BTreeSet<_> = everything().iter().map(name).collect();
    let said: BTreeSet<_> = maru_schemas::CONTEXTS
        .into_iter()
        .flat_map(|context| kinds(context).iter().map(move |kind| (context, *kind)))
        .collect();
    assert_eq!(tried, said);
}

#[test]
fn a_flow_hears_just_what_it_answers_to() {
    assert_eq!(heard(&authoring::FLOW), answered(|fact| authoring::react(BOOK, fact)));
    assert_eq!(
        heard(&checkout::FLOW),
        answered(|fact| checkout::react(PURCHASE.0, fact))
    );
}

#[test]
fn no_two_flows_share_a_name() {
    let names: BTreeSet<_> = all().iter().map(|flow| flow.name).collect();
    assert_eq!(names.len(), all().len());
}
