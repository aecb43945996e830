//! An event of any context, for those who listen to several.

use maru_schemas::message::Contract;
use maru_schemas::{books, members, payments, purchases, reviews};
use maru_streams::jobs::{Delivery, Reason, Verdict};
use maru_streams::subject::Subject;

/// What happened, somewhere in the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// To an account.
    Members(members::Event),
    /// To a book.
    Books(books::Event),
    /// To a payment.
    Payments(payments::Event),
    /// To a purchase.
    Purchases(purchases::Event),
    /// To a review.
    Reviews(reviews::Event),
}

impl Fact {
    /// Reads what was delivered.
    ///
    /// # Errors
    /// The verdict on what cannot be read.
    pub fn read(delivery: &Delivery) -> Result<Self, Verdict> {
        let Some(Subject::Event { context, .. }) = Subject::parse(&delivery.subject) else {
            return Err(Verdict::Poison(Reason::new(
                "unknown_kind",
                "this is not an event of ours",
            )));
        };
        match context {
            books::Books::CONTEXT => delivery.decode().map(Self::Books),
            members::Members::CONTEXT => delivery.decode().map(Self::Members),
            payments::Payments::CONTEXT => delivery.decode().map(Self::Payments),
            purchases::Purchases::CONTEXT => delivery.decode().map(Self::Purchases),
            reviews::Reviews::CONTEXT => delivery.decode().map(Self::Reviews),
            _ => Err(Verdict::Poison(Reason::new(
                "unknown_kind",
                "this build does not know such a context",
            ))),
        }
    }
}
