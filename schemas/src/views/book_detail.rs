//! One book with everything about it but its contents, which are read on the write side.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Author, Rating};
use crate::books::{Status, WorkStatus};
use crate::ids::BookId;
use crate::jobs::FailureCode;

/// One book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BookDetail {
    /// The book.
    pub book_id: BookId,
    /// What it is called.
    pub title: String,
    /// What it is about.
    pub synopsis: String,
    /// Who wrote it.
    pub author: Author,
    /// In won.
    pub price: u32,
    /// Where it stands.
    pub status: Status,
    /// Where its writing stands.
    pub story_status: WorkStatus,
    /// How often the writing was begun.
    pub story_attempts: u32,
    /// Why the writing was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story_failure: Option<FailureCode>,
    /// Where its painting stands.
    pub image_status: WorkStatus,
    /// How often the painting was begun.
    pub image_attempts: u32,
    /// Why the painting was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_failure: Option<FailureCode>,
    /// Its cover, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// The newest edition.
    pub edition: u32,
    /// Changes with every event of the book; the `ETag` that `If-Match` wants.
    pub version: u64,
    /// What readers think.
    #[serde(flatten)]
    pub rating: Rating,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
