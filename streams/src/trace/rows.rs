//! What the database says of the messages of a tree: last words, attempts, calls, and events that have not
//! come out yet.

use std::collections::HashSet;

use maru_schemas::CONTEXTS;
use maru_schemas::outcome::Outcome;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use surrealdb::types::RecordId;
use uuid::Uuid;

use super::tree::{Message, What};
use super::{Effect, Failures};
use crate::store::{Db, Key, Part, Store, StoreError, range};
use crate::write::inbox;
use crate::write::rows::event_id;

/// The most rows of one look: an aggregate has rarely more versions, a job rarely more calls.
const MOST: i64 = 10_000;

async fn rows<T: DeserializeOwned>(db: &Db, text: &str, of: RecordId) -> Result<Vec<T>, StoreError> {
    let mut rows = db.query(text).bind(("of", of)).bind(("most", MOST)).await?;
    let rows: Vec<serde_json::Value> = rows.take(0)?;
    rows.into_iter()
        .map(|row| serde_json::from_value(row).map_err(StoreError::Row))
        .collect()
}

/// The last word about a command, and the code if it was refused.
pub(super) async fn handled(
    store: &Store,
    command: &Message,
) -> Result<Option<(&'static str, Option<String>)>, StoreError> {
    let Some(context) = CONTEXTS.into_iter().find(|context| *context == command.room) else {
        return Ok(None);
    };
    let handled = inbox::handled(store, context, command.id).await?;
    Ok(handled.map(|handled| match handled.outcome {
        Outcome::Done { .. } => ("done", None),
        Outcome::Refused { code, .. } => ("refused", Some(code)),
    }))
}

/// How often a message failed by its own fault in a lane.
pub(super) async fn failures(store: &Store, lane: &str, message: Uuid) -> Result<Option<Failures>, StoreError> {
    let key = Key::new("attempts", [Part::from(lane), Part::from(message)]);
    let found = rows(
        store.db(),
        "SELECT failures, reason FROM array::first([$of]) LIMIT $most",
        key.record(),
    )
    .await?;
    Ok(found.into_iter().next())
}

#[derive(Deserialize)]
struct Call {
    step: String,
    status: String,
    fence: i64,
}

/// The calls that a job noted: under its own id, or, where money is moved, under what it is about.
pub(super) async fn effects(store: &Store, job: &Message) -> Result<Vec<Effect>, StoreError> {
    let mut found = Vec::new();
    for of in [job.id, job.about] {
        let text = "SELECT VALUE { step: record::id(id)[1], status: status, fence: fence } FROM array::first([$of]) LIMIT $most";
        let calls: Vec<Call> = rows(store.db(), text, range("effect", &[Part::from(of)], &[])).await?;
        let ours = calls.into_iter().filter(|call| of == job.id || call.step == job.kind);
        found.extend(ours.map(|call| Effect {
            step: call.step,
            status: call.status,
            begun: call.fence,
        }));
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Logged {
    version: u64,
    kind: String,
    command: String,
}

/// Events that the commands of a tree made and that are not in EVENTS (any more, or yet).
pub(super) async fn unpublished(store: &Store, messages: &[Message]) -> Result<Vec<Message>, StoreError> {
    let known: HashSet<Uuid> = messages.iter().map(|one| one.id).collect();
    let mut missing = Vec::new();
    for command in messages.iter().filter(|one| one.what == What::Command) {
        let of = range(
            "event",
            &[Part::from(command.room.as_str()), Part::from(command.about)],
            &[],
        );
        let text = "SELECT VALUE { version: record::id(id)[2], kind: event.kind, command: command } FROM array::first([$of]) LIMIT $most";
        let logged: Vec<Logged> = rows(store.of(&command.room), text, of).await?;
        for event in logged
            .into_iter()
            .filter(|event| event.command == command.id.to_string())
        {
            let id = event_id(command.id, event.version);
            if !known.contains(&id) {
                missing.push(Message {
                    what: What::Event,
                    id,
                    room: command.room.clone(),
                    kind: event.kind,
                    about: command.about,
                    actor: command.actor.clone(),
                    version: Some(event.version),
                    seq: None,
                    stored: command.stored,
                    correlation: command.correlation,
                    causation: Some(command.id),
                });
            }
        }
    }
    Ok(missing)
}
