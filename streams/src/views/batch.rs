//! One batch of a reading: folded in order, and committed together with the mark.

use std::time::Instant;

use async_nats::jetstream::Message;
use serde_json::Value;
use surrealdb::types::{RecordId, SurrealValue};
use tracing::{Instrument, Span};

use super::ahead::Prepared;
use super::chain::{LINK, reach};
use super::plan::{Stage, row};
use super::reader::{BATCH, ReadError, Reading};
use super::rows::FoldError;
use super::view::{Role, View};
use crate::headers;
use crate::jobs::Delivery;
use crate::spans;
use crate::store::{StoreError, Tx, retry};
use crate::subject::Subject;

/// A sequence of EVENTS, and what lies there.
pub(super) struct Event {
    pub(super) seq: u64,
    pub(super) what: What,
}

pub(super) enum What {
    /// It is of a context that the view does not listen to.
    NotOurs,
    Ours(Box<Delivery>),
    Unreadable,
}

#[derive(SurrealValue, Clone)]
struct DocRow {
    id: RecordId,
    doc: Value,
}

impl Reading<'_> {
    /// Folds what has come, no further than `upto`. Should an event not be to be folded, those before
    /// it are all the same.
    pub(super) async fn step(&mut self, upto: u64) -> Result<(), ReadError> {
        let (batch, prepared) = match std::mem::replace(&mut self.ahead, Ok(None))? {
            Some(Prepared { batch, is_folded }) => (batch, Some(is_folded)),
            None => (self.batch(upto)?, None),
        };
        let ours = batch.iter().filter(|event| matches!(event.what, What::Ours(_))).count();
        let span = match ours {
            0 => Span::none(),
            _ => spans::folding(self.view.name(), ours),
        };
        let stepped = async {
            let is_folded = match prepared {
                Some(is_folded) => is_folded,
                None => self.prepare(&batch).await?,
            };
            self.step_through(&batch, is_folded, upto, &span).await
        };
        let stepped = stepped.instrument(span.clone()).await;
        match &stepped {
            Err(ReadError::Fold { .. }) => spans::failed(&span, "cannot_be_folded"),
            Err(_) => spans::failed(&span, "not_committed"),
            Ok(()) => {}
        }
        stepped
    }

    async fn step_through(
        &mut self,
        batch: &[Event],
        is_folded: bool,
        upto: u64,
        span: &Span,
    ) -> Result<(), ReadError> {
        let started = Instant::now();
        let folded = if is_folded { Ok(()) } else { self.fold(batch).await };
        let Err((nth, source)) = folded else {
            return self.show(batch, Some(upto), started, span).await;
        };
        let seq = batch[nth].seq;
        if nth > 0 {
            let before = &batch[..nth];
            let folded = match self.prepare(before).await? {
                true => Ok(()),
                false => self.fold(before).await,
            };
            match folded {
                Ok(()) => self.show(before, None, started, span).await?,
                Err((nth, source)) => {
                    return Err(ReadError::Fold {
                        seq: batch[nth].seq,
                        source,
                    });
                }
            }
        }
        Err(ReadError::Fold { seq, source })
    }

    /// The next events, one after the other.
    pub(super) fn batch(&mut self, upto: u64) -> Result<Vec<Event>, ReadError> {
        let mut batch: Vec<Event> = Vec::new();
        while batch.len() < BATCH
            && let Some(message) = self.came.pop_front()
        {
            let Ok(info) = message.info() else { continue };
            let (seq, at) = (
                info.stream_sequence,
                batch.last().map_or(self.place.seq, |last| last.seq),
            );
            if seq <= at {
                continue;
            }
            // Events are never deleted one by one, so every sequence comes; only a stream that was cut at
            // its beginning may start later.
            if seq != at + 1 && at > 0 {
                self.came.push_front(message);
                if batch.is_empty() {
                    return Err(ReadError::Hole { seq, mark: at });
                }
                break;
            }
            if seq > upto {
                self.came.push_front(message);
                break;
            }
            let what = what(self.view, &message, seq);
            batch.push(Event { seq, what });
        }
        Ok(batch)
    }

    /// Which one could not be folded is told with the error.
    async fn fold(&mut self, batch: &[Event]) -> Result<(), (usize, FoldError)> {
        for (nth, event) in batch.iter().enumerate() {
            match &event.what {
                What::NotOurs => {}
                What::Unreadable => return Err((nth, FoldError::Unreadable { seq: event.seq })),
                What::Ours(event) => self.fold_one(event).await.map_err(|error| (nth, error))?,
            }
        }
        Ok(())
    }

    pub(super) async fn fold_one(&mut self, event: &Delivery) -> Result<(), FoldError> {
        let version = event.envelope.version.unwrap_or_default();
        let (context, aggregate) = (context_of(&event.subject), event.envelope.subject);
        if self.rows.is_new(context, aggregate, version).await? {
            self.view.fold(event, &mut self.rows).await?;
        }
        Ok(())
    }

    /// Commits it, so that people see it. Each event's trace ends there, unless it is a version that nobody reads
    /// yet: that one folds everything there ever was.
    async fn show(
        &mut self,
        batch: &[Event],
        upto: Option<u64>,
        started: Instant,
        span: &Span,
    ) -> Result<(), ReadError> {
        let mut shown = Vec::new();
        if spans::are_kept() && self.role == Role::Read {
            for event in batch {
                if let What::Ours(event) = &event.what
                    && event.envelope.traceparent.is_some()
                {
                    spans::link(span, event.envelope.traceparent.as_deref());
                    let show = spans::showing(self.view.name(), event.seq, &event.envelope);
                    spans::link(&show, spans::of(span).as_deref());
                    shown.push(show);
                }
            }
        }
        let committed = self.commit(batch, upto, started).await;
        if committed.is_err() {
            shown.iter().for_each(|show| spans::failed(show, "not_committed"));
        }
        committed
    }

    /// Commits it, and prepares the next one, as far as `upto`, meanwhile. If it cannot be committed this reading is over,
    /// with all that it knows; so its rows may count as written, and its mark as moved, before they are.
    async fn commit(&mut self, batch: &[Event], upto: Option<u64>, started: Instant) -> Result<(), ReadError> {
        let signed = |seq| i64::try_from(seq).unwrap_or(i64::MAX);
        let Some(to) = batch.last().map(|last| last.seq) else {
            return Ok(());
        };
        let (from, build, store) = (self.place.seq, self.place.build, self.plans.store.clone());
        let (colour, view) = (self.place.colour, self.view.name());
        let (mut new, mut puts, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
        for (key, doc, was_there) in self.rows.changes() {
            let id = key.record();
            match doc {
                Some(doc) if was_there => puts.push(DocRow { id, doc }),
                // Half the price of an UPSERT, if there is no such row; if there is, it is only slower.
                Some(doc) => new.push(DocRow { id, doc }),
                None => deletes.push(id),
            }
        }
        self.rows.written();
        self.place.seq = to;
        let run = || {
            store
                .db()
                .query(format!(
                    "{{
                    LET $moved = (UPDATE $mark SET seq = $to, waits = NONE
                        WHERE seq = $from AND (build ?? 0) = $build RETURN VALUE seq);
                    IF array::len($moved) != 1 {{ THROW 'mark_moved' }};
                    INSERT $new ON DUPLICATE KEY UPDATE doc = $input.doc RETURN NONE;
                    FOR $row IN $puts {{ UPSERT $row.id CONTENT {{ doc: $row.doc }} RETURN NONE }};
                    FOR $one IN $deletes {{ DELETE $one RETURN NONE }};
                    {LINK}
                    RETURN (SELECT reads, stage, build, swap FROM ONLY $row);
                    }}",
                ))
                .bind(("view", colour.of(view).into_owned()))
                .bind(("reach", reach()))
                .bind(("mark", colour.mark(view).record()))
                .bind(("from", signed(from)))
                .bind(("to", signed(to)))
                .bind(("build", build))
                .bind(("new", new.clone()))
                .bind(("puts", puts.clone()))
                .bind(("deletes", deletes.clone()))
                .bind(("row", row(view).record()))
                .into_future()
        };
        let (done, ahead) = tokio::join!(retry(run), self.look_ahead(upto));
        let plan = match done? {
            Tx::Done(plan) => plan.into_json_value(),
            Tx::Refused(_) => return Err(ReadError::Moved),
            other => return Err(StoreError::from(other).into()),
        };
        self.plan = serde_json::from_value(plan).map_err(StoreError::Row)?;
        self.measure(batch, started);
        let is_read = self.plan.reads == self.place.colour;
        let is_mine = match self.role {
            Role::Read => is_read,
            Role::Other => !is_read && self.plan.stage != Stage::Dropping,
        };
        // What is wrong with the next batch is said when it is its turn.
        self.ahead = ahead;
        if is_mine { Ok(()) } else { Err(ReadError::Moved) }
    }

    fn measure(&self, batch: &[Event], started: Instant) {
        let folded = batch.iter().filter(|event| matches!(event.what, What::Ours(_))).count();
        let labels = [("view", self.view.name()), ("colour", self.role.word())];
        metrics::counter!("maru_view_events_total", &labels).increment(folded as u64);
        metrics::histogram!("maru_view_batch_seconds", &labels).record(started.elapsed());
    }
}

fn context_of(subject: &str) -> &str {
    match Subject::parse(subject) {
        Some(Subject::Event { context, .. }) => context,
        _ => "",
    }
}

/// Whether a view listens to what lies there.
pub(super) fn is_ours(view: &dyn View, subject: &str) -> bool {
    view.contexts().contains(&context_of(subject))
}

fn what(view: &dyn View, message: &Message, seq: u64) -> What {
    let subject = message.subject.as_str();
    if !is_ours(view, subject) {
        return What::NotOurs;
    }
    match headers::envelope(message.headers.as_ref()) {
        Ok(envelope) => What::Ours(Box::new(Delivery {
            subject: subject.to_owned(),
            envelope,
            body: message.payload.clone(),
            seq,
            attempt: 1,
            batch: None,
        })),
        Err(_) => What::Unreadable,
    }
}
