//! What healing found, for people and programs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Mark;

/// The most aggregates that a report names one by one.
const NAMED: usize = 1000;

/// What is being done, and how far it is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Word {
    /// `events` or `commands`.
    pub looking_at: &'static str,
    /// The sequence that was looked at last.
    pub at: u64,
    /// The last one to look at.
    pub to: u64,
}

/// What was looked at, what was missing, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether it was only looked, and nothing changed.
    pub dry_run: bool,
    /// What lies before was taken for whole.
    pub since: Mark,
    /// What lies behind has not been looked at.
    pub to: Mark,
    /// Events that were looked up.
    pub events: u64,
    /// Events that the database did not have.
    pub missing_events: u64,
    /// Events that came back, those included that had not been published yet; in a dry run, that would.
    pub healed_events: u64,
    /// Commands that were looked up.
    pub commands: u64,
    /// Outcomes that came back without an event: a refusal, or that nothing was left to do.
    pub healed_outcomes: u64,
    /// Outcomes that did not; these commands say `OUTCOME_LOST` now.
    pub lost_outcomes: u64,
    /// Views with a batch missing; they are built again.
    pub broken_views: Vec<String>,
    /// Messages in EVENTS that this build cannot read.
    pub unreadable: u64,
    /// How many aggregates stay as they were found, because something of them cannot come back.
    pub unhealable_aggregates: u64,
    /// The first thousand of them.
    pub unhealable: Vec<Unhealable>,
}

impl Report {
    /// Whether nothing is missing any more (in a dry run: would be).
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.unhealable_aggregates == 0 && self.unreadable == 0
    }

    /// Whether anything was missing.
    #[must_use]
    pub const fn found_anything(&self) -> bool {
        !self.is_whole()
            || self.missing_events + self.healed_outcomes + self.lost_outcomes > 0
            || !self.broken_views.is_empty()
    }

    pub(super) fn stays(&mut self, unhealable: Unhealable) {
        self.unhealable_aggregates += 1;
        if self.unhealable.len() < NAMED {
            self.unhealable.push(unhealable);
        }
    }
}

/// An aggregate of which something cannot come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unhealable {
    /// Whose.
    pub context: String,
    /// Which.
    pub aggregate: Uuid,
    /// The first version that is missing and stays so.
    pub version: u64,
    /// Why.
    pub why: Why,
}

/// Why a version cannot come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// COMMANDS has no command for it any more.
    #[error("its command is gone from COMMANDS")]
    NoCommand,
    /// This build cannot read its command.
    #[error("this build cannot read its command")]
    Unreadable,
    /// What comes out is not what EVENTS has.
    #[error("its command decides otherwise now")]
    Otherwise,
    /// Neither the database nor what was looked at of EVENTS has it.
    #[error("its event lies before what was looked at, or was never published")]
    Before,
}
