//! What it leaves behind.

use maru_schemas::message::Told;
use maru_schemas::reviews::{Event, Review, Text};

pub(super) fn evolve(mut review: Review, told: &Told<Event, Text>) -> Review {
    match &told.event {
        Event::ReviewWritten { member, book, rating } => {
            review.member = Some(*member);
            review.book = Some(*book);
            review.rating = Some(*rating);
        }
        Event::ReviewEdited { rating, .. } => review.rating = Some(*rating),
        Event::ReviewRemoved { .. } => {
            review.rating = None;
            review.content = String::new();
        }
    }
    review.content = told.text.content.clone().unwrap_or(review.content);
    review
}
