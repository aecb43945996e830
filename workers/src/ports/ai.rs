//! Writing stories and painting images.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use maru_schemas::jobs::FailureCode;

/// What a story is to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoryBrief {
    /// What the book is called.
    pub title: String,
    /// What it is about.
    pub synopsis: String,
}

/// What an image is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageBrief {
    /// What the book is called.
    pub title: String,
    /// Its story if there is one, else its synopsis.
    pub about: String,
}

/// What comes next of a story that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The next words.
    Words(String),
    /// What there was so far does not count: the story begins from nothing.
    Anew,
}

/// Why there is no story or image. The words never hold what somebody typed: a provider's message may
/// repeat the prompt, so only its status is told.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AiError {
    /// Not there, too busy, or out of order: it may work later.
    #[error("the provider is not available: {why}")]
    Unavailable {
        /// In words.
        why: String,
        /// It asked not to be asked before this.
        retry_after: Option<Duration>,
    },
    /// It will not do this, now or later.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// It answered with something else than asked for.
    #[error("the answer is of no use: {0}")]
    Unusable(String),
}

impl AiError {
    /// As a book remembers it.
    #[must_use]
    pub const fn code(&self) -> FailureCode {
        match self {
            Self::Unavailable { .. } => FailureCode::ProviderUnavailable,
            Self::Refused(_) => FailureCode::ProviderRefused,
            Self::Unusable(_) => FailureCode::UnusableAnswer,
        }
    }
}

/// Writes and paints.
pub trait Ai: Send + Sync + 'static {
    /// A story for children, piece by piece. `so_far` is what an earlier try wrote before it was cut
    /// off, or nothing: who can goes on behind it, who cannot says [`Piece::Anew`] first. It is whole
    /// when the pieces end without an error. Dropping it breaks the call off.
    fn write_story<'a>(&'a self, brief: &'a StoryBrief, so_far: &'a str) -> BoxStream<'a, Result<Piece, AiError>>;

    /// A picture: the bytes of a PNG, JPEG or WebP.
    fn paint_image<'a>(&'a self, brief: &'a ImageBrief) -> BoxFuture<'a, Result<Vec<u8>, AiError>>;
}

/// The embedded default: no network, the same answer for the same brief.
#[derive(Debug, Clone, Copy)]
pub struct Sketch;

impl Ai for Sketch {
    fn write_story<'a>(&'a self, brief: &'a StoryBrief, so_far: &'a str) -> BoxStream<'a, Result<Piece, AiError>> {
        let story = super::sketch::story(&brief.title, &brief.synopsis);
        // The brief may have been changed since; then it is another story.
        let (anew, rest) = match story.strip_prefix(so_far) {
            Some(rest) => (None, rest),
            None => (Some(Piece::Anew), story.as_str()),
        };
        let words = rest.split_inclusive(' ').map(|words| Piece::Words(words.to_owned()));
        let pieces: Vec<_> = anew.into_iter().chain(words).map(Ok).collect();
        stream::iter(pieces).boxed()
    }

    fn paint_image<'a>(&'a self, brief: &'a ImageBrief) -> BoxFuture<'a, Result<Vec<u8>, AiError>> {
        let brief = brief.clone();
        Box::pin(async move {
            // Drawing takes a core for a while; others must go on meanwhile.
            tokio::task::spawn_blocking(move || super::sketch::picture(&brief.title, &brief.about))
                .await
                .map_err(|error| AiError::Unusable(error.to_string()))?
                .map_err(|error| AiError::Unusable(error.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(so_far: &str) -> (bool, String) {
        let brief = StoryBrief {
            title: "달".into(),
            synopsis: "A rabbit on the moon".into(),
        };
        let (mut anew, mut text) = (false, so_far.to_owned());
        let mut pieces = Sketch.write_story(&brief, so_far);
        while let Some(piece) = pieces.next().await {
            match piece.unwrap() {
                Piece::Words(words) => text.push_str(&words),
                Piece::Anew => {
                    anew = true;
                    text.clear();
                }
            }
        }
        (anew, text)
    }

    #[tokio::test]
    async fn the_sketcher_goes_on_where_it_was_cut_off_and_begins_anew_behind_another_story() {
        let (anew, whole) = written("").await;
        assert!(!anew && whole.len() > 100);
        let half: String = whole.chars().take(40).collect();
        assert_eq!(written(&half).await, (false, whole.clone()));
        assert_eq!(written(&whole).await, (false, whole.clone()));
        assert_eq!(written("Another story").await, (true, whole));
    }
}
