//! Somebody who writes and paints as a test needs it, and is counted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use maru_workers::ports::ai::{Ai, AiError, ImageBrief, Piece, StoryBrief};

/// What the writer does behind so many pieces.
#[derive(Clone, Copy, Default)]
pub enum Mood {
    /// Goes on to the end.
    #[default]
    Writes,
    /// Says nothing more, and does not end.
    FallsSilent(usize),
    /// The connection breaks.
    Breaks(usize),
    /// Will not go on.
    Refuses(usize),
}

/// Writes at once and piece by piece, goes on where it was cut off, and counts what it was asked.
#[derive(Default)]
pub struct Counting {
    pub stories: AtomicUsize,
    pub images: AtomicUsize,
    /// What it wrote, in bytes: what is paid for.
    pub bytes: AtomicUsize,
    pub mood: Mutex<Mood>,
}

/// The story of a brief; as long as its synopsis is.
pub fn story(title: &str, synopsis: &str) -> String {
    format!("{title}: once upon a time. {synopsis}")
}

impl Ai for Counting {
    fn write_story<'a>(&'a self, brief: &'a StoryBrief, so_far: &'a str) -> BoxStream<'a, Result<Piece, AiError>> {
        self.stories.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        let story = story(&brief.title, &brief.synopsis);
        let rest = story.strip_prefix(so_far).unwrap().to_owned();
        let mut pieces: Vec<_> = rest
            .split_inclusive(". ")
            .map(|words| Some(Ok(words.to_owned())))
            .collect();
        match mood {
            Mood::Writes => {}
            Mood::FallsSilent(behind) => {
                pieces.truncate(behind);
                pieces.push(None);
            }
            Mood::Breaks(behind) => {
                pieces.truncate(behind);
                let (why, retry_after) = ("the connection broke".into(), None);
                pieces.push(Some(Err(AiError::Unavailable { why, retry_after })));
            }
            Mood::Refuses(behind) => {
                pieces.truncate(behind);
                pieces.push(Some(Err(AiError::Refused("no".into()))));
            }
        }
        stream::iter(pieces)
            .then(async |piece| {
                // Each piece is waited for, as it is of a provider.
                tokio::task::yield_now().await;
                let Some(piece) = piece else {
                    return std::future::pending().await;
                };
                if let Ok(words) = &piece {
                    self.bytes.fetch_add(words.len(), Ordering::SeqCst);
                }
                piece.map(Piece::Words)
            })
            .boxed()
    }

    fn paint_image<'a>(&'a self, _: &'a ImageBrief) -> BoxFuture<'a, Result<Vec<u8>, AiError>> {
        self.images.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(b"\x89PNG\r\n\x1a\n".to_vec()) })
    }
}
