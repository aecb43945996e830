//! One book, with everything about it but its contents.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::books::{self, Event, Status, WorkStatus};
use maru_schemas::ids::BookId;
use maru_schemas::reviews;
use maru_schemas::views::{BOOK_DETAIL, BookDetail, Rating, image_url};
use maru_streams::jobs::Delivery;
use maru_streams::store::Key;
use maru_streams::views::{FoldError, Rows, View};
use uuid::Uuid;

use super::{author, book, edition, fact};
use crate::facts::Fact;

/// `book_detail:[book]`.
pub(super) struct BookDetailView;

impl View for BookDetailView {
    fn name(&self) -> &'static str {
        BOOK_DETAIL
    }

    fn tables(&self) -> &'static [&'static str] {
        &[BOOK_DETAIL]
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

async fn row(rows: &Rows, id: Uuid) -> Result<BookDetail, FoldError> {
    rows.get(&Key::of(BOOK_DETAIL, id))
        .await?
        .ok_or(FoldError::NotThere(BOOK_DETAIL))
}

async fn about_book(event: &Delivery, told: &Event, rows: &mut Rows) -> Result<(), FoldError> {
    let id = event.envelope.subject;
    let mut row = match told {
        Event::BookCreated {
            author: by,
            price,
            edition: number,
        } => BookDetail {
            book_id: BookId(id),
            title: edition(rows, id, *number).await?.title,
            synopsis: book(rows, id).await?.synopsis,
            author: author(rows, *by).await?,
            price: *price,
            status: Status::Draft,
            story_status: WorkStatus::None,
            story_attempts: 0,
            story_failure: None,
            image_status: WorkStatus::None,
            image_attempts: 0,
            image_failure: None,
            image_url: None,
            edition: *number,
            version: 0,
            rating: Rating::default(),
            created_at: event.envelope.time,
        },
        _ => row(rows, id).await?,
    };
    row.version = event.envelope.version.unwrap_or_default();
    match told {
        Event::BookCreated { .. } => {}
        Event::BookEdited { price, edition: number } => {
            row.price = *price;
            row.edition = *number;
            row.title = edition(rows, id, *number).await?.title;
            row.synopsis = book(rows, id).await?.synopsis;
        }
        Event::BookPublished { .. } => row.status = Status::Published,
        Event::BookWithdrawn {} => row.status = Status::Withdrawn,
        Event::StoryRequested { .. } => {
            row.synopsis = book(rows, id).await?.synopsis;
            row.story_status = WorkStatus::Requested;
            row.story_attempts = 0;
            row.story_failure = None;
        }
        Event::StoryStarted { attempt, .. } => {
            row.story_status = WorkStatus::Generating;
            row.story_attempts = *attempt;
        }
        Event::StoryAttached { edition, .. } => {
            row.story_status = WorkStatus::Ready;
            row.story_failure = None;
            row.edition = *edition;
        }
        Event::StoryFailed { code, .. } => {
            row.story_status = WorkStatus::Failed;
            row.story_failure = Some(*code);
        }
        Event::StoryCancelled { .. } => {
            row.story_status = WorkStatus::None;
            row.story_attempts = 0;
        }
        Event::ImageRequested { .. } => {
            row.image_status = WorkStatus::Requested;
            row.image_attempts = 0;
            row.image_failure = None;
        }
        Event::ImageStarted { attempt, .. } => {
            row.image_status = WorkStatus::Generating;
            row.image_attempts = *attempt;
        }
        Event::ImageAttached { image, edition, .. } => {
            row.image_status = WorkStatus::Ready;
            row.image_failure = None;
            row.image_url = Some(image_url(*image));
            row.edition = *edition;
        }
        Event::ImageFailed { code, .. } => {
            row.image_status = WorkStatus::Failed;
            row.image_failure = Some(*code);
        }
        Event::ImageCancelled { .. } => {
            row.image_status = WorkStatus::None;
            row.image_attempts = 0;
        }
    }
    rows.put(Key::of(BOOK_DETAIL, id), &row)
}

/// Of which book a review is, and how it changes the sum of half stars and the count.
pub(super) fn change_of(told: &reviews::Event) -> (BookId, i64, i64) {
    let halves = |rating: &reviews::HalfStars| i64::try_from(rating.halves()).unwrap_or_default();
    match told {
        reviews::Event::ReviewWritten { book, rating, .. } => (*book, halves(rating), 1),
        reviews::Event::ReviewEdited { book, before, rating } => (*book, halves(rating) - halves(before), 0),
        reviews::Event::ReviewRemoved { book, before } => (*book, -halves(before), -1),
    }
}

async fn about_review(told: &reviews::Event, rows: &mut Rows) -> Result<(), FoldError> {
    let (id, half_stars, count) = change_of(told);
    let mut row = row(rows, id.0).await?;
    row.rating = row.rating.changed(half_stars, count);
    rows.put(Key::of(BOOK_DETAIL, id), &row)
}
