//! A story while it is being written: server-sent events for its author, at `/v1/books/{book}/story`.
//!
//! The id of an event says how many characters its reader has, and a digest of them. So whoever comes
//! back says `Last-Event-ID` and gets what is missing, at any process and after any crash; and if the
//! text is not what it was, because it had to be begun anew, `restart` says so. Nothing is remembered
//! here: each look reads the owner's row and what is half done, and says what is new.

mod news;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream::{self, BoxStream, StreamExt};
use maru_schemas::books::{Book, CONTEXT, Refusal, Status, WorkStatus};
use maru_schemas::ids::{BookId, JobId};
use maru_schemas::refusal::Refusal as _;
use serde_json::json;

use self::news::{Place, Word, news};
use crate::door::Door;
use crate::problem::{BAD_REQUEST, NO_STORY, Problem};
use crate::sse;
use crate::who::Member;

/// How often it looks if nobody says that the text has grown.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many characters of a book's story there are so far.
///
/// # Errors
/// When the database does not answer.
pub async fn characters(door: &Door, id: BookId) -> Result<Option<usize>, Problem> {
    let book: Option<(u64, Book)> = door.store.state(CONTEXT, id).await?;
    let Some(job) = book.and_then(|(_, book)| book.story.job) else {
        return Ok(None);
    };
    let partial = door.partials.read(job.0).await?;
    Ok(partial.map(|text| text.trim_end().chars().count()))
}

/// The story of a book as it is written, for its author and nobody else.
///
/// # Errors
/// When it is somebody else's book, nobody asked for a story, `Last-Event-ID` is none of ours, or too many are open.
pub async fn follow(door: &Arc<Door>, who: Member, id: BookId, headers: &HeaderMap) -> Result<Response, Problem> {
    let book: Option<(u64, Book)> = door.store.state(CONTEXT, id).await?;
    let (_, book) = book.ok_or(Refusal::NoSuchBook.entry())?;
    if book.author != Some(who.id) {
        let refusal = match book.status {
            Status::Published => Refusal::NotYours,
            Status::Draft | Status::Withdrawn => Refusal::NoSuchBook,
        };
        return Err(refusal.entry().into());
    }
    let last = headers.get("last-event-id").map(|last| {
        last.to_str()
            .ok()
            .and_then(|last| Place::parse(last.trim()))
            .ok_or_else(|| Problem::from(BAD_REQUEST).because("Last-Event-ID takes the id of an event from here."))
    });
    let last = last.transpose()?;
    // Who comes back is told what became of the story; who begins should know that there is none.
    if book.story.status == WorkStatus::None && last.is_none() {
        return Err(NO_STORY.into());
    }
    let open = door.streams.open(who.id, "/v1/books/{book}/story")?;
    let place = last.unwrap_or_else(|| Place::behind(""));
    let hello = Event::default()
        .event("hello")
        .id(place.to_string())
        .retry(Duration::from_secs(2))
        .data(json!({ "status": book.story.status, "attempts": book.story.attempts }).to_string());
    let reader = Reader {
        door: Arc::clone(door),
        book: id,
        place,
        told: VecDeque::new(),
        grows: None,
        has_ended: false,
    };
    let words = stream::unfold(reader, |mut reader| async move {
        let (word, place) = reader.next().await?;
        Some((word.event(place), reader))
    });
    let events = stream::once(std::future::ready(hello)).chain(words);
    Ok(sse::tell(door, who, open, events))
}

/// Somebody who reads along.
struct Reader {
    door: Arc<Door>,
    book: BookId,
    place: Place,
    told: VecDeque<(Word, Place)>,
    /// Says when the text of this unit of work has grown.
    grows: Option<(JobId, BoxStream<'static, ()>)>,
    has_ended: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<(Word, Place)> {
        loop {
            if let Some((word, place)) = self.told.pop_front() {
                self.place = place;
                self.has_ended = word.is_last();
                return Some((word, place));
            }
            if self.has_ended {
                return None;
            }
            // A database that is away for a moment is no reason to send anybody away.
            match self.look().await {
                Ok(words) => self.told.extend(words),
                Err(error) => tracing::debug!(code = error.code, "a story cannot be looked at now"),
            }
            if self.told.is_empty() {
                self.wait().await;
            }
        }
    }

    async fn look(&mut self) -> Result<Vec<(Word, Place)>, Problem> {
        let book: Option<(u64, Book)> = self.door.store.state(CONTEXT, self.book).await?;
        let Some((_, book)) = book else { return Ok(Vec::new()) };
        let partial = match book.story.job {
            Some(job) => {
                // Listening before looking: nothing can fall in between.
                if self.grows.as_ref().is_none_or(|(known, _)| *known != job) {
                    self.grows = Some((job, self.door.partials.news(job.0).await));
                }
                self.door.partials.read(job.0).await?
            }
            None => None,
        };
        Ok(news(self.place, &book, partial.as_deref()))
    }

    async fn wait(&mut self) {
        let grows = async {
            match &mut self.grows {
                Some((_, grows)) => grows.next().await,
                None => std::future::pending().await,
            }
        };
        let _ = tokio::time::timeout(LOOK_EVERY, grows).await;
    }
}
