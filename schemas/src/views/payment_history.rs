//! What a member paid and got back.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::PaymentId;
use crate::payments::Status;

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentEntry {
    /// The payment.
    pub payment_id: PaymentId,
    /// What it was for: the purchase.
    pub reference: Uuid,
    /// In won.
    pub amount: u32,
    /// Where it stands.
    pub status: Status,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// When its status last changed.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Timestamp,
}
