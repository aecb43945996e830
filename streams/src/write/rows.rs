//! What a command leaves in the database: its last word, the aggregate as it stands now, its events in both forms,
//! and the documents that the context keeps beside them.

use std::collections::HashMap;

use maru_schemas::envelope::Envelope;
use maru_schemas::ids::{self, MemberId};
use maru_schemas::message::Message;
use maru_schemas::outcome::Outcome;
use surrealdb::types::{RecordId, SurrealValue};
use uuid::Uuid;

use super::inbox::inbox_key;
use super::transact::pending_range;
use crate::contract::{Context, ToldOf};
use crate::store::{Key, Part, StoreError};
use crate::subject::{Subject, kind_of};

/// The last word about a command.
#[derive(SurrealValue)]
struct InboxRow {
    id: RecordId,
    at: String,
    actor: String,
    fingerprint: Option<String>,
    outcome: serde_json::Value,
}

/// An aggregate as it stands, and on which version that was decided.
#[derive(SurrealValue)]
struct StateRow {
    id: RecordId,
    expected: i64,
    version: i64,
    state: serde_json::Value,
}

/// The same for one that was not there.
#[derive(SurrealValue)]
struct NewRow {
    id: RecordId,
    version: i64,
    state: serde_json::Value,
}

/// A row of the event log.
#[derive(SurrealValue, Clone)]
pub(crate) struct EventRow {
    id: RecordId,
    event: serde_json::Value,
    text: Option<serde_json::Value>,
    command: String,
    actor: String,
    at: String,
}

/// A row of the outbox.
#[derive(SurrealValue, Clone)]
pub(crate) struct OutboxRow {
    id: RecordId,
    subject: String,
    envelope: serde_json::Value,
    body: String,
}

/// A row with a document that a context keeps.
#[derive(SurrealValue, Clone)]
pub(crate) struct DocRow {
    pub(crate) id: RecordId,
    pub(crate) doc: serde_json::Value,
}

/// Everything that a group of commands leaves behind; what the commit's text calls it.
#[derive(SurrealValue, Default)]
pub(super) struct Left {
    inbox: Vec<InboxRow>,
    new: Vec<NewRow>,
    changed: Vec<StateRow>,
    events: Vec<EventRow>,
    outbox: Vec<OutboxRow>,
    rows: Vec<DocRow>,
    pending: Vec<RecordId>,
}

impl Left {
    /// Adds what one command leaves behind that was decided on `expected` and `state`.
    pub(super) fn add<C: Context>(
        &mut self,
        envelope: &Envelope,
        (expected, mut state): (u64, C::State),
        told: Vec<ToldOf<C>>,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        self.inbox.push(InboxRow {
            id: inbox_key(C::NAME, envelope.id).record(),
            at: envelope.time.to_string(),
            actor: envelope.actor.to_string(),
            fingerprint: envelope.fingerprint.clone(),
            outcome: serde_json::to_value(outcome).map_err(StoreError::Row)?,
        });
        if told.is_empty() {
            return Ok(());
        }
        let mut version = expected;
        let mut rows: HashMap<Key, serde_json::Value> = HashMap::new();
        for told in told {
            version += 1;
            state = C::evolve(state, &told);
            for row in C::keeps(envelope.subject, &state, &told) {
                rows.insert(row.key, row.doc);
            }
            let (event, public) = rows_of::<C>(envelope, version, &told, &state)?;
            self.events.push(event);
            self.outbox.push(public);
        }
        let rows = rows.into_iter().map(|(key, doc)| DocRow { id: key.record(), doc });
        self.rows.extend(rows);
        self.pending.push(pending_range(C::NAME, envelope.subject));
        let (id, version) = (Key::of(C::NAME, envelope.subject).record(), signed(version));
        let state = serde_json::to_value(&state).map_err(StoreError::Row)?;
        if expected == 0 {
            self.new.push(NewRow { id, version, state });
        } else {
            self.changed.push(StateRow {
                id,
                expected: signed(expected),
                version,
                state,
            });
        }
        Ok(())
    }
}

/// What an event leaves behind: the row of its whole form, and the one that waits for EVENTS. `state` is
/// the aggregate with it.
pub(crate) fn rows_of<C: Context>(
    command: &Envelope,
    version: u64,
    told: &ToldOf<C>,
    state: &C::State,
) -> Result<(EventRow, OutboxRow), StoreError> {
    let key = |table| {
        Key::new(
            table,
            [C::NAME.into(), command.subject.into(), Part::Number(signed(version))],
        )
        .record()
    };
    let event = serde_json::to_value(&told.event).map_err(StoreError::Row)?;
    let text = serde_json::to_value(&told.text).map_err(StoreError::Row)?;
    let public = event_envelope::<C>(command, told.event.kind(), version, C::owner(state));
    let outbox = OutboxRow {
        id: key("outbox"),
        subject: Subject::Event {
            context: C::NAME,
            kind: told.event.kind(),
            aggregate: command.subject,
        }
        .to_string(),
        envelope: serde_json::to_value(&public).map_err(StoreError::Row)?,
        body: event.to_string(),
    };
    let event = EventRow {
        id: key("event"),
        event,
        text: text.is_object().then_some(text),
        command: command.id.to_string(),
        actor: command.actor.to_string(),
        at: command.time.to_string(),
    };
    Ok((event, outbox))
}

/// The envelope of the event that a command's decision made the aggregate's `version`. Its id derives
/// from the command and the version, so publishing it twice is publishing it once.
pub(crate) fn event_envelope<C: Context>(
    command: &Envelope,
    kind: &str,
    version: u64,
    owner: Option<MemberId>,
) -> Envelope {
    Envelope {
        id: event_id(command.id, version),
        kind: kind_of(C::NAME, kind),
        source: "maru/workers".to_owned(),
        time: command.time,
        subject: command.subject,
        actor: command.actor,
        correlation: command.correlation,
        causation: Some(command.id),
        version: Some(version),
        owner,
        fingerprint: None,
        reply: None,
        traceparent: command.traceparent.clone(),
    }
}

pub(crate) fn event_id(command: Uuid, version: u64) -> Uuid {
    ids::derive(command, &format!("event/{version}"))
}

fn signed(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
