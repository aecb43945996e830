//! Takes away images that no book will ever show: they were painted for a request that somebody has taken
//! back by asking anew.
//!
//! An image says for which book it was painted, so one book's rows are read and never all of them. What may
//! still be attached stays, and so does an image of which nobody knows the book.

use std::time::Duration;

use jiff::SignedDuration;
use maru_schemas::books::{self, Book, Edition};
use maru_schemas::ids::{self, BookId, ImageId};
use maru_streams::objects::Stored;
use maru_streams::store::{Part, StoreError};
use uuid::Uuid;

use super::{Clockwork, Outcome, reason};

/// Younger ones are left alone: their book may not have heard of them yet.
const YOUNG: Duration = Duration::from_secs(24 * 3600);
/// The editions that are read at a time; they hold whole stories.
const PAGE: usize = 20;

/// Takes away what no edition names, and returns how many images that were.
///
/// # Errors
/// When a server does not answer.
pub async fn collect(clockwork: &Clockwork) -> Outcome {
    let taken = clockwork
        .leases()
        .take("images")
        .await
        .map_err(|error| reason(&error))?;
    let Some(lease) = taken else { return Ok(0) };
    let young = SignedDuration::try_from(YOUNG).unwrap_or_default();
    let old = clockwork.clock.now().checked_sub(young).unwrap_or_default();
    let images = clockwork.images();
    let mut collected = 0;
    for stored in images.older_than(old).await.map_err(|error| reason(&error))? {
        if !lease.is_held() {
            break;
        }
        if !is_garbage(clockwork, &stored).await.map_err(|error| reason(&error))? {
            continue;
        }
        images.delete(&stored.name).await.map_err(|error| reason(&error))?;
        collected += 1;
    }
    lease.free().await;
    Ok(collected)
}

async fn is_garbage(clockwork: &Clockwork, stored: &Stored) -> Result<bool, StoreError> {
    let (Some(about), Ok(image)) = (stored.about, Uuid::parse_str(&stored.name)) else {
        return Ok(false);
    };
    let (book, image) = (BookId(about), ImageId(image));
    let Some((_, state)) = clockwork.store.state::<Book>(books::CONTEXT, book).await? else {
        return Ok(false);
    };
    if is_expected(&state, image) {
        return Ok(false);
    }
    let mut after = Vec::new();
    loop {
        let prefix = [Part::from(book.0)];
        let page: Vec<(Vec<Part>, Edition)> = clockwork.store.page("books_edition", &prefix, &after, PAGE).await?;
        if page.iter().any(|(_, edition)| edition.image == Some(image)) {
            return Ok(false);
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => after.clone_from(key),
            _ => return Ok(true),
        }
    }
}

/// Whether the book shows it, or still waits for the request that it was painted for.
fn is_expected(book: &Book, image: ImageId) -> bool {
    let of_request = book.painting.job.map(|job| ImageId(ids::derive(job.0, "image")));
    book.image == Some(image) || of_request == Some(image)
}
