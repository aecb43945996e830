//! Views: events folded into the rows that people read, one view a file. An event carries ids, enums
//! and amounts; the words beside it are read from their owner's rows.

mod book_detail;
mod book_home;
mod book_reviews;
mod my_books;
mod my_library;
mod payment_history;

use std::sync::Arc;

use maru_schemas::books::{self, Edition};
use maru_schemas::ids::MemberId;
use maru_schemas::members::Profile;
use maru_schemas::views::Author;
use maru_streams::jobs::Delivery;
use maru_streams::store::{Key, Part};
use maru_streams::views::{FoldError, Rows, View};
use uuid::Uuid;

use crate::facts::Fact;

/// Every view of the house.
#[must_use]
pub fn all() -> Vec<Arc<dyn View>> {
    vec![
        Arc::new(book_home::BookHomeView),
        Arc::new(book_detail::BookDetailView),
        Arc::new(my_books::MyBooksView),
        Arc::new(my_library::MyLibraryView),
        Arc::new(book_reviews::BookReviewsView),
        Arc::new(payment_history::PaymentHistoryView),
    ]
}

/// The event as a fact. One that this build cannot read holds the view: skipping it would be a lie.
fn fact(event: &Delivery) -> Result<Fact, FoldError> {
    Fact::read(event).map_err(|_| FoldError::Unreadable { seq: event.seq })
}

/// What an edition says.
async fn edition(rows: &Rows, book: Uuid, edition: u32) -> Result<Edition, FoldError> {
    let key = Key::new("books_edition", [Part::from(book), Part::Number(i64::from(edition))]);
    rows.owners("edition", &key).await
}

/// The book as its author left it.
async fn book(rows: &Rows, id: Uuid) -> Result<books::Book, FoldError> {
    rows.owners_state(books::CONTEXT, id).await
}

/// The name behind a member id.
async fn author(rows: &Rows, member_id: MemberId) -> Result<Author, FoldError> {
    let profile: Profile = rows.owners("profile", &Key::of("members_profile", member_id)).await?;
    Ok(Author {
        member_id,
        nickname: profile.nickname,
    })
}
