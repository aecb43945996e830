//! # What became of a command
//!
//! One causal timeline, told from what is durable and not from sampled traces: the request that asked, the
//! command and its last word, the events it made, what flows made of them, jobs with their attempts and their
//! calls to the outside, letters of what was given up, and which views have seen it.
//!
//! [`find`] reads the streams without bodies, [`rows`] reads the database, [`tree`] puts causes before their
//! consequences. No words of people and no results of calls are read. Reading is bounded, and says so where
//! it was cut.

mod find;
mod rows;
mod tree;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::lanes::{Seen, look};
use crate::nats::Nats;
use crate::store::{Store, StoreError};
use crate::subject::covers;
use crate::topology::{COMMANDS, EVENTS, JOBS, TopologyError};

pub use tree::{Message, What};

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Nothing has this id.
    #[error(
        "nothing in the streams has the id {0}; they are kept for a while only, and of requests and events only the \
         newest are looked through"
    )]
    NotThere(Uuid),
    /// A stream cannot be read.
    #[error(transparent)]
    Streams(#[from] TopologyError),
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] StoreError),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The request it all began with.
    pub request: Uuid,
    /// Who asked.
    pub actor: String,
    /// When the first message was stored.
    pub began: Timestamp,
    /// The first message, with what followed from it.
    pub root: Node,
    /// Every view, and whether it has seen the newest event of the tree.
    pub views: Vec<Sees>,
    /// Where the reading was cut; empty if this is all.
    pub cut: Vec<String>,
}

/// A message and what followed from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// How long after the first one it was stored, in milliseconds.
    pub after_ms: f64,
    /// Where it stands.
    #[serde(flatten)]
    pub fate: Fate,
    /// What was caused by it, oldest first.
    pub next: Vec<Node>,
}

/// Where a message stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fate {
    /// `done`, `refused`, `waiting`, `delivered`, `retrying`, `dead`; for an event `published` or `outbox`.
    pub state: &'static str,
    /// The code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How often it failed by its own fault, and how at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
    /// Calls to the outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// Flows that are to hear it and have not got it yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// What was given up of it, by which lane.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub letters: Vec<Letter>,
}

/// Attempts that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Failures {
    /// How many.
    pub failures: u32,
    /// Why the last one did, as a code.
    pub reason: String,
}

/// A call to the outside, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Which call.
    pub step: String,
    /// `done`; `failed`: it may be made again; `begun`: it may have gone through.
    pub status: String,
    /// How often it was begun.
    pub begun: i64,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// The lane that gave up.
    pub lane: String,
    /// Why, as a code.
    pub reason: String,
    /// After how many attempts.
    pub attempts: String,
    /// When it was stored.
    pub stored: Timestamp,
}

/// A view, and how far it has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sees {
    /// Its name.
    pub view: String,
    /// How far it has read EVENTS.
    pub mark: u64,
    /// Whether that is past the newest event of the tree.
    pub sees: bool,
}

/// Follows whatever has this id, command, job, event or request, from its beginning.
///
/// # Errors
/// When nothing has the id, or something cannot be read.
pub async fn trace(nats: &Nats, store: &Store, id: Uuid, views: &[&'static str]) -> Result<Trace, TraceError> {
    let mut found = find::find(nats, id).await?;
    let lanes = look(nats, &[COMMANDS, JOBS, EVENTS]).await?;
    let first = found.root.clone();
    for unpublished in rows::unpublished(store, &found.messages).await? {
        found.messages.push(unpublished);
    }
    let newest = found.messages.iter().filter(|one| one.what == What::Event);
    let newest = newest.filter_map(|one| one.seq).max().unwrap_or_default();
    let mut fates = std::collections::HashMap::new();
    for message in &found.messages {
        let letters = found.letters.iter().filter(|(of, _)| *of == message.id);
        let letters = letters.map(|(_, letter)| letter.clone()).collect();
        fates.insert(message.id, fate(store, message, letters, &lanes).await?);
    }
    let mut sees = Vec::new();
    for view in views {
        let mark = crate::views::mark(store, view).await?.unwrap_or_default();
        sees.push(Sees {
            view: (*view).to_owned(),
            mark,
            sees: mark >= newest,
        });
    }
    Ok(Trace {
        request: first.correlation,
        actor: first.actor.clone(),
        began: first.stored,
        root: tree::grow(first, found.messages, &mut fates),
        views: sees,
        cut: found.cut,
    })
}

async fn fate(store: &Store, message: &Message, letters: Vec<Letter>, lanes: &[Seen]) -> Result<Fate, StoreError> {
    let (lane, handled, effects) = match message.what {
        What::Event => {
            let state = if message.seq.is_some() { "published" } else { "outbox" };
            return Ok(Fate {
                state,
                letters,
                waits_for: waits_for(message, lanes),
                ..Fate::default()
            });
        }
        What::Command => (
            format!("cmd-{}", message.room),
            rows::handled(store, message).await?,
            Vec::new(),
        ),
        What::Job => (
            format!("job-{}", message.kind),
            None,
            rows::effects(store, message).await?,
        ),
    };
    let failures = rows::failures(store, &lane, message.id).await?;
    let seq = message.seq.unwrap_or_default();
    let lane = lanes.iter().find(|one| one.name == lane);
    let is_called = effects.iter().any(|effect| effect.status == "done");
    let (state, code) = match (handled, lane) {
        (Some((state, code)), _) => (state, code),
        _ if !letters.is_empty() => ("dead", None),
        (None, Some(lane)) if seq > lane.reached => ("waiting", None),
        (None, Some(lane)) if message.what == What::Job && (seq <= lane.floor || is_called) => ("done", None),
        _ if failures.is_some() => ("retrying", None),
        // Somebody has it, or has settled it while an older one is not settled yet.
        (None, Some(_)) => ("delivered", None),
        (None, None) => ("waiting", None),
    };
    Ok(Fate {
        state,
        code,
        failures,
        effects,
        letters,
        ..Fate::default()
    })
}

/// The lanes that hear an event and have not come so far.
fn waits_for(event: &Message, lanes: &[Seen]) -> Vec<String> {
    let subject = format!("evt.{}.{}.v1.{}", event.room, event.kind, event.about);
    let hears = |lane: &&Seen| lane.stream == EVENTS && lane.filters.iter().any(|heard| covers(heard, &subject));
    let waits = |lane: &&Seen| lane.is_lane && event.seq.is_none_or(|seq| seq > lane.reached);
    let lanes = lanes.iter().filter(hears).filter(waits);
    lanes.map(|lane| lane.name.clone()).collect()
}
