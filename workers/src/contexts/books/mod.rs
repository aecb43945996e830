//! # Books
//!
//! An author begins a book, has its story written and its image painted (each on its own, each may
//! fail and be asked for again), publishes it, changes it, and may withdraw it. Whatever a book says is
//! kept as an edition, so that who bought it keeps what they bought.
//!
//! The workers that write and paint report back with the id of their unit of work; a report about any
//! other unit than the current one comes late and changes nothing. What is called off is forgotten, so
//! that every report about it is late.

mod decide;
mod evolve;
#[cfg(test)]
mod tests;

use maru_schemas::books::{self, Book, Command, Edition, Event, Refusal, Text};
use maru_schemas::ids::MemberId;
use maru_schemas::message::Told;
use maru_streams::contract::{By, Context, Row};
use maru_streams::store::{Key, Part};
use uuid::Uuid;

/// The context of books.
#[derive(Debug)]
pub struct Books;

impl Context for Books {
    type Says = books::Books;
    type State = Book;
    type Refusal = Refusal;

    fn decide(book: &Book, command: &Command, by: &By) -> Result<Vec<Told<Event, Text>>, Refusal> {
        decide::decide(book, command, by)
    }

    fn evolve(book: Book, told: &Told<Event, Text>) -> Book {
        evolve::evolve(book, told)
    }

    fn owner(book: &Book) -> Option<MemberId> {
        book.author
    }

    fn keeps(subject: Uuid, book: &Book, _: &Told<Event, Text>) -> Vec<Row> {
        let Some(author) = book.author else { return Vec::new() };
        let edition = Edition {
            author,
            title: book.title.clone(),
            contents: book.contents.clone(),
            image: book.image,
        };
        // Written with every event and the same until the next edition begins.
        vec![Row {
            key: edition_key(subject, book.edition),
            doc: serde_json::json!(edition),
        }]
    }
}

/// Where an edition is kept.
#[must_use]
pub fn edition_key(book: Uuid, edition: u32) -> Key {
    Key::new("books_edition", [Part::from(book), Part::Number(i64::from(edition))])
}
