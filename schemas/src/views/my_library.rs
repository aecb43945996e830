//! What a member bought, as it was when they bought it. Withdrawing or editing the book changes
//! nothing here; only a refund takes it away.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Author;
use crate::ids::{BookId, PurchaseId};

/// One book in my library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LibraryBook {
    /// The purchase.
    pub purchase_id: PurchaseId,
    /// The book.
    pub book_id: BookId,
    /// What it was called.
    pub title: String,
    /// Who wrote it.
    pub author: Author,
    /// Which edition was bought.
    pub edition: u32,
    /// What was paid, in won.
    pub amount: u32,
    /// Its cover, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Since when it is mine.
    #[schema(value_type = String, format = DateTime)]
    pub bought_at: Timestamp,
}
