//! # The oracle
//!
//! Whether what was promised has come true. [`Facts`] are read from the streams and from the owner's
//! rows, each for itself, and [`judge`] holds them against each other and against what clients were told:
//!
//! ```text
//! promises ⊆ COMMANDS ⊆ inbox ∪ DEAD          nothing that was accepted is lost
//! inbox = event log = EVENTS, by id           every effect once, and published once
//! per aggregate: versions 1, 2, 3, …          in order, without a gap
//! ```
//!
//! Judging is pure, so that a test can take one fact away, or put one in twice, and see it found. It knows
//! no context: what a command means for money is judged by who knows.

mod facts;
mod judge;
mod quiet;
#[cfg(test)]
mod tests;

use serde::Serialize;
use uuid::Uuid;

pub use facts::{Asked, Facts, FactsError, LastWord, Letter, Logged, Told, documents};
pub use judge::judge;
pub use quiet::left;

/// What a client was told about a command: the installation may not take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Promise {
    /// The command.
    pub command: Uuid,
    /// The version that its last word told; none if it was only accepted.
    pub version: Option<u64>,
    /// How many events it makes, where the client knows.
    pub events: Option<u64>,
}

/// Something that cannot be if every promise is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable, for programs: `not_processed`.
    pub code: &'static str,
    /// What was found, with the ids to look for.
    pub detail: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub const fn new(code: &'static str, detail: String) -> Self {
        Self { code, detail }
    }
}
