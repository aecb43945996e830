//! What readers say of a book, newest first.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::ids::{BookId, ReviewId};
use maru_schemas::reviews::{self, Event, Review};
use maru_schemas::views::{BOOK_REVIEWS, BookReview};
use maru_streams::jobs::Delivery;
use maru_streams::store::{Key, Part};
use maru_streams::views::{FoldError, Rows, View};
use uuid::Uuid;

use super::{author, fact};
use crate::facts::Fact;

/// `book_reviews:[book, newest first, review]`.
pub(super) struct BookReviewsView;

impl View for BookReviewsView {
    fn name(&self) -> &'static str {
        BOOK_REVIEWS
    }

    fn tables(&self) -> &'static [&'static str] {
        &[BOOK_REVIEWS]
    }

    fn contexts(&self) -> &'static [&'static str] {
        &[reviews::CONTEXT]
    }

    fn fold<'a>(&'a self, event: &'a Delivery, rows: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>> {
        async move {
            match fact(event)? {
                Fact::Reviews(told) => about_review(event, &told, rows).await,
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

fn key(book: BookId, place: i64, review: Uuid) -> Key {
    Key::new(
        BOOK_REVIEWS,
        [Part::from(book.0), Part::Number(place), Part::from(review)],
    )
}

async fn about_review(event: &Delivery, told: &Event, rows: &mut Rows) -> Result<(), FoldError> {
    let id = event.envelope.subject;
    match told {
        Event::ReviewWritten { member, book, rating } => {
            let written: Review = rows.owners_state(reviews::CONTEXT, id).await?;
            let place = rows.give_place(id, event.envelope.time)?;
            let row = BookReview {
                review_id: ReviewId(id),
                book_id: *book,
                by: author(rows, *member).await?,
                rating: rating.stars(),
                content: written.content,
                written_at: event.envelope.time,
            };
            rows.put(key(*book, place, id), &row)
        }
        Event::ReviewEdited { book, rating, .. } => {
            let key = place(rows, *book, id).await?;
            let written: Review = rows.owners_state(reviews::CONTEXT, id).await?;
            let mut row: BookReview = rows.get(&key).await?.ok_or(FoldError::NotThere(BOOK_REVIEWS))?;
            row.rating = rating.stars();
            row.content = written.content;
            rows.put(key, &row)
        }
        Event::ReviewRemoved { book, .. } => {
            let key = place(rows, *book, id).await?;
            rows.delete(key);
            Ok(())
        }
    }
}

async fn place(rows: &Rows, book: BookId, review: Uuid) -> Result<Key, FoldError> {
    let place = rows.place(review).await?.ok_or(FoldError::NotThere("place"))?;
    Ok(key(book, place, review))
}
