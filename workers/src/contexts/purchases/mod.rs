//! # Purchases
//!
//! A member orders a book; when the money has come, the contents are theirs, in the edition that they
//! ordered. The price is the one of the order, whatever the book costs later. A refund closes the
//! contents as soon as it is asked for, and opens them again should the money not go back.

mod decide;
mod evolve;
#[cfg(test)]
mod tests;

use maru_schemas::ids::MemberId;
use maru_schemas::message::Told;
use maru_schemas::purchases::{self, Command, Event, Purchase, Refusal};
use maru_streams::contract::{By, Context};

/// The context of purchases.
#[derive(Debug)]
pub struct Purchases;

impl Context for Purchases {
    type Says = purchases::Purchases;
    type State = Purchase;
    type Refusal = Refusal;

    fn decide(purchase: &Purchase, command: &Command, by: &By) -> Result<Vec<Told<Event, ()>>, Refusal> {
        decide::decide(purchase, command, by).map(|events| events.into_iter().map(Told::plain).collect())
    }

    fn evolve(purchase: Purchase, told: &Told<Event, ()>) -> Purchase {
        evolve::evolve(purchase, &told.event)
    }

    fn owner(purchase: &Purchase) -> Option<MemberId> {
        purchase.member
    }
}
