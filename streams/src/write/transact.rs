//! Deciding a command and committing everything that follows from it, or nothing.
//!
//! The inbox row's id is the uniqueness: a command that comes again collides with it and is answered
//! with the first outcome. The state row is changed under its expected version: who decided on an old
//! state decides again. The outbox rows of *earlier* commits that are still unpublished come back too,
//! so that whoever commits also mends what a crash left behind. All these rows are of one context, and so in one
//! database, whichever it is.

use std::collections::HashMap;
use std::sync::LazyLock;

use maru_schemas::envelope::Envelope;
use maru_schemas::outcome::Outcome;
use serde::Deserialize;
use surrealdb::types::RecordId;
use uuid::Uuid;

use super::inbox::{Handled, inbox_key, key_reused};
use super::rows::Left;
use crate::contract::{By, CommandOf, Context, ToldOf};
use crate::store::{Key, Part, Store, StoreError, TRIES, Tx, classify, pause, range};

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
    inbox: (SELECT VALUE { command: record::id(id)[1], outcome: outcome, fingerprint: fingerprint, actor: actor }
        FROM $inboxes),
    aggregates: (SELECT VALUE { id: record::id(id)[0], version: version, state: state } FROM $aggregates)
}";

const PENDING: &str =
    "(SELECT VALUE { key: record::id(id), subject: subject, envelope: envelope, body: body } FROM $range)";

/// The transaction as one block statement, so that its result or its typed error is row 0. A command that changes
/// nothing leaves its last word all the same.
static COMMIT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{{
        INSERT INTO inbox $inbox RETURN NONE;
        INSERT $new RETURN NONE;
        FOR $one IN $changed {{
            LET $moved = (UPDATE $one.id SET version = $one.version, state = $one.state
                WHERE version = $one.expected RETURN VALUE version);
            IF array::len($moved) != 1 {{ THROW 'version_conflict' }};
        }};
        INSERT INTO event $events RETURN NONE;
        INSERT INTO outbox $outbox RETURN NONE;
        FOR $row IN $rows {{ UPSERT $row.id CONTENT {{ doc: $row.doc }} RETURN NONE }};
        RETURN array::flatten($pending.map(|$range| {PENDING}));
        }}"
    )
});

#[derive(Deserialize)]
struct Found {
    inbox: Vec<FoundWord>,
    aggregates: Vec<FoundAggregate>,
}

#[derive(Deserialize)]
struct FoundWord {
    command: Uuid,
    #[serde(flatten)]
    handled: Handled,
}

#[derive(Deserialize)]
struct FoundAggregate {
    id: Uuid,
    version: u64,
    state: serde_json::Value,
}

/// Every event of an aggregate that still waits for EVENTS, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn pending(store: &Store, context: &'static str, aggregate: Uuid) -> Result<Vec<Pending>, StoreError> {
    let mut rows = store
        .of(context)
        .query(format!("RETURN {PENDING}"))
        .bind(("range", pending_range(context, aggregate)))
        .await?;
    // As a value: taken as an option, a list of any other length than one would come out as none.
    let rows: surrealdb::types::Value = rows.take(0)?;
    serde_json::from_value(rows.into_json_value()).map_err(StoreError::Row)
}

pub(super) fn pending_range(context: &'static str, aggregate: Uuid) -> RecordId {
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
    let mut nth = 0;
    loop {
        match try_once::<C>(store, &[(envelope, command)])
            .await?
            .map(|mut one| one.pop())
        {
            Ok(Some(committed)) => return Ok(committed),
            Ok(None) => return Err(StoreError::Commit("one command, no outcome".to_owned())),
            Err(why) if nth < TRIES => {
                tracing::debug!(context = C::NAME, why, "deciding again");
                metrics::counter!("maru_database_conflicts_total").increment(1);
                pause(nth).await;
                nth += 1;
            }
            Err(why) => return Err(StoreError::Commit(why)),
        }
    }
}

/// Decides commands of different aggregates and commits them together, once. The inner `Err` says why it is worth
/// deciding again.
pub(super) async fn try_once<C: Context>(
    store: &Store,
    group: &[(&Envelope, &CommandOf<C>)],
) -> Result<Result<Vec<Committed>, String>, StoreError> {
    let (mut words, mut aggregates) = read::<C>(store, group).await?;
    let (mut committed, mut left) = (Vec::with_capacity(group.len()), Left::default());
    for (envelope, command) in group {
        if let Some(handled) = words.remove(&envelope.id) {
            committed.push(answer_again(store, C::NAME, envelope, handled).await?);
            continue;
        }
        let (expected, state) = match aggregates.remove(&envelope.subject) {
            Some(row) => (row.version, serde_json::from_value(row.state).map_err(StoreError::Row)?),
            None => (0, C::State::default()),
        };
        let (told, outcome) = decide::<C>(envelope, command, expected, &state);
        left.add::<C>(envelope, (expected, state), told, &outcome)?;
        committed.push(Committed {
            outcome,
            already: false,
            pending: Vec::new(),
        });
    }
    if committed.iter().all(|committed| committed.already) {
        return Ok(Ok(committed));
    }
    let rows = match classify(store.of(C::NAME).query(COMMIT.as_str()).bind(left).await) {
        Tx::Done(rows) => rows.into_json_value(),
        Tx::Duplicate(why) | Tx::Refused(why) | Tx::Retry(why) => return Ok(Err(why)),
        // Whether it was committed, the inbox says when it comes again.
        Tx::Away(why) | Tx::Fatal(why) => return Err(StoreError::Commit(why)),
    };
    let rows: Vec<Pending> = serde_json::from_value(rows).map_err(StoreError::Row)?;
    for row in rows {
        let nth = group.iter().position(|(envelope, _)| envelope.subject == row.key.1);
        if let Some(nth) = nth {
            committed[nth].pending.push(row);
        }
    }
    Ok(Ok(committed))
}

/// The last words that are there already, by command, and the aggregates as they stand.
async fn read<C: Context>(
    store: &Store,
    group: &[(&Envelope, &CommandOf<C>)],
) -> Result<(HashMap<Uuid, Handled>, HashMap<Uuid, FoundAggregate>), StoreError> {
    let inboxes = group
        .iter()
        .map(|(envelope, _)| inbox_key(C::NAME, envelope.id).record());
    let aggregates = group
        .iter()
        .map(|(envelope, _)| Key::of(C::NAME, envelope.subject).record());
    let mut rows = store
        .of(C::NAME)
        .query(READ)
        .bind(("inboxes", inboxes.collect::<Vec<_>>()))
        .bind(("aggregates", aggregates.collect::<Vec<_>>()))
        .await?;
    let found: Option<serde_json::Value> = rows.take(0)?;
    let found: Found = serde_json::from_value(found.unwrap_or_default()).map_err(StoreError::Row)?;
    let words = found.inbox.into_iter().map(|word| (word.command, word.handled));
    let aggregates = found.aggregates.into_iter().map(|row| (row.id, row));
    Ok((words.collect(), aggregates.collect()))
}

fn decide<C: Context>(
    envelope: &Envelope,
    command: &CommandOf<C>,
    expected: u64,
    state: &C::State,
) -> (Vec<ToldOf<C>>, Outcome) {
    let by = By {
        actor: envelope.actor,
        at: envelope.time,
        command: envelope.id,
        subject: envelope.subject,
        version: expected,
    };
    match C::decide(state, command, &by) {
        Ok(told) => {
            let done = Outcome::Done {
                subject: envelope.subject,
                version: expected + told.len() as u64,
                seq: None,
            };
            (told, done)
        }
        Err(refusal) => (Vec::new(), Outcome::refused(&refusal)),
    }
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
