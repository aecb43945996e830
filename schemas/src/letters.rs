//! Dead letters: what a lane gave up on, why, and everything that has happened to it since.
//!
//! ```text
//!  DEAD ──replay──▶ REPLAYING ──▶ RESOLVED
//!   ▲                  └──fails again──▶ DEAD
//!   └─ BEHIND: nothing is wrong with it; it waits for an earlier one of its key, and follows by itself
//!
//!  DEAD, BEHIND ──discard, with a reason──▶ DISCARDED
//! ```
//!
//! A letter shows no words: what somebody typed is hidden in it (see [`crate::words`]), and kept where
//! only a replay reads it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where a letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LetterState)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Given up; somebody has to replay or discard it.
    Dead,
    /// It waits for an earlier one of its key, and is replayed by itself when that one is settled.
    Behind,
    /// Handed to its lane again; nobody knows yet what comes of it.
    Replaying,
    /// It took effect, or was answered, after all.
    Resolved,
    /// Somebody decided that it shall not take effect.
    Discarded,
}

impl State {
    /// Whether somebody still has to do something about it, or it is being done.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Dead | Self::Behind | Self::Replaying)
    }

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Behind => "behind",
            Self::Replaying => "replaying",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
        }
    }
}

/// What can happen to a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LetterEvent)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Its lane gave it up.
    Died,
    /// Its lane put it behind an earlier one of its key.
    Parked,
    /// Somebody handed it to its lane again.
    Replayed,
    /// The replay came to nothing either.
    FailedAgain,
    /// The replay went through.
    Resolved,
    /// Somebody decided against it.
    Discarded,
}

/// One thing that happened to a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LetterEntry)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What.
    pub what: What,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: `lane`, `operator:<name>` or `admin:<member id>`.
    pub by: String,
    /// Why, as a code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How often it was tried, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

/// A letter as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetter)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// What people call it by: the sequence in DEAD under which it was first stored.
    #[serde(default)]
    pub number: u64,
    /// Which lane gave it up.
    pub lane: String,
    /// Which message it is.
    pub message: Uuid,
    /// The message's `ce-type`; empty if it had none.
    pub kind: String,
    /// What it is about: the aggregate. Letters of a lane that keeps order follow each other by it.
    pub key: Option<Uuid>,
    /// Where it stands.
    pub state: State,
    /// Why it is dead, as a code.
    pub reason: String,
    /// Why it is dead, in words.
    pub detail: String,
    /// How often it was tried before it was given up the last time.
    pub attempts: u32,
    /// When it was first given up.
    #[schema(value_type = String, format = DateTime)]
    pub died_at: Timestamp,
    /// How often it was replayed.
    pub replays: u32,
    /// Where the message lay.
    pub subject: String,
    /// Its sequence there.
    pub seq: u64,
    /// What was known about it.
    pub headers: BTreeMap<String, String>,
    /// The message itself, with words hidden.
    pub body: String,
    /// Whether something was hidden; then the whole body is kept elsewhere until the letter is settled.
    pub is_redacted: bool,
    /// Everything that has happened to it, oldest first. Of a long story the middle is left out.
    pub history: Vec<Entry>,
}

/// A letter with what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShownLetter)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The letter itself.
    #[serde(flatten)]
    pub letter: Letter,
    /// The numbers of those that wait behind it, in the order in which they follow.
    pub behind: Vec<u64>,
}

/// The most entries of a history that a letter carries along.
const REMEMBERED: usize = 100;

impl Which {
    /// Whether something is said that letters have in common.
    #[must_use]
    pub const fn filters(&self) -> bool {
        self.lane.is_some() || self.reason.is_some() || self.kind.is_some() || self.since.is_some()
    }

    /// Whether anything is said at all: nothing is never taken for everything.
    #[must_use]
    pub const fn says_something(&self) -> bool {
        self.all || self.filters() || !self.letters.is_empty()
    }
}

impl Letter {
    /// The letter after something happened to it.
    #[must_use]
    pub fn after(mut self, state: State, entry: Entry) -> Self {
        match entry.what {
            What::Died | What::FailedAgain => {
                self.reason.clone_from(&entry.reason);
                self.detail.clone_from(&entry.detail);
                self.attempts = entry.attempts.unwrap_or(self.attempts);
            }
            What::Replayed => self.replays += 1,
            What::Parked | What::Resolved | What::Discarded => {}
        }
        self.state = state;
        self.history.push(entry);
        if self.history.len() > REMEMBERED {
            self.history.remove(1);
        }
        self
    }

    /// The letter in one line.
    #[must_use]
    pub fn line(&self) -> Line {
        Line {
            number: self.number,
            lane: self.lane.clone(),
            message: self.message,
            kind: self.kind.clone(),
            key: self.key,
            state: self.state,
            reason: self.reason.clone(),
            attempts: self.attempts,
            replays: self.replays,
            died_at: self.died_at,
        }
    }
}

/// A letter in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterLine)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What people call it by.
    pub number: u64,
    /// Which lane gave it up.
    pub lane: String,
    /// Which message it is.
    pub message: Uuid,
    /// The message's `ce-type`.
    pub kind: String,
    /// What it is about: the aggregate.
    pub key: Option<Uuid>,
    /// Where it stands.
    pub state: State,
    /// Why it is dead, as a code.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// How often it was replayed.
    pub replays: u32,
    /// When it was first given up.
    #[schema(value_type = String, format = DateTime)]
    pub died_at: Timestamp,
}

/// A page of letters, in the order in which they died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub struct Page {
    /// The letters.
    pub items: Vec<Line>,
    /// What to read on with, if there are more.
    pub next: Option<u64>,
}

/// Which letters to list. What is not said makes no difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Listing {
    /// Of this lane.
    pub lane: Option<String>,
    /// Given up for this reason.
    pub reason: Option<String>,
    /// Of this kind: `charge`, or the whole `ce-type`.
    pub kind: Option<String>,
    /// That stand here; the open ones if not said.
    pub state: Option<State>,
    /// Given up since.
    pub since: Option<Timestamp>,
    /// How many at most, 1 to 1000; 50 if not said.
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub cursor: Option<u64>,
}

/// Which letters to do something to: by number, or by what they have in common, or all open ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLettersMeant)]
#[serde(rename_all = "camelCase", default)]
pub struct Which {
    /// These.
    pub letters: Vec<u64>,
    /// Of this lane.
    pub lane: Option<String>,
    /// Given up for this reason.
    pub reason: Option<String>,
    /// Of this kind: `charge`, or the whole `ce-type`.
    pub kind: Option<String>,
    /// Given up since.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Every open one.
    pub all: bool,
}

/// That letters be replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Which.
    pub which: Which,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// At most so many a second; as fast as it goes if not said.
    #[serde(default)]
    pub per_second: Option<NonZeroU32>,
    /// Who asks: `operator:<name>`, `admin:<member id>`.
    pub by: String,
}

/// That letters be discarded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Discard {
    /// Which.
    pub which: Which,
    /// Why; there is always a reason.
    pub because: String,
    /// Who asks: `operator:<name>`, `admin:<member id>`.
    pub by: String,
}

/// What would come of replaying a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterReplay)]
#[serde(rename_all = "camelCase")]
pub struct Replayable {
    /// Which letter.
    pub number: u64,
    /// Which lane it goes to.
    pub lane: String,
    /// The message's `ce-type`.
    pub kind: String,
    /// It follows by itself when this letter is settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follows: Option<u64>,
    /// Whether this build can read it.
    pub is_readable: bool,
    /// Why it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A letter that nothing was done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLetterSkipped)]
pub struct Skipped {
    /// Which letter.
    pub number: u64,
    /// Why, and what to do.
    pub why: String,
}

/// What came of replaying or discarding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DeadLettersDone)]
#[serde(rename_all = "camelCase", default)]
pub struct Done {
    /// The replay that they are done again in, if there is anything to replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<Uuid>,
    /// What would be replayed, in this order; only in a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would_replay: Vec<Replayable>,
    /// Handed to their lanes, in this order; `GET` tells what becomes of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replayed: Vec<u64>,
    /// Discarded, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discarded: Vec<u64>,
    /// Left as they are.
    pub skipped: Vec<Skipped>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            number: 7,
            lane: "job-charge".into(),
            message: Uuid::nil(),
            kind: "maru.job.charge.v1".into(),
            key: None,
            state: State::Dead,
            reason: "provider_unavailable".into(),
            detail: String::new(),
            attempts: 4,
            died_at: Timestamp::UNIX_EPOCH,
            replays: 0,
            subject: String::new(),
            seq: 1,
            headers: BTreeMap::new(),
            body: String::new(),
            is_redacted: false,
            history: vec![entry(What::Died, "provider_unavailable")],
        }
    }

    fn entry(what: What, reason: &str) -> Entry {
        Entry {
            what,
            at: Timestamp::UNIX_EPOCH,
            by: "lane".into(),
            reason: reason.into(),
            detail: String::new(),
            attempts: Some(1),
        }
    }

    #[test]
    fn a_letter_says_why_it_failed_the_last_time_and_keeps_why_it_did_before() {
        let again = letter()
            .after(State::Replaying, entry(What::Replayed, ""))
            .after(State::Dead, entry(What::FailedAgain, "timed_out"));
        assert_eq!(
            (again.reason.as_str(), again.attempts, again.replays),
            ("timed_out", 1, 1)
        );
        assert_eq!(again.history[0].reason, "provider_unavailable");
    }

    #[test]
    fn saying_nothing_means_nothing() {
        assert!(!Which::default().says_something());
    }

    #[test]
    fn a_long_story_keeps_its_beginning_and_its_end() {
        let long = (0..500).fold(letter(), |letter, n| {
            letter.after(State::Dead, entry(What::FailedAgain, &format!("reason_{n}")))
        });
        assert_eq!(long.history.len(), REMEMBERED);
        assert_eq!(long.history[0].what, What::Died);
        assert_eq!(
            long.history.last().map(|entry| entry.reason.as_str()),
            Some("reason_499")
        );
    }
}
