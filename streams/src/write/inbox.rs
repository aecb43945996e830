//! What became of commands, for who asks later: the inbox row if somebody handled it, and before that
//! the message itself, which lies in COMMANDS under a subject of its own.

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::DirectGetErrorKind;
use maru_schemas::outcome::Outcome;
use serde::Deserialize;
use uuid::Uuid;

use super::transact::pending;
use crate::nats::{Nats, latest};
use crate::store::{Key, Part, Store, StoreError};
use crate::subject::Subject;
use crate::topology::{COMMANDS, TopologyError};

/// The code of an outcome for a key that was used for something else before.
pub const KEY_REUSED: &str = "IDEMPOTENCY_KEY_REUSED";

/// The outcome for a key that was used for something else before.
#[must_use]
pub fn key_reused() -> Outcome {
    Outcome::Refused {
        code: KEY_REUSED.to_owned(),
        http: 422,
        detail: "This Idempotency-Key was used for another request; use a new one.".to_owned(),
    }
}

/// What is known of a command that was handled.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Handled {
    /// Its last word.
    pub outcome: Outcome,
    /// What had been asked, as a keyed hash.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Who had asked.
    pub actor: String,
}

/// Where the inbox keeps the last word about a command.
#[must_use]
pub fn inbox_key(context: &'static str, command: Uuid) -> Key {
    Key::new("inbox", [Part::from(context), Part::from(command)])
}

/// The last word about a command, if there is one yet.
///
/// # Errors
/// When the database does not answer.
pub async fn handled(store: &Store, context: &'static str, command: Uuid) -> Result<Option<Handled>, StoreError> {
    let mut rows = store
        .of(context)
        .query("SELECT outcome, fingerprint, actor FROM ONLY $inbox")
        .bind(("inbox", inbox_key(context, command).record()))
        .await?;
    let row: Option<serde_json::Value> = rows.take(0)?;
    row.map(|row| serde_json::from_value(row).map_err(StoreError::Row))
        .transpose()
}

/// The last word about a command as soon as it is whole. A worker commits, then publishes the events, and notes
/// then where the last of them lies: until that is known, whoever asks has to wait as for no word at all, for
/// without the token they could not read what they wrote.
///
/// # Errors
/// When the database does not answer.
pub async fn last_word(store: &Store, context: &'static str, command: Uuid) -> Result<Option<Handled>, StoreError> {
    let found = handled(store, context, command).await?;
    let Some(Outcome::Done { subject, seq: None, .. }) = found.as_ref().map(|row| &row.outcome) else {
        return Ok(found);
    };
    let pending = pending(store, context, *subject).await?;
    if pending.iter().any(|row| row.envelope.causation == Some(command)) {
        return Ok(None);
    }
    // Either it has no events, or they came out just now and the row says where.
    handled(store, context, command).await
}

/// A command as it was sent: by whom, and what was asked, as a keyed hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where it lies in COMMANDS.
    pub seq: u64,
    /// Whose command it is.
    pub context: String,
    /// Who sent it.
    pub actor: String,
    /// What was asked.
    pub fingerprint: Option<String>,
}

impl Sent {
    fn read(message: &StreamMessage) -> Option<Self> {
        let (subject, headers) = (&message.subject, &message.headers);
        let header = |name: &str| headers.get(name).map(ToString::to_string);
        let Some(Subject::Command { context, .. }) = Subject::parse(subject) else {
            return None;
        };
        Some(Self {
            seq: message.sequence,
            context: context.to_owned(),
            actor: header("maru-actor")?,
            fingerprint: header("maru-fingerprint"),
        })
    }
}

/// A command that is in COMMANDS for certain, because the server has just said so: it is asked of the leader, and
/// not of a replica that may be a moment behind.
///
/// # Errors
/// When the stream cannot be asked.
pub async fn sent_before(nats: &Nats, command: Uuid) -> Result<Option<Sent>, TopologyError> {
    let found = latest(nats, COMMANDS, &format!("cmd.*.*.v1.{command}")).await;
    let found = found.map_err(|error| TopologyError::new("look for a command", &error))?;
    Ok(found.as_ref().and_then(Sent::read))
}

/// A command that is still in COMMANDS, whether it was handled or not, as far as any replica knows.
///
/// # Errors
/// When the stream cannot be asked.
pub async fn sent(nats: &Nats, command: Uuid) -> Result<Option<Sent>, TopologyError> {
    let failed = |why: &dyn std::fmt::Display| TopologyError::new("look for a command", why);
    let stream = nats
        .jetstream()
        .get_stream_no_info(COMMANDS)
        .await
        .map_err(|error| failed(&error))?;
    match stream
        .direct_get_last_for_subject(format!("cmd.*.*.v1.{command}"))
        .await
    {
        Ok(message) => Ok(Sent::read(&message)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}
