//! Taking money and giving it back.

use futures_util::future::BoxFuture;
use maru_schemas::payments::{DeclineCode, TestCard};
use uuid::Uuid;

/// A charge to make. The key is the provider's idempotency key: one key, one charge, however often it
/// is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// The idempotency key.
    pub key: Uuid,
    /// In won.
    pub amount: u32,
    /// With what.
    pub card: TestCard,
}

/// What the bank says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The money is ours.
    Approved,
    /// No.
    Declined(DeclineCode),
}

/// No answer: the money may have moved or not. Asking again under the same key tells.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the payment provider gave no answer: {0}")]
pub struct NoAnswer(pub String);

/// A payment provider.
pub trait Bank: Send + Sync + 'static {
    /// Takes money.
    fn charge(&self, charge: Charge) -> BoxFuture<'_, Result<Answer, NoAnswer>>;

    /// Gives the whole of a charge back.
    fn refund(&self, key: Uuid) -> BoxFuture<'_, Result<(), NoAnswer>>;

    /// Undoes a charge, or sees to it that it is never made. Says whether money had been taken.
    fn cancel(&self, key: Uuid) -> BoxFuture<'_, Result<bool, NoAnswer>>;
}
