//! Writing back what was lost, as the first time would have left it by now.

use std::collections::BTreeMap;

use maru_schemas::envelope::Envelope;
use maru_schemas::message::Message;
use maru_schemas::outcome::Outcome;
use serde_json::Value;
use surrealdb::types::{RecordId, SurrealValue};
use uuid::Uuid;

use super::again::Folded;
use super::log;
use super::{HealError, Recorded, Work};
use crate::contract::{Context, ToldOf};
use crate::store::{Key, Store, StoreError, Tx, retry};
use crate::subject::Subject;
use crate::topology::EVENTS;
use crate::write::inbox::inbox_key;
use crate::write::rows::{DocRow, EventRow, OutboxRow, rows_of};

/// A command whose transaction is gone, with what it came to.
pub(super) struct Lost<C: Context> {
    pub envelope: Envelope,
    /// The version of its first event.
    pub first: u64,
    /// Each event with the aggregate after it.
    pub steps: Vec<(ToldOf<C>, C::State)>,
}

/// The state moves on only, and what was said of a command already stays said.
const COMMIT: &str = "{
    INSERT INTO event $events RETURN NONE;
    INSERT IGNORE INTO inbox $inbox RETURN NONE;
    FOR $row IN $outbox { UPSERT $row.id CONTENT { subject: $row.subject, envelope: $row.envelope, body: $row.body } RETURN NONE };
    FOR $row IN $kept { UPSERT $row.id CONTENT { doc: $row.doc } RETURN NONE };
    LET $have = (SELECT VALUE version FROM ONLY $aggregate);
    IF $have IS NONE { CREATE $aggregate CONTENT { version: $version, state: $state } RETURN NONE }
    ELSE IF $have < $version { UPDATE $aggregate SET version = $version, state = $state RETURN NONE };
    RETURN NONE;
}";

#[derive(SurrealValue, Clone)]
struct InboxRow {
    id: RecordId,
    at: String,
    actor: String,
    fingerprint: Option<String>,
    outcome: Value,
}

impl InboxRow {
    fn new(context: &'static str, command: &Envelope, outcome: &Outcome) -> Result<Self, StoreError> {
        Ok(Self {
            id: inbox_key(context, command.id).record(),
            at: command.time.to_string(),
            actor: command.actor.to_string(),
            fingerprint: command.fingerprint.clone(),
            outcome: serde_json::to_value(outcome).map_err(StoreError::Row)?,
        })
    }
}

#[derive(SurrealValue, Clone)]
struct Vars {
    events: Vec<EventRow>,
    inbox: Vec<InboxRow>,
    outbox: Vec<OutboxRow>,
    kept: Vec<DocRow>,
    aggregate: RecordId,
    version: i64,
    state: Value,
}

/// Commits what an aggregate lost, all of it or nothing. `folded` is the aggregate as far as it is known.
pub(super) async fn commit<C: Context>(
    work: &Work,
    aggregate: Uuid,
    folded: &Folded<C>,
    lost: &[Lost<C>],
    recorded: &BTreeMap<u64, Recorded>,
) -> Result<(), HealError> {
    let mut vars = Vars {
        events: Vec::new(),
        inbox: Vec::new(),
        outbox: Vec::new(),
        kept: Vec::new(),
        aggregate: Key::of(C::NAME, aggregate).record(),
        version: i64::try_from(folded.version).unwrap_or(i64::MAX),
        state: serde_json::to_value(&folded.state).map_err(StoreError::Row)?,
    };
    for command in lost {
        let mut seq = None;
        for (version, (told, state)) in (command.first..).zip(&command.steps) {
            let (event, public) = rows_of::<C>(&command.envelope, version, told, state)?;
            seq = match recorded.get(&version) {
                Some(recorded) => Some(recorded.seq),
                None => published::<C>(work, aggregate, told.event.kind(), version, seq).await?,
            };
            vars.events.push(event);
            vars.outbox.extend(seq.is_none().then_some(public));
        }
        let outcome = Outcome::Done {
            subject: aggregate,
            version: command.first + command.steps.len() as u64 - 1,
            seq,
        };
        vars.inbox.push(InboxRow::new(C::NAME, &command.envelope, &outcome)?);
    }
    // What a later version wrote is there already, or comes back with that version.
    let is_lost = |version: u64| {
        lost.iter()
            .any(|command| (command.first..command.first + command.steps.len() as u64).contains(&version))
    };
    let kept = folded.kept.iter().filter(|(_, (version, _))| is_lost(*version));
    vars.kept.extend(kept.map(|(key, (_, doc))| DocRow {
        id: key.record(),
        doc: doc.clone(),
    }));
    let run = || work.store.of(C::NAME).query(COMMIT).bind(vars.clone()).into_future();
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(StoreError::from(other).into()),
    }
}

/// Where an event lies that its command's other events did not lie beside; none if it never got out, and
/// then the outbox has to bring it.
async fn published<C: Context>(
    work: &Work,
    aggregate: Uuid,
    kind: &str,
    version: u64,
    after: Option<u64>,
) -> Result<Option<u64>, HealError> {
    let subject = Subject::Event {
        context: C::NAME,
        kind,
        aggregate,
    };
    let found = log::next(&work.nats, EVENTS, subject.to_string(), after.unwrap_or_default()).await?;
    Ok(found
        .filter(|found| {
            found
                .envelope
                .as_ref()
                .is_ok_and(|envelope| envelope.version == Some(version))
        })
        .map(|found| found.seq))
}

/// Notes what to say of a command whose outcome is gone. What is said of it already stays.
pub(super) async fn note(
    store: &Store,
    context: &'static str,
    command: &Envelope,
    outcome: &Outcome,
) -> Result<(), HealError> {
    let row = InboxRow::new(context, command, outcome)?;
    let run = || {
        store
            .of(context)
            .query("INSERT IGNORE INTO inbox $row RETURN NONE")
            .bind(("row", row.clone()))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(StoreError::from(other).into()),
    }
}
