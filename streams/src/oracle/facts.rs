//! What an installation says it did: read from its streams (headers alone) and from its owners' rows,
//! with no regard to what one says about the other.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures_util::StreamExt;
use maru_schemas::envelope::Envelope;
use maru_schemas::outcome::Outcome;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::headers;
use crate::nats::Nats;
use crate::store::{Db, Key, Part, Store, StoreError, range};
use crate::subject::Subject;
use crate::topology::{COMMANDS, DEAD, EVENTS};

/// How long the server may keep the next message back.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows of one read.
const PAGE: i64 = 2_000;

/// A command as COMMANDS holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its id.
    pub id: Uuid,
    /// What is asked: `maru.books.create_book.v1`.
    pub kind: String,
}

/// An event as EVENTS holds it; they are listed in the stream's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its id.
    pub id: Uuid,
    /// Who says so.
    pub context: String,
    /// To what it happened.
    pub aggregate: Uuid,
    /// The aggregate's version with it.
    pub version: u64,
}

/// A row of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LastWord {
    /// Context and command.
    pub key: (String, Uuid),
    /// What became of it.
    pub outcome: Outcome,
}

/// A row of the event log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Logged {
    /// Context, aggregate, version.
    pub key: (String, Uuid, u64),
    /// The command that made it.
    pub command: Uuid,
}

/// What was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// By which lane.
    pub lane: String,
    /// Which message.
    pub id: Uuid,
}

/// Everything that the oracle looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// COMMANDS, without canaries.
    pub commands: Vec<Asked>,
    /// EVENTS, without canaries.
    pub events: Vec<Told>,
    /// The inbox.
    pub inbox: Vec<LastWord>,
    /// The event log.
    pub log: Vec<Logged>,
    /// What still waits for EVENTS: context, aggregate, version.
    pub outbox: Vec<(String, Uuid, u64)>,
    /// The version that each aggregate's own row tells.
    pub states: Vec<(String, Uuid, u64)>,
    /// DEAD.
    pub dead: Vec<Letter>,
}

/// Facts that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// A stream did not give its messages.
    #[error("read {0}: {1}")]
    Stream(&'static str, String),
    /// The database did not give its rows.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Facts {
    /// Reads everything. `contexts` names the tables of states.
    ///
    /// # Errors
    /// When server or database do not answer, or a row is not what it should be.
    pub async fn read(nats: &Nats, store: &Store, contexts: &[&'static str]) -> Result<Self, FactsError> {
        let mut facts = Self::default();
        for (subject, envelope) in messages(nats, COMMANDS).await? {
            if let (Some(Subject::Command { kind: name, id, .. }), Some(envelope)) =
                (Subject::parse(&subject), envelope)
                && name != "canary"
            {
                facts.commands.push(Asked {
                    id,
                    kind: envelope.kind,
                });
            }
        }
        for (subject, envelope) in messages(nats, EVENTS).await? {
            if let (Some(Subject::Event { context, aggregate, .. }), Some(envelope)) =
                (Subject::parse(&subject), envelope)
                && let Some(version) = envelope.version
            {
                facts.events.push(Told {
                    id: envelope.id,
                    context: context.to_owned(),
                    aggregate,
                    version,
                });
            }
        }
        for (subject, _) in messages(nats, DEAD).await? {
            if let Some(Subject::Dead { lane, id }) = Subject::parse(&subject) {
                facts.dead.push(Letter {
                    lane: lane.to_owned(),
                    id,
                });
            }
        }
        // Wherever a row lies, it counts: one that lies in two databases is there twice.
        for room in store.each() {
            let db = room.db();
            facts
                .inbox
                .append(&mut rows(db, "inbox", "key: record::id(id), outcome: outcome").await?);
            facts
                .log
                .append(&mut rows(db, "event", "key: record::id(id), command: command").await?);
            let outbox: Vec<Keyed<(String, Uuid, u64)>> = rows(db, "outbox", "key: record::id(id)").await?;
            facts.outbox.extend(outbox.into_iter().map(|row| row.key));
        }
        for context in contexts {
            let states: Vec<Versioned> =
                rows(store.of(context), context, "key: record::id(id), version: version").await?;
            let versions = states
                .into_iter()
                .map(|row| ((*context).to_owned(), row.key.0, row.version));
            facts.states.extend(versions);
        }
        Ok(facts)
    }
}

#[derive(Deserialize)]
struct Keyed<K> {
    key: K,
}

#[derive(Deserialize)]
struct Versioned {
    key: (Uuid,),
    version: u64,
}

/// Every message of a stream in order: subject, and envelope if it has one.
async fn messages(nats: &Nats, name: &'static str) -> Result<Vec<(String, Option<Envelope>)>, FactsError> {
    let failed = |why: &dyn std::fmt::Display| FactsError::Stream(name, why.to_string());
    let stream = nats
        .jetstream()
        .get_stream(name)
        .await
        .map_err(|error| failed(&error))?;
    let last = stream.cached_info().state.last_sequence;
    let mut found = Vec::new();
    if stream.cached_info().state.messages == 0 {
        return Ok(found);
    }
    let config = pull::OrderedConfig {
        deliver_policy: DeliverPolicy::All,
        headers_only: true,
        ..pull::OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(|error| failed(&error))?;
    let mut messages = consumer.messages().await.map_err(|error| failed(&error))?;
    loop {
        let next = tokio::time::timeout(PATIENCE, messages.next()).await;
        let Ok(Some(message)) = next else {
            return Err(failed(&"it fell silent"));
        };
        let message = message.map_err(|error| failed(&error))?;
        let seq = message.info().map_err(|error| failed(&error))?.stream_sequence;
        let envelope = headers::envelope(message.headers.as_ref()).ok();
        found.push((message.subject.to_string(), envelope));
        if seq >= last {
            return Ok(found);
        }
    }
}

/// Every row of a table, in the order of its keys, in this form.
async fn rows<T: DeserializeOwned>(db: &Db, table: &'static str, form: &str) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    let mut after: Vec<Part> = Vec::new();
    loop {
        let mut answer = db
            .query(format!(
                "SELECT VALUE {{ last: record::id(id), {form} }} FROM array::first([$range]) LIMIT $most"
            ))
            .bind(("range", range(table, &[], &after)))
            .bind(("most", PAGE))
            .await?;
        let page: Vec<serde_json::Value> = answer.take(0)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = serde_json::from_value(last["last"].clone()).map_err(StoreError::Row)?;
        for row in page {
            found.push(serde_json::from_value(row).map_err(StoreError::Row)?);
        }
    }
}

/// Every document of a table in the order of its keys, for comparing.
///
/// # Errors
/// When the database does not answer, or a row is not what it should be.
pub async fn documents(store: &Store, table: &'static str) -> Result<Vec<(Key, serde_json::Value)>, StoreError> {
    let (mut found, mut after) = (Vec::new(), Vec::new());
    loop {
        let page: Vec<(Vec<Part>, serde_json::Value)> = store.page(table, &[], &after, 1_000).await?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = last.clone();
        found.extend(page.into_iter().map(|(key, doc)| (Key::new(table, key), doc)));
    }
}
