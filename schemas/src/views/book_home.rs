//! The catalogue that a signed-in member sees. Contents are never in it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rating;
use crate::ids::{BookId, MemberId};

/// Who wrote a book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// The person.
    pub member_id: MemberId,
    /// The name shown to others.
    pub nickname: String,
}

/// One book in the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BookHome {
    /// The book.
    pub book_id: BookId,
    /// What it is called.
    pub title: String,
    /// Who wrote it.
    pub author: Author,
    /// In won.
    pub price: u32,
    /// Its cover, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// What readers think.
    #[serde(flatten)]
    pub rating: Rating,
    /// Since when it is in the catalogue.
    #[schema(value_type = String, format = DateTime)]
    pub published_at: Timestamp,
}
