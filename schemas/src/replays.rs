//! Replays: that dead letters be done again, as one piece of work with an end.
//!
//! A replay is a batch of letters. Each of them comes to something once, whatever happens in between, and when
//! all have, the replay is finished and written down for good.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::letters::{Letter, State, What, Which};

/// What came of one message of a batch, for good as far as the batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// It took effect, now or before.
    Done,
    /// It was turned down for good, and whoever asked was told.
    Refused,
    /// It was given up and is a dead letter, again perhaps.
    Dead,
    /// It was left as it was, because it was no longer there to be done, or somebody else decided about it.
    Skipped,
}

impl Came {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Dead => "dead",
            Self::Skipped => "skipped",
        }
    }
}

/// How a replay stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterReplayStatus)]
#[serde(rename_all = "camelCase")]
pub struct Replaying {
    /// Which replay.
    pub id: Uuid,
    /// Who asked for it: `operator:<name>`, `admin:<member id>`.
    pub by: String,
    /// Which letters were meant.
    pub which: Which,
    /// At most so many a second are handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub per_second: Option<NonZeroU32>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// When the last of its letters was settled; none as long as one is not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished: Option<Timestamp>,
    /// How many letters it is.
    pub of: u64,
    /// How many of them took effect.
    pub done: u64,
    /// How many were turned down for good.
    pub refused: u64,
    /// How many are dead again.
    pub dead: u64,
    /// How many were left as they were.
    pub skipped: u64,
}

impl Replaying {
    /// How many of its letters are settled.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.done + self.refused + self.dead + self.skipped
    }
}

/// What came of one letter in a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterReplayed)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Which letter.
    pub number: u64,
    /// Which lane gave it up.
    pub lane: String,
    /// Which message it is.
    pub message: Uuid,
    /// What came of it; none as long as nobody knows.
    pub came: Option<Came>,
    /// Why it was left as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A replay with its letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterReplayDetail)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// How it stands.
    pub replay: Replaying,
    /// Its letters in their order, but first those that somebody may have to look at: at most a thousand.
    pub letters: Vec<Replayed>,
}

/// The replays of the last weeks, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterReplays)]
pub struct Replays {
    /// At most as many as were asked for.
    pub items: Vec<Replaying>,
}

/// What stands in a letter's history when it was handed over in a replay.
#[must_use]
pub fn mark(replay: Uuid) -> String {
    format!("in replay {replay}")
}

impl Letter {
    /// What came of it in a replay; none if it had no part in it, or nobody knows yet.
    #[must_use]
    pub fn came_in(&self, replay: Uuid) -> Option<Came> {
        let mark = mark(replay);
        let began = |entry: &crate::letters::Entry| entry.what == What::Replayed && entry.detail == mark;
        let since = self.history.iter().rposition(began)?;
        self.history[since..].iter().find_map(|entry| match entry.what {
            What::Resolved if entry.reason == "done" => Some(Came::Done),
            What::Resolved => Some(Came::Refused),
            What::FailedAgain => Some(Came::Dead),
            What::Died | What::Parked | What::Replayed | What::Discarded => None,
        })
    }

    /// Whether it was handed to its lane in a replay, and nobody knows yet what comes of it.
    #[must_use]
    pub fn is_handed_over_in(&self, replay: Uuid) -> bool {
        let last = self.history.iter().rfind(|entry| entry.what == What::Replayed);
        self.state == State::Replaying && last.is_some_and(|entry| entry.detail == mark(replay))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::letters::Entry;

    fn letter(state: State, story: &[(What, &str, &str)]) -> Letter {
        let entry = |(what, reason, detail): &(What, &str, &str)| Entry {
            what: *what,
            at: Timestamp::UNIX_EPOCH,
            by: "lane".into(),
            reason: (*reason).into(),
            detail: (*detail).into(),
            attempts: None,
        };
        Letter {
            number: 7,
            lane: "job-charge".into(),
            message: Uuid::nil(),
            kind: String::new(),
            key: None,
            state,
            reason: String::new(),
            detail: String::new(),
            attempts: 1,
            died_at: Timestamp::UNIX_EPOCH,
            replays: 0,
            subject: String::new(),
            seq: 1,
            headers: BTreeMap::new(),
            body: String::new(),
            is_redacted: false,
            history: story.iter().map(entry).collect(),
        }
    }

    #[test]
    fn what_came_of_a_letter_is_told_for_each_replay_by_itself() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (first, second) = (mark(one), mark(two));
        let story = [
            (What::Died, "broken", ""),
            (What::Replayed, "", first.as_str()),
            (What::FailedAgain, "broken", ""),
            (What::Replayed, "", second.as_str()),
        ];
        let again = letter(State::Replaying, &story);
        assert_eq!((again.came_in(one), again.came_in(two)), (Some(Came::Dead), None));
        assert!(again.is_handed_over_in(two) && !again.is_handed_over_in(one));
        assert_eq!(again.came_in(Uuid::from_u128(3)), None);
        let mut to_its_end = story.to_vec();
        to_its_end.push((What::Resolved, "done", ""));
        let resolved = letter(State::Resolved, &to_its_end);
        assert_eq!(resolved.came_in(two), Some(Came::Done));
        to_its_end[4].1 = "card_expired";
        assert_eq!(letter(State::Resolved, &to_its_end).came_in(two), Some(Came::Refused));
    }
}
