//! Writing stories and painting images.

use std::time::Duration;

use futures_util::future::BoxFuture;
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
    /// A story for children.
    fn write_story<'a>(&'a self, brief: &'a StoryBrief) -> BoxFuture<'a, Result<String, AiError>>;

    /// A picture: the bytes of a PNG, JPEG or WebP.
    fn paint_image<'a>(&'a self, brief: &'a ImageBrief) -> BoxFuture<'a, Result<Vec<u8>, AiError>>;
}

/// The embedded default: no network, the same answer for the same brief.
#[derive(Debug, Clone, Copy)]
pub struct Sketch;

impl Ai for Sketch {
    fn write_story<'a>(&'a self, brief: &'a StoryBrief) -> BoxFuture<'a, Result<String, AiError>> {
        Box::pin(async { Ok(super::sketch::story(&brief.title, &brief.synopsis)) })
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
