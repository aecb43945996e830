//! Stopping a lane, and letting it go on.
//!
//! A pause is the server's own: nothing more is delivered to anybody, in whichever process, and a restart of
//! anything changes nothing about it. What runs goes on and is settled. Who paused it and when is written on
//! the consumer just before, so that whoever finds a lane paused also finds by whom.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::seen::{Seen, look};
use crate::nats::Nats;
use crate::topology::{COMMANDS, DEAD, EVENTS, JOBS, SCHEDULES, TopologyError};

/// A pause has no end of its own; the server wants one, so it gets one that nobody here will see.
const FOR_EVER: &str = "2200-01-01T00:00:00Z";
/// How often one looks whether a lane has become quiet.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const WHAT: &str = "maru-last-change";
const PAUSED: &str = "paused";
const RESUMED: &str = "resumed";
const BY: &str = "maru-changed-by";
const AT: &str = "maru-changed-at";

/// Who paused a lane, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Who; `somebody` if it was not done with Maru.
    pub by: String,
    /// When, as it was noted.
    pub at: Option<String>,
}

/// Why a lane was not paused or let go on.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// There is no such lane on the server.
    #[error("there is no lane {0}; `maru status` lists them")]
    NoSuchLane(String),
    /// The server cannot be asked, or refuses.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// How a lane stands that was paused and waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Messages that are still unsettled: nobody works on them any more, they wait for their retry.
    pub waiting_for_retry: u64,
    /// Messages that wait to be delivered.
    pub pending: u64,
}

impl Pause {
    pub(super) fn of(seen: &Seen) -> Option<Self> {
        seen.is_paused.then(|| {
            let noted = |name: &str| seen.notes.get(name).cloned();
            let is_ours = noted(WHAT).as_deref() == Some(PAUSED);
            Self {
                by: noted(BY).filter(|_| is_ours).unwrap_or_else(|| "somebody".to_owned()),
                at: noted(AT).filter(|_| is_ours),
            }
        })
    }

    /// When somebody let it go on, if that was the last that was done to it.
    pub(super) fn ended(seen: &Seen) -> Option<Timestamp> {
        let noted = |name: &str| seen.notes.get(name);
        noted(AT)
            .filter(|_| noted(WHAT).is_some_and(|what| what == RESUMED))?
            .parse()
            .ok()
    }

    /// What is noted on the consumer.
    pub(super) fn notes(is_paused: bool, by: &str, at: Timestamp) -> [(String, String); 3] {
        let what = if is_paused { PAUSED } else { RESUMED };
        [(WHAT, what.to_owned()), (BY, by.to_owned()), (AT, at.to_string())]
            .map(|(name, value)| (name.to_owned(), value))
    }
}

/// Stops the lanes of a name: `job-write_story`, or `write_story` as `--only` has it. What runs goes on.
/// Returns the lanes that are meant; pausing one that is paused changes nothing.
///
/// # Errors
/// When there is no such lane, or the server cannot be asked.
pub async fn pause(nats: &Nats, name: &str, by: &str, at: Timestamp) -> Result<Vec<String>, PauseError> {
    change(nats, name, Some(FOR_EVER), by, at).await
}

/// Lets the lanes of a name go on.
///
/// # Errors
/// When there is no such lane, or the server cannot be asked.
pub async fn resume(nats: &Nats, name: &str, by: &str, at: Timestamp) -> Result<Vec<String>, PauseError> {
    change(nats, name, None, by, at).await
}

/// The lanes that are paused, whoever works on them.
///
/// # Errors
/// When the server cannot be asked.
pub async fn paused(nats: &Nats) -> Result<Vec<String>, TopologyError> {
    let mut lanes = look(nats, &[COMMANDS, JOBS, EVENTS, SCHEDULES, DEAD]).await?;
    lanes.retain(|one| one.is_lane && one.is_paused);
    Ok(lanes.into_iter().map(|one| one.name).collect())
}

/// Waits until a paused lane is quiet: nothing is unsettled any more, or what is has been so for longer than
/// anything may run and so waits for its retry. `word` hears how much is left.
///
/// # Errors
/// When there is no such lane, or the server cannot be asked.
pub async fn drain(
    nats: &Nats,
    lane: &str,
    longest: Duration,
    mut word: impl FnMut(u64),
) -> Result<Drained, PauseError> {
    let since = tokio::time::Instant::now();
    loop {
        let lanes = lanes_of(nats, lane).await?;
        let count = |field: fn(&Seen) -> u64| lanes.iter().map(field).sum::<u64>();
        let unsettled = count(|one| one.unsettled);
        word(unsettled);
        if unsettled == 0 || since.elapsed() > longest {
            return Ok(Drained {
                waiting_for_retry: unsettled,
                pending: count(|one| one.pending),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The lane that a consumer brings messages to: its back and its dead letters are stopped with it.
fn lane_of(consumer: &str) -> String {
    match (consumer.strip_prefix("redo-"), consumer.strip_prefix("late-")) {
        (Some(lane), _) => lane.to_owned(),
        (None, Some(kind)) => format!("job-{kind}"),
        (None, None) => consumer.to_owned(),
    }
}

async fn lanes_of(nats: &Nats, name: &str) -> Result<Vec<Seen>, PauseError> {
    let is_meant = |one: &Seen| {
        let lane = lane_of(&one.name);
        one.is_lane && (one.name == name || lane == name || lane.split_once('-').is_some_and(|(_, rest)| rest == name))
    };
    let mut lanes = look(nats, &[COMMANDS, JOBS, EVENTS, SCHEDULES, DEAD]).await?;
    lanes.retain(is_meant);
    if lanes.is_empty() {
        return Err(PauseError::NoSuchLane(name.to_owned()));
    }
    Ok(lanes)
}

async fn change(
    nats: &Nats,
    name: &str,
    until: Option<&str>,
    by: &str,
    at: Timestamp,
) -> Result<Vec<String>, PauseError> {
    let what = if until.is_some() { PAUSED } else { RESUMED };
    let mut changed = Vec::new();
    for lane in lanes_of(nats, name).await? {
        if lane.is_paused != until.is_some() {
            update(nats, &lane, until, &Pause::notes(until.is_some(), by, at)).await?;
            tracing::info!(lane = %lane.name, by, "{what} by an operator");
        }
        changed.push(lane.name);
    }
    Ok(changed)
}

/// Notes who and when, then pauses or resumes. An update of the settings alone would leave the pause as it is.
async fn update(
    nats: &Nats,
    lane: &Seen,
    until: Option<&str>,
    notes: &[(String, String)],
) -> Result<(), TopologyError> {
    let at = format!("{}.{}", lane.stream, lane.name);
    let info = ask(nats, format!("CONSUMER.INFO.{at}"), &json!({})).await?;
    let mut config = info["config"].clone();
    for (note, text) in notes {
        config["metadata"][note] = json!(text);
    }
    let noted = json!({ "stream_name": lane.stream, "config": config, "action": "update" });
    ask(nats, format!("CONSUMER.CREATE.{at}"), &noted).await?;
    ask(nats, format!("CONSUMER.PAUSE.{at}"), &json!({ "pause_until": until })).await?;
    Ok(())
}

/// A question to the server's own API, whose errors come as answers.
async fn ask(nats: &Nats, what: String, question: &Value) -> Result<Value, TopologyError> {
    let failed = |why: &dyn std::fmt::Display| TopologyError::new(format!("ask for {what}"), why);
    let answer: Value = nats
        .jetstream()
        .request(what.clone(), question)
        .await
        .map_err(|error| failed(&error))?;
    match answer["error"]["description"].as_str() {
        Some(why) => Err(failed(&why)),
        None => Ok(answer),
    }
}
