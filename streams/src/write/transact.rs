//! Deciding a command and committing everything that follows from it, or nothing.
//!
//! The inbox row's id is the uniqueness: a command that comes again collides with it and is answered
//! with the first outcome. The state row is changed under its expected version: who decided on an old
//! state decides again. The outbox rows of *earlier* commits that are still unpublished come back too,
//! so that whoever commits also mends what a crash left behind.

use std::collections::HashMap;

use maru_schemas::envelope::Envelope;
use maru_schemas::ids::{self, MemberId};
use maru_schemas::message::Message;
use maru_schemas::outcome::Outcome;
use serde::Deserialize;
use surrealdb::types::{RecordId, SurrealValue};
use uuid::Uuid;

use super::inbox::{Handled, inbox_key, key_reused};
use crate::contract::{By, CommandOf, Context, ToldOf};
use crate::store::{Key, Part, Store, StoreError, TRIES, Tx, classify, pause, range};
use crate::subject::{Subject, kind_of};

/// What a command came to, and what is to be published now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The last word about it.
    pub outcome: Outcome,
    /// Whether this had been its last word before.
    pub already: bool,
    /// Every unpublished event of the aggregate, oldest first.
    pub pending: Vec<Pending>,
}

/// An event in its public form that waits for EVENTS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pending {
    /// Context, aggregate, version.
    pub key: (String, Uuid, u64),
    /// Where it will lie.
    pub subject: String,
    /// About it.
    pub envelope: Envelope,
    /// Itself.
    pub body: String,
}

const READ: &str = "RETURN {
    inbox: (SELECT outcome, fingerprint, actor FROM ONLY $inbox),
    aggregate: (SELECT version, state FROM ONLY $aggregate)
}";

const PENDING: &str =
    "(SELECT VALUE { key: record::id(id), subject: subject, envelope: envelope, body: body } FROM $pending)";

/// The transaction as one block statement, so that its result or its typed error is row 0.
fn commit_text(is_new: bool) -> String {
    let state = if is_new {
        "CREATE $aggregate CONTENT { version: $version, state: $state } RETURN NONE;"
    } else {
        "LET $changed = (UPDATE $aggregate SET version = $version, state = $state \
             WHERE version = $expected RETURN VALUE version);
         IF array::len($changed) != 1 { THROW 'version_conflict' };"
    };
    format!(
        "{{
        CREATE $inbox CONTENT {{ at: $at, actor: $actor, fingerprint: $fingerprint, outcome: $outcome }} RETURN NONE;
        {state}
        INSERT INTO event $events RETURN NONE;
        INSERT INTO outbox $outbox RETURN NONE;
        FOR $row IN $rows {{ UPSERT $row.id CONTENT {{ doc: $row.doc }} RETURN NONE }};
        RETURN {PENDING};
        }}"
    )
}

/// For a command that changes nothing: its last word is kept all the same.
const NOTE: &str = "{
    CREATE $inbox CONTENT { at: $at, actor: $actor, fingerprint: $fingerprint, outcome: $outcome } RETURN NONE;
    RETURN [];
}";

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

#[derive(SurrealValue)]
struct Vars {
    inbox: RecordId,
    at: String,
    actor: String,
    fingerprint: Option<String>,
    outcome: serde_json::Value,
    aggregate: RecordId,
    version: i64,
    expected: i64,
    state: serde_json::Value,
    events: Vec<EventRow>,
    outbox: Vec<OutboxRow>,
    rows: Vec<DocRow>,
    pending: RecordId,
}

#[derive(Deserialize)]
struct Found {
    inbox: Option<Handled>,
    aggregate: Option<FoundAggregate>,
}

#[derive(Deserialize)]
struct FoundAggregate {
    version: u64,
    state: serde_json::Value,
}

/// Every event of an aggregate that still waits for EVENTS, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn pending(store: &Store, context: &'static str, aggregate: Uuid) -> Result<Vec<Pending>, StoreError> {
    let mut rows = store
        .db()
        .query(format!("RETURN {PENDING}"))
        .bind(("pending", pending_range(context, aggregate)))
        .await?;
    // As a value: taken as an option, a list of any other length than one would come out as none.
    let rows: surrealdb::types::Value = rows.take(0)?;
    serde_json::from_value(rows.into_json_value()).map_err(StoreError::Row)
}

fn pending_range(context: &'static str, aggregate: Uuid) -> RecordId {
    range("outbox", &[Part::from(context), Part::from(aggregate)], &[])
}

/// Decides a command and commits it, deciding again whenever the state moved on meanwhile.
///
/// # Errors
/// When the database does not answer, or collided more often than it should. The command may have
/// been committed; handling it again tells.
pub async fn transact<C: Context>(
    store: &Store,
    envelope: &Envelope,
    command: &CommandOf<C>,
) -> Result<Committed, StoreError> {
    let started = std::time::Instant::now();
    let mut nth = 0;
    let outcome = loop {
        match try_once::<C>(store, envelope, command).await? {
            Ok(committed) => break Ok(committed),
            Err(why) if nth < TRIES => {
                tracing::debug!(context = C::NAME, why, "deciding again");
                metrics::counter!("maru_database_conflicts_total").increment(1);
                pause(nth).await;
                nth += 1;
            }
            Err(why) => break Err(StoreError::Commit(why)),
        }
    };
    metrics::histogram!("maru_database_transaction_seconds", "context" => C::NAME).record(started.elapsed());
    outcome
}

/// The inner `Err` says why it is worth deciding again.
async fn try_once<C: Context>(
    store: &Store,
    envelope: &Envelope,
    command: &CommandOf<C>,
) -> Result<Result<Committed, String>, StoreError> {
    let inbox = inbox_key(C::NAME, envelope.id);
    let aggregate = Key::of(C::NAME, envelope.subject);
    let mut rows = store
        .db()
        .query(READ)
        .bind(("inbox", inbox.record()))
        .bind(("aggregate", aggregate.record()))
        .await?;
    let found: Option<serde_json::Value> = rows.take(0)?;
    let found: Found = serde_json::from_value(found.unwrap_or_default()).map_err(StoreError::Row)?;
    if let Some(handled) = found.inbox {
        return Ok(Ok(answer_again(store, C::NAME, envelope, handled).await?));
    }
    let (expected, state) = match found.aggregate {
        Some(row) => (row.version, serde_json::from_value(row.state).map_err(StoreError::Row)?),
        None => (0, C::State::default()),
    };
    let by = By {
        actor: envelope.actor,
        at: envelope.time,
        command: envelope.id,
        subject: envelope.subject,
        version: expected,
    };
    let (told, outcome) = match C::decide(&state, command, &by) {
        Ok(told) => {
            let version = expected + told.len() as u64;
            let subject = envelope.subject;
            (
                told,
                Outcome::Done {
                    subject,
                    version,
                    seq: None,
                },
            )
        }
        Err(refusal) => (Vec::new(), Outcome::refused(&refusal)),
    };
    let is_plain = told.is_empty();
    let vars = variables::<C>(envelope, inbox, aggregate, expected, state, told, &outcome)?;
    let text = if is_plain {
        NOTE.to_owned()
    } else {
        commit_text(expected == 0)
    };
    Ok(match classify(store.db().query(text).bind(vars).await) {
        Tx::Done(rows) => {
            let rows = rows.into_json_value();
            Ok(Committed {
                outcome,
                already: false,
                pending: serde_json::from_value(rows).map_err(StoreError::Row)?,
            })
        }
        Tx::Duplicate(why) | Tx::Refused(why) | Tx::Retry(why) => Err(why),
        // Whether it was committed, the inbox says when it comes again.
        Tx::Away(why) | Tx::Fatal(why) => return Err(StoreError::Commit(why)),
    })
}

/// The command was handled before. If its events never got out, they are still pending.
async fn answer_again(
    store: &Store,
    context: &'static str,
    envelope: &Envelope,
    handled: Handled,
) -> Result<Committed, StoreError> {
    if handled.fingerprint != envelope.fingerprint {
        return Ok(Committed {
            outcome: key_reused(),
            already: true,
            pending: Vec::new(),
        });
    }
    Ok(Committed {
        outcome: handled.outcome,
        already: true,
        pending: pending(store, context, envelope.subject).await?,
    })
}

fn variables<C: Context>(
    envelope: &Envelope,
    inbox: Key,
    aggregate: Key,
    expected: u64,
    mut state: C::State,
    told: Vec<ToldOf<C>>,
    outcome: &Outcome,
) -> Result<Vars, StoreError> {
    let mut version = expected;
    let (mut events, mut outbox) = (Vec::new(), Vec::new());
    let mut rows: HashMap<Key, serde_json::Value> = HashMap::new();
    for told in told {
        version += 1;
        state = C::evolve(state, &told);
        for row in C::keeps(envelope.subject, &state, &told) {
            rows.insert(row.key, row.doc);
        }
        let (event, public) = rows_of::<C>(envelope, version, &told, &state)?;
        events.push(event);
        outbox.push(public);
    }
    Ok(Vars {
        inbox: inbox.record(),
        at: envelope.time.to_string(),
        actor: envelope.actor.to_string(),
        fingerprint: envelope.fingerprint.clone(),
        outcome: serde_json::to_value(outcome).map_err(StoreError::Row)?,
        aggregate: aggregate.record(),
        version: signed(version),
        expected: signed(expected),
        state: serde_json::to_value(&state).map_err(StoreError::Row)?,
        events,
        outbox,
        rows: rows
            .into_iter()
            .map(|(key, doc)| DocRow { id: key.record(), doc })
            .collect(),
        pending: pending_range(C::NAME, envelope.subject),
    })
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
