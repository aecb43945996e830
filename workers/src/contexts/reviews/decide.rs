//! May it happen?

use maru_schemas::envelope::Actor;
use maru_schemas::message::Told;
use maru_schemas::reviews::{Command, Event, Refusal, Review, Text};
use maru_streams::contract::By;

pub(super) fn decide(review: &Review, command: &Command, by: &By) -> Result<Vec<Told<Event, Text>>, Refusal> {
    match command {
        Command::WriteReview {
            member,
            book,
            rating,
            content,
            bought,
        } => {
            if !by.actor.is(*member) {
                return Err(Refusal::NotYours);
            }
            if review.rating.is_some() {
                return Err(Refusal::AlreadyWritten);
            }
            if !bought {
                return Err(Refusal::BuyersOnly);
            }
            let event = Event::ReviewWritten {
                member: *member,
                book: *book,
                rating: *rating,
            };
            Ok(vec![Told::with(event, words(Some(content.clone())))])
        }
        Command::EditReview { rating, content } => {
            let (Some(book), Some(before)) = (review.book, review.rating) else {
                return Err(Refusal::NoSuchReview);
            };
            authors_own(review, by)?;
            let rating = rating.unwrap_or(before);
            let content = content.clone().filter(|content| *content != review.content);
            if rating == before && content.is_none() {
                return Ok(Vec::new());
            }
            Ok(vec![Told::with(
                Event::ReviewEdited { book, before, rating },
                words(content),
            )])
        }
        Command::RemoveReview {} => {
            let Some(book) = review.book else {
                return Err(Refusal::NoSuchReview);
            };
            if !matches!(by.actor, Actor::Admin(_)) {
                authors_own(review, by)?;
            }
            Ok(review
                .rating
                .map(|before| Told::plain(Event::ReviewRemoved { book, before }))
                .into_iter()
                .collect())
        }
    }
}

fn authors_own(review: &Review, by: &By) -> Result<(), Refusal> {
    match review.member {
        Some(member) if by.actor.is(member) => Ok(()),
        _ => Err(Refusal::NotYours),
    }
}

const fn words(content: Option<String>) -> Text {
    Text { content }
}
