//! An author's own books, newest first.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::books::{self, Event, Status, WorkStatus};
use maru_schemas::ids::{BookId, MemberId};
use maru_schemas::views::{MY_BOOKS, MyBook, image_url};
use maru_streams::jobs::Delivery;
use maru_streams::store::{Key, Part};
use maru_streams::views::{FoldError, Rows, View};
use uuid::Uuid;

use super::{edition, fact};
use crate::facts::Fact;

/// `my_books:[author, newest first, book]`.
pub(super) struct MyBooksView;

impl View for MyBooksView {
    fn name(&self) -> &'static str {
        MY_BOOKS
    }

    fn tables(&self) -> &'static [&'static str] {
        &[MY_BOOKS]
    }

    fn contexts(&self) -> &'static [&'static str] {
        &[books::CONTEXT]
    }

    fn fold<'a>(&'a self, event: &'a Delivery, rows: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>> {
        async move {
            match fact(event)? {
                Fact::Books(told) => about_book(event, &told, rows).await,
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

fn key(author: MemberId, place: i64, book: Uuid) -> Key {
    Key::new(MY_BOOKS, [Part::from(author.0), Part::Number(place), Part::from(book)])
}

async fn about_book(event: &Delivery, told: &Event, rows: &mut Rows) -> Result<(), FoldError> {
    let id = event.envelope.subject;
    let (key, mut row) = match told {
        Event::BookCreated {
            author,
            price,
            edition: number,
        } => {
            let place = rows.give_place(id, event.envelope.time)?;
            let row = MyBook {
                book_id: BookId(id),
                title: edition(rows, id, *number).await?.title,
                price: *price,
                status: Status::Draft,
                story_status: WorkStatus::None,
                image_status: WorkStatus::None,
                image_url: None,
                created_at: event.envelope.time,
            };
            (key(*author, place, id), row)
        }
        _ => {
            let author = event.envelope.owner.ok_or(FoldError::NotThere("owner"))?;
            let place = rows.place(id).await?.ok_or(FoldError::NotThere("place"))?;
            let key = key(author, place, id);
            let row = rows.get(&key).await?.ok_or(FoldError::NotThere(MY_BOOKS))?;
            (key, row)
        }
    };
    match told {
        Event::BookCreated { .. } => {}
        Event::BookEdited { price, edition: number } => {
            row.price = *price;
            row.title = edition(rows, id, *number).await?.title;
        }
        Event::BookPublished { .. } => row.status = Status::Published,
        Event::BookWithdrawn {} => row.status = Status::Withdrawn,
        Event::StoryRequested { .. } => row.story_status = WorkStatus::Requested,
        Event::StoryStarted { .. } => row.story_status = WorkStatus::Generating,
        Event::StoryAttached { .. } => row.story_status = WorkStatus::Ready,
        Event::StoryFailed { .. } => row.story_status = WorkStatus::Failed,
        Event::StoryCancelled { .. } => row.story_status = WorkStatus::None,
        Event::ImageRequested { .. } => row.image_status = WorkStatus::Requested,
        Event::ImageStarted { .. } => row.image_status = WorkStatus::Generating,
        Event::ImageAttached { image, .. } => {
            row.image_status = WorkStatus::Ready;
            row.image_url = Some(image_url(*image));
        }
        Event::ImageFailed { .. } => row.image_status = WorkStatus::Failed,
        Event::ImageCancelled { .. } => row.image_status = WorkStatus::None,
    }
    rows.put(key, &row)
}
