//! # Payments
//!
//! Money is asked for, and the worker that talks to the provider reports what came of it. People never
//! speak to this context; they see their payments in the history. A report that comes late meets a
//! payment that has moved on, and either nothing new happens or the money has to go back.

mod decide;
mod evolve;
#[cfg(test)]
mod tests;

use maru_schemas::ids::MemberId;
use maru_schemas::message::Told;
use maru_schemas::payments::{self, Command, Event, Payment, Refusal};
use maru_streams::contract::{By, Context};

/// The context of payments.
#[derive(Debug)]
pub struct Payments;

impl Context for Payments {
    type Says = payments::Payments;
    type State = Payment;
    type Refusal = Refusal;

    fn decide(payment: &Payment, command: &Command, by: &By) -> Result<Vec<Told<Event, ()>>, Refusal> {
        decide::decide(payment, command, by).map(|event| event.into_iter().map(Told::plain).collect())
    }

    fn evolve(payment: Payment, told: &Told<Event, ()>) -> Payment {
        evolve::evolve(payment, &told.event)
    }

    fn owner(payment: &Payment) -> Option<MemberId> {
        payment.member
    }
}
