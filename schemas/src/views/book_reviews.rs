//! What readers say of one book.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Author;
use crate::ids::{BookId, ReviewId};

/// One review. `by` is who wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BookReview {
    /// The review.
    pub review_id: ReviewId,
    /// Of which book.
    pub book_id: BookId,
    /// Who wrote it.
    pub by: Author,
    /// In stars, 0.5 to 5.
    pub rating: f64,
    /// In words, as they were typed: text, never markup.
    pub content: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub written_at: Timestamp,
}
