//! # Reviews
//!
//! Who bought a book may say what they think of it, once, and change or take it back. The event tells
//! the rating before and after, so that whoever keeps an average needs no memory of single reviews.

mod decide;
mod evolve;
#[cfg(test)]
mod tests;

use maru_schemas::ids::MemberId;
use maru_schemas::message::Told;
use maru_schemas::reviews::{self, Command, Event, Refusal, Review, Text};
use maru_streams::contract::{By, Context};

/// The context of reviews.
#[derive(Debug)]
pub struct Reviews;

impl Context for Reviews {
    type Says = reviews::Reviews;
    type State = Review;
    type Refusal = Refusal;

    fn decide(review: &Review, command: &Command, by: &By) -> Result<Vec<Told<Event, Text>>, Refusal> {
        decide::decide(review, command, by)
    }

    fn evolve(review: Review, told: &Told<Event, Text>) -> Review {
        evolve::evolve(review, told)
    }

    fn owner(review: &Review) -> Option<MemberId> {
        review.member
    }
}
