//! Reads EVENTS in order and folds it, batch by batch.
//!
//! The mark in the database is the only truth about how far a view has read; the consumer on the server
//! is set back to it whenever a reading begins. The server serves one reader of a view at a time, and
//! the mark is moved under the condition that it still stands where the reader found it, so that two
//! readers, should it come to that, cannot both write.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::envelope::Envelope;
use surrealdb::types::{RecordId, SurrealValue};
use tokio_util::sync::CancellationToken;

use super::rows::{FoldError, Rows};
use crate::jobs::{Delivery, Next, Session, SessionError};
use crate::nats::Nats;
use crate::store::{Key, Part, Store, StoreError, Tx, range, retry};
use crate::subject::Subject;
use crate::topology::{Consumer, EVENTS, READER_GROUP, Reads};

/// The most events of one transaction.
const BATCH: usize = 256;

/// A read view.
pub trait View: Send + Sync + 'static {
    /// The one word: its first table, its consumer, its metric label.
    fn name(&self) -> &'static str;

    /// The tables it writes, for forgetting them.
    fn tables(&self) -> &'static [&'static str];

    /// The contexts it listens to; of these it hears everything, and notices what is missing.
    fn contexts(&self) -> &'static [&'static str];

    /// Folds one event into rows.
    fn fold<'a>(&'a self, event: &'a Delivery, rows: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>>;
}

/// The consumer that a view reads through.
fn consumer_name(view: &str) -> String {
    format!("view-{view}")
}

impl dyn View {
    /// The consumer it reads through, for the topology.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        Consumer {
            stream: EVENTS,
            name: consumer_name(self.name()),
            filters: Vec::new(),
            reads: Reads::ByMark,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Fold(#[from] FoldError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("set the consumer back: {0}")]
    Reset(String),
    #[error("event {seq} came after {mark}: the reading begins anew")]
    Hole { seq: u64, mark: u64 },
    #[error("somebody else moved the mark")]
    MarkMoved,
}

fn mark_key(view: &str) -> Key {
    Key::new("view_mark", [Part::from(view)])
}

/// How far a view has read: the sequence of the last event it knows.
///
/// # Errors
/// When the database does not answer.
pub async fn mark(store: &Store, view: &str) -> Result<Option<u64>, StoreError> {
    let mut rows = store
        .db()
        .query("SELECT VALUE seq FROM ONLY $mark")
        .bind(("mark", mark_key(view).record()))
        .await?;
    let seq: Option<i64> = rows.take(0)?;
    Ok(seq.map(i64::unsigned_abs))
}

/// Takes all rows of a view away, so that its reader builds it again from the first event.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(store: &Store, view: &dyn View) -> Result<(), StoreError> {
    let own = [Part::from(view.name())];
    let mut what: Vec<RecordId> = vec![mark_key(view.name()).record()];
    what.extend(view.tables().iter().map(|table| range(table, &[], &[])));
    what.extend(["view_seen", "view_place"].map(|table| range(table, &own, &[])));
    let run = || {
        store
            .db()
            .query("{ FOR $one IN $what { DELETE $one RETURN NONE }; RETURN NONE; }")
            .bind(("what", what.clone()))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(other.into()),
    }
}

/// Keeps a view up to date until told to stop.
pub async fn read(nats: Nats, store: Store, view: Arc<dyn View>, stop: CancellationToken) {
    let mut trouble = 0_u32;
    while !stop.is_cancelled() {
        let reading = reading(&nats, &store, &*view, &stop);
        let Err(error) = reading.await else { return };
        trouble = if matches!(error, ReadError::Session(SessionError::Reconnected)) {
            0
        } else {
            trouble + 1
        };
        metrics::counter!("maru_view_restarts_total", "view" => view.name()).increment(1);
        if trouble > 2 {
            tracing::warn!(view = view.name(), %error, "the view waits");
        } else {
            tracing::debug!(view = view.name(), %error, "reading anew");
        }
        let wait = Duration::from_millis(50).saturating_mul(1 << trouble.min(8));
        let _ = stop.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

async fn reading(nats: &Nats, store: &Store, view: &dyn View, stop: &CancellationToken) -> Result<(), ReadError> {
    let mut at = begin(store, view).await?;
    nats.jetstream()
        .get_stream_no_info(EVENTS)
        .await
        .map_err(|error| ReadError::Reset(error.to_string()))?
        .reset_consumer(&consumer_name(view.name()), Some(at + 1))
        .await
        .map_err(|error| ReadError::Reset(error.to_string()))?;
    let mut session = Session::open(nats, EVENTS, &consumer_name(view.name()), Some(READER_GROUP)).await?;
    loop {
        if session.outstanding() < BATCH / 2 {
            session.request(BATCH).await?;
        }
        let Some(first) = stop.run_until_cancelled(session.next()).await else {
            return Ok(());
        };
        let mut batch = Vec::new();
        let mut next = Some(first?);
        // What has arrived already goes into the same transaction; nothing is waited for.
        while let Some(came) = next.take() {
            if let Next::Message(message) = came {
                batch.push(Message {
                    message: *message,
                    context: nats.jetstream().clone(),
                });
            }
            if batch.len() < BATCH
                && let Some(came) = session.next().now_or_never()
            {
                next = Some(came?);
            }
        }
        at = fold(store, view, at, batch).await?;
    }
}

/// The view's mark; a view that is new begins before the first event.
async fn begin(store: &Store, view: &dyn View) -> Result<u64, StoreError> {
    if let Some(at) = mark(store, view.name()).await? {
        return Ok(at);
    }
    let run = || {
        store
            .db()
            .query("CREATE $mark CONTENT { seq: 0 } RETURN NONE")
            .bind(("mark", mark_key(view.name()).record()))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) | Tx::Duplicate(_) => Ok(mark(store, view.name()).await?.unwrap_or_default()),
        other => Err(other.into()),
    }
}

async fn fold(store: &Store, view: &dyn View, from: u64, batch: Vec<Message>) -> Result<u64, ReadError> {
    let started = std::time::Instant::now();
    let mut rows = Rows::new(view.name(), store.clone());
    let (mut at, mut waiting, mut folded) = (from, 0, 0_u64);
    for message in batch {
        let Ok(info) = message.info() else { continue };
        let (seq, pending) = (info.stream_sequence, info.pending);
        waiting = pending;
        if seq <= at {
            continue;
        }
        // Events are never deleted one by one, so every sequence comes; only a stream that was cut at
        // its beginning may start later.
        if seq != at + 1 && at > 0 {
            return Err(ReadError::Hole { seq, mark: at });
        }
        if let Some(event) = ours(view, &message, seq) {
            let event = event?;
            let version = event.envelope.version.unwrap_or_default();
            let context = context_of(&event.subject);
            if rows.is_new(context, event.envelope.subject, version).await? {
                view.fold(&event, &mut rows).await?;
                folded += 1;
            }
        }
        at = seq;
    }
    if at > from {
        commit(store, view.name(), from, at, rows).await?;
        metrics::counter!("maru_view_events_total", "view" => view.name()).increment(folded);
        metrics::histogram!("maru_view_batch_seconds", "view" => view.name()).record(started.elapsed());
    }
    metrics::gauge!("maru_view_mark_sequence", "view" => view.name()).set(at as f64);
    metrics::gauge!("maru_view_lag_events", "view" => view.name()).set(waiting as f64);
    Ok(at)
}

fn context_of(subject: &str) -> &str {
    match Subject::parse(subject) {
        Some(Subject::Event { context, .. }) => context,
        _ => "",
    }
}

/// The event, if it is of a context that the view listens to.
fn ours(view: &dyn View, message: &Message, seq: u64) -> Option<Result<Delivery, FoldError>> {
    let subject = message.subject.as_str();
    if !view.contexts().contains(&context_of(subject)) {
        return None;
    }
    let headers = message.headers.as_ref();
    let envelope = Envelope::read(|name| headers?.get(name).map(|value| value.as_str()));
    Some(match envelope {
        Ok(envelope) => Ok(Delivery {
            subject: subject.to_owned(),
            envelope,
            body: message.payload.clone(),
            seq,
            attempt: 1,
        }),
        Err(_) => Err(FoldError::Unreadable { seq }),
    })
}

#[derive(SurrealValue, Clone)]
struct DocRow {
    id: RecordId,
    doc: serde_json::Value,
}

async fn commit(store: &Store, view: &str, from: u64, to: u64, rows: Rows) -> Result<(), ReadError> {
    let signed = |seq| i64::try_from(seq).unwrap_or(i64::MAX);
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    for (key, doc) in rows.into_changes() {
        match doc {
            Some(doc) => puts.push(DocRow { id: key.record(), doc }),
            None => deletes.push(key.record()),
        }
    }
    let run = || {
        store
            .db()
            .query(
                "{
                LET $moved = (UPDATE $mark SET seq = $to WHERE seq = $from RETURN VALUE seq);
                IF array::len($moved) != 1 { THROW 'mark_moved' };
                FOR $row IN $puts { UPSERT $row.id CONTENT { doc: $row.doc } RETURN NONE };
                FOR $one IN $deletes { DELETE $one RETURN NONE };
                RETURN NONE;
                }",
            )
            .bind(("mark", mark_key(view).record()))
            .bind(("from", signed(from)))
            .bind(("to", signed(to)))
            .bind(("puts", puts.clone()))
            .bind(("deletes", deletes.clone()))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        Tx::Refused(_) => Err(ReadError::MarkMoved),
        other => Err(ReadError::Store(other.into())),
    }
}
