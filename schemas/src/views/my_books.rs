//! An author's own books, drafts and withdrawn ones included.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::books::{Status, WorkStatus};
use crate::ids::BookId;

/// One of my books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MyBook {
    /// The book.
    pub book_id: BookId,
    /// What it is called.
    pub title: String,
    /// In won.
    pub price: u32,
    /// Where it stands.
    pub status: Status,
    /// Where its writing stands.
    pub story_status: WorkStatus,
    /// Where its painting stands.
    pub image_status: WorkStatus,
    /// Its cover, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
