//! Deciding the commands of one context a second time.
//!
//! An aggregate is folded from its first event on, so that each lost command meets the state that it met
//! the first time; the state row may be newer by then. What comes out is held against what EVENTS has.
//! Everything that an aggregate lacks comes back in one transaction, and what a later version wrote stays.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::envelope::Envelope;
use maru_schemas::message::{Message, Told};
use maru_schemas::outcome::Outcome;
use serde_json::Value;
use uuid::Uuid;

use super::log::{self, Stored};
use super::restore::{self, Lost};
use super::{HealError, Recorded, Why, Work, lost};
use crate::contract::{By, CommandOf, Context, EventOf, ToldOf};
use crate::store::{Key, Part, Store, StoreError, range};
use crate::topology::COMMANDS;
use crate::write::rows::event_envelope;

/// What became of an aggregate's missing events.
#[derive(Default)]
pub(super) struct Mended {
    /// The commands that were decided again.
    pub commands: Vec<Uuid>,
    /// How many events came back.
    pub events: u64,
    /// The version that cannot come back, and why.
    pub stuck: Option<(u64, Why)>,
}

/// A context, whichever it is.
pub(super) trait Again: Send + Sync {
    /// Its name.
    fn context(&self) -> &'static str;

    /// Brings back what an aggregate lacks of these events.
    fn events<'a>(
        &'a self,
        work: &'a Work,
        aggregate: Uuid,
        recorded: &'a BTreeMap<u64, Recorded>,
    ) -> BoxFuture<'a, Result<Mended, HealError>>;

    /// What to say became of a command that was settled and whose outcome is gone. None if this build
    /// cannot read it: then no build decided it, and its fate is another one.
    fn outcome<'a>(&'a self, work: &'a Work, command: &'a Stored) -> BoxFuture<'a, Result<Option<Outcome>, HealError>>;
}

type Log<C> = BTreeMap<u64, ToldOf<C>>;

/// Decides again for context `C`.
pub(super) struct Deciding<C: Context> {
    /// What a dry run would have brought back, because what comes later stands on it.
    imagined: Mutex<HashMap<Uuid, Log<C>>>,
}

impl<C: Context> Default for Deciding<C> {
    fn default() -> Self {
        Self {
            imagined: Mutex::default(),
        }
    }
}

/// An aggregate while its events are gone through from the first one on.
pub(super) struct Folded<C: Context> {
    pub version: u64,
    pub state: C::State,
    /// The documents that it keeps, each with the version that wrote it last.
    pub kept: HashMap<Key, (u64, Value)>,
}

impl<C: Context> Folded<C> {
    fn new() -> Self {
        Self {
            version: 0,
            state: C::State::default(),
            kept: HashMap::new(),
        }
    }

    fn apply(&mut self, aggregate: Uuid, told: &ToldOf<C>) {
        self.version += 1;
        self.state = C::evolve(std::mem::take(&mut self.state), told);
        for row in C::keeps(aggregate, &self.state, told) {
            self.kept.insert(row.key, (self.version, row.doc));
        }
    }
}

impl<C: Context> Deciding<C> {
    async fn mend(
        &self,
        work: &Work,
        aggregate: Uuid,
        recorded: &BTreeMap<u64, Recorded>,
    ) -> Result<Mended, HealError> {
        let mut log = self.log(&work.store, aggregate).await?;
        let mut folded = Folded::<C>::new();
        let mut lost: Vec<Lost<C>> = Vec::new();
        let stuck = loop {
            let next = folded.version + 1;
            if let Some(told) = log.get(&next) {
                folded.apply(aggregate, told);
                continue;
            }
            let Some(event) = recorded.get(&next) else {
                let is_hole = log.range(next..).next().is_some() || recorded.range(next..).next().is_some();
                break is_hole.then_some((next, Why::Before));
            };
            match self.decide_again(work, &folded, aggregate, event, recorded).await? {
                Ok(command) => {
                    log.extend((next..).zip(command.steps.iter().map(|(told, _)| told.clone())));
                    lost.push(command);
                }
                Err(why) => break Some((next, why)),
            }
        };
        let mended = Mended {
            commands: lost.iter().map(|command| command.envelope.id).collect(),
            events: lost.iter().map(|command| command.steps.len() as u64).sum(),
            stuck,
        };
        if work.is_dry {
            let events = lost.iter().flat_map(|one| (one.first..).zip(&one.steps));
            let imagined = events.map(|(version, (told, _))| (version, told.clone()));
            self.imagined().entry(aggregate).or_default().extend(imagined);
        } else if !lost.is_empty() {
            restore::commit(work, aggregate, &folded, &lost, recorded).await?;
        }
        Ok(mended)
    }

    /// Decides the command behind an event on the state before it, and compares.
    async fn decide_again(
        &self,
        work: &Work,
        before: &Folded<C>,
        aggregate: Uuid,
        event: &Recorded,
        recorded: &BTreeMap<u64, Recorded>,
    ) -> Result<Result<Lost<C>, Why>, HealError> {
        let Some(cause) = event.envelope.causation else {
            return Ok(Err(Why::NoCommand));
        };
        let subject = format!("cmd.{}.*.v1.{cause}", C::NAME);
        let Some(command) = log::newest(&work.nats, COMMANDS, subject).await? else {
            return Ok(Err(Why::NoCommand));
        };
        let Some((envelope, command)) = read::<C>(&command) else {
            return Ok(Err(Why::Unreadable));
        };
        let decide = || C::decide(&before.state, &command, &by(&envelope, before.version));
        let (Ok(told), Ok(twice)) = (decide(), decide()) else {
            return Ok(Err(Why::Otherwise));
        };
        // Words are not in EVENTS, so only a second time shows whether they come out the same.
        if envelope.subject != aggregate || told.is_empty() || whole(&told)? != whole(&twice)? {
            return Ok(Err(Why::Otherwise));
        }
        let (first, mut state) = (before.version + 1, before.state.clone());
        let next = first + told.len() as u64;
        let mut steps = Vec::new();
        for (version, told) in (first..).zip(told) {
            state = C::evolve(state, &told);
            let event = event_envelope::<C>(&envelope, told.event.kind(), version, C::owner(&state));
            if recorded
                .get(&version)
                .is_some_and(|recorded| !is_same::<C>(recorded, event, &told))
            {
                return Ok(Err(Why::Otherwise));
            }
            steps.push((told, state.clone()));
        }
        let after = recorded.get(&next);
        if after.is_some_and(|after| after.envelope.causation == Some(cause)) {
            return Ok(Err(Why::Otherwise));
        }
        Ok(Ok(Lost { envelope, first, steps }))
    }

    /// The event log of an aggregate, as far as it is there.
    async fn log(&self, store: &Store, aggregate: Uuid) -> Result<Log<C>, HealError> {
        let mut rows = store
            .of(C::NAME)
            .query("RETURN (SELECT VALUE { version: record::id(id)[2], event: event, text: text } FROM $range)")
            .bind(("range", range("event", &[Part::from(C::NAME), aggregate.into()], &[])))
            .await
            .map_err(StoreError::from)?;
        let rows: surrealdb::types::Value = rows.take(0).map_err(StoreError::from)?;
        let rows: Vec<Value> = serde_json::from_value(rows.into_json_value()).map_err(StoreError::Row)?;
        let mut log = Log::<C>::new();
        for mut row in rows {
            let event = serde_json::from_value(row["event"].take()).map_err(StoreError::Row)?;
            let text = match row["text"].take() {
                text @ Value::Object(_) => serde_json::from_value(text).map_err(StoreError::Row)?,
                _ => Default::default(),
            };
            log.insert(row["version"].as_u64().unwrap_or_default(), Told { event, text });
        }
        if let Some(imagined) = self.imagined().get(&aggregate) {
            log.extend(imagined.iter().map(|(version, told)| (*version, told.clone())));
        }
        Ok(log)
    }

    fn imagined(&self) -> MutexGuard<'_, HashMap<Uuid, Log<C>>> {
        self.imagined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn say(&self, work: &Work, command: &Stored) -> Result<Option<Outcome>, HealError> {
        let Some((envelope, command)) = read::<C>(command) else {
            return Ok(None);
        };
        let log = self.log(&work.store, envelope.subject).await?;
        let mut folded = Folded::<C>::new();
        for told in log.values() {
            folded.apply(envelope.subject, told);
        }
        let by = by(&envelope, folded.version);
        let outcome = match C::decide(&folded.state, &command, &by) {
            Err(refusal) => Outcome::refused(&refusal),
            Ok(told) if told.is_empty() => Outcome::Done {
                subject: envelope.subject,
                version: folded.version,
                seq: None,
            },
            // It changed nothing then, whatever was said of it; now it would, long after somebody was told.
            Ok(_) => lost(),
        };
        if !work.is_dry {
            restore::note(&work.store, C::NAME, &envelope, &outcome).await?;
        }
        Ok(Some(outcome))
    }
}

impl<C: Context> Again for Deciding<C> {
    fn context(&self) -> &'static str {
        C::NAME
    }

    fn events<'a>(
        &'a self,
        work: &'a Work,
        aggregate: Uuid,
        recorded: &'a BTreeMap<u64, Recorded>,
    ) -> BoxFuture<'a, Result<Mended, HealError>> {
        self.mend(work, aggregate, recorded).boxed()
    }

    fn outcome<'a>(&'a self, work: &'a Work, command: &'a Stored) -> BoxFuture<'a, Result<Option<Outcome>, HealError>> {
        self.say(work, command).boxed()
    }
}

fn read<C: Context>(stored: &Stored) -> Option<(Envelope, CommandOf<C>)> {
    let envelope = stored.envelope.as_ref().ok()?.clone();
    Some((envelope, serde_json::from_slice(&stored.body).ok()?))
}

fn by(command: &Envelope, version: u64) -> By {
    By {
        actor: command.actor,
        at: command.time,
        command: command.id,
        subject: command.subject,
        version,
    }
}

/// Events with their words, to compare: the contract does not ask for more than that they serialise.
fn whole<E: Message, T: serde::Serialize>(told: &[Told<E, T>]) -> Result<Value, StoreError> {
    serde_json::to_value(told).map_err(StoreError::Row)
}

/// Whether what came out is what EVENTS has, as this build reads it: a field that is newer than the event
/// has its default in both. Which trace it belonged to is no part of it.
fn is_same<C: Context>(recorded: &Recorded, event: Envelope, told: &ToldOf<C>) -> bool {
    let event = Envelope {
        traceparent: recorded.envelope.traceparent.clone(),
        ..event
    };
    let is = serde_json::from_slice::<EventOf<C>>(&recorded.body).and_then(serde_json::to_value);
    event == recorded.envelope && is.ok() == serde_json::to_value(&told.event).ok()
}
