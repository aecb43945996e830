//! The catalogue: what is published, newest first.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::books::{self, Event};
use maru_schemas::ids::BookId;
use maru_schemas::reviews;
use maru_schemas::views::{BOOK_HOME, BookHome, Rating, image_url};
use maru_streams::jobs::Delivery;
use maru_streams::store::{Key, Part};
use maru_streams::views::{FoldError, Rows, View};
use uuid::Uuid;

use super::{author, edition, fact};
use crate::facts::Fact;

/// `book_home:[newest first, book]`.
pub(super) struct BookHomeView;

impl View for BookHomeView {
    fn name(&self) -> &'static str {
        BOOK_HOME
    }

    fn tables(&self) -> &'static [&'static str] {
        &[BOOK_HOME]
    }

    fn contexts(&self) -> &'static [&'static str] {
        &[books::CONTEXT, reviews::CONTEXT]
    }

    fn fold<'a>(&'a self, event: &'a Delivery, rows: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>> {
        async move {
            match fact(event)? {
                Fact::Books(told) => about_book(event, &told, rows).await,
                Fact::Reviews(told) => about_review(&told, rows).await,
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

fn key(place: i64, book: Uuid) -> Key {
    Key::new(BOOK_HOME, [Part::Number(place), Part::from(book)])
}

/// The row of a book, if it is in the catalogue.
async fn row(rows: &Rows, book: Uuid) -> Result<Option<(Key, BookHome)>, FoldError> {
    let Some(place) = rows.place(book).await? else {
        return Ok(None);
    };
    let key = key(place, book);
    Ok(rows.get(&key).await?.map(|row| (key, row)))
}

async fn about_book(event: &Delivery, told: &Event, rows: &mut Rows) -> Result<(), FoldError> {
    let id = event.envelope.subject;
    match told {
        Event::BookPublished { price, edition: number } => {
            let said = edition(rows, id, *number).await?;
            let place = rows.give_place(id, event.envelope.time)?;
            let row = BookHome {
                book_id: BookId(id),
                author: author(rows, said.author).await?,
                title: said.title,
                price: *price,
                image_url: said.image.map(image_url),
                rating: Rating::default(),
                published_at: event.envelope.time,
            };
            rows.put(key(place, id), &row)
        }
        Event::BookWithdrawn {} => {
            if let Some((key, _)) = row(rows, id).await? {
                rows.delete(key);
            }
            Ok(())
        }
        Event::BookEdited { edition: number, .. }
        | Event::StoryAttached { edition: number, .. }
        | Event::ImageAttached { edition: number, .. } => {
            let Some((key, mut row)) = row(rows, id).await? else {
                return Ok(());
            };
            let said = edition(rows, id, *number).await?;
            row.title = said.title;
            row.image_url = said.image.map(image_url);
            if let Event::BookEdited { price, .. } = told {
                row.price = *price;
            }
            rows.put(key, &row)
        }
        _ => Ok(()),
    }
}

async fn about_review(told: &reviews::Event, rows: &mut Rows) -> Result<(), FoldError> {
    let (id, half_stars, count) = super::book_detail::change_of(told);
    // A review of a book that was withdrawn meanwhile finds no row; book_detail keeps its rating.
    let Some((key, mut row)) = row(rows, id.0).await? else {
        return Ok(());
    };
    row.rating = row.rating.changed(half_stars, count);
    rows.put(key, &row)
}
