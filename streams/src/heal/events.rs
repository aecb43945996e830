//! Looking every event up, and bringing back those that are missing.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use surrealdb::types::RecordId;
use uuid::Uuid;

use super::log::{self, Stored};
use super::{Findings, Heal, HealError, Recorded, Say, Unhealable, Word, Work};
use crate::jobs::canary;
use crate::store::{Db, Key, Part, Store, StoreError};
use crate::subject::Subject;
use crate::topology::EVENTS;

/// How many windows are looked up while one is being healed.
const AHEAD: usize = 4;
/// How many aggregates are healed at once. Below twelve writers the database does not wait to form groups.
const AT_ONCE: usize = 8;

/// The events of one aggregate, by version.
type Versions = BTreeMap<u64, Recorded>;

/// What a window of EVENTS came to.
struct Looked {
    last: u64,
    events: u64,
    unreadable: u64,
    missing: u64,
    /// The aggregates that lack one of its events.
    lacking: Vec<(String, Uuid, Versions)>,
}

pub(super) async fn mend(
    heal: &Heal,
    work: &Arc<Work>,
    (after, to): (u64, u64),
    findings: &mut Findings,
    say: Say<'_>,
) -> Result<(), HealError> {
    let windows = log::walk(work.nats.clone(), EVENTS, after, to);
    let looked = windows.map_ok(|window| look_up(Arc::clone(work), window));
    let mut looked = pin!(looked.try_buffered(AHEAD));
    while let Some(looked) = looked.try_next().await? {
        let report = &mut findings.report;
        report.events += looked.events;
        report.unreadable += looked.unreadable;
        report.missing_events += looked.missing;
        let lacking = looked.lacking.into_iter().filter_map(|(context, aggregate, versions)| {
            let again = heal.contexts.iter().find(|again| again.context() == context)?;
            let is_stuck = findings.stuck.contains(&(again.context(), aggregate));
            (!is_stuck).then(|| (Arc::clone(again), aggregate, versions))
        });
        let mending: Vec<_> = lacking
            .map(|(again, aggregate, versions)| {
                let work = Arc::clone(work);
                async move {
                    let mended = again.events(&work, aggregate, &versions).await?;
                    Ok::<_, HealError>((again.context(), aggregate, mended))
                }
            })
            .collect();
        let mut mended = pin!(stream::iter(mending).buffer_unordered(AT_ONCE));
        while let Some((context, aggregate, mended)) = mended.try_next().await? {
            findings.report.healed_events += mended.events;
            findings.decided.extend(mended.commands);
            if let Some((version, why)) = mended.stuck {
                tracing::error!(context, %aggregate, version, %why, "an event cannot be brought back");
                findings.stuck.insert((context, aggregate));
                findings.report.stays(Unhealable {
                    context: context.to_owned(),
                    aggregate,
                    version,
                    why,
                });
            }
        }
        say(Word {
            looking_at: "events",
            at: looked.last,
            to,
        });
    }
    Ok(())
}

async fn look_up(work: Arc<Work>, window: Vec<Stored>) -> Result<Looked, HealError> {
    let mut looked = Looked {
        last: window.last().map(|last| last.seq).unwrap_or_default(),
        events: window.len() as u64,
        unreadable: 0,
        missing: 0,
        lacking: Vec::new(),
    };
    let mut aggregates: BTreeMap<(String, Uuid), Versions> = BTreeMap::new();
    for stored in window {
        let context = match Subject::parse(&stored.subject) {
            Some(Subject::Event { context, .. }) => context.to_owned(),
            _ => String::new(),
        };
        match stored.envelope {
            Ok(envelope) if canary::is_canary(&envelope) => {}
            Ok(envelope) if !context.is_empty() => {
                let versions = aggregates.entry((context, envelope.subject)).or_default();
                // Published twice, the first one counts.
                versions
                    .entry(envelope.version.unwrap_or_default())
                    .or_insert(Recorded {
                        envelope,
                        body: stored.body,
                        seq: stored.seq,
                    });
            }
            _ => looked.unreadable += 1,
        }
    }
    let keys = aggregates.iter().flat_map(|((context, aggregate), versions)| {
        let key = |version: &u64| {
            let version = Part::from(i64::try_from(*version).unwrap_or(i64::MAX));
            Key::new("event", [context.as_str().into(), (*aggregate).into(), version])
        };
        versions.keys().map(key)
    });
    let keys: Vec<Key> = keys.collect();
    let missing = missing(&work.store, &keys).await?;
    looked.missing = missing.len() as u64;
    let lacking: HashSet<&[Part]> = missing.iter().map(|key| &key.parts[..2]).collect();
    for ((context, aggregate), versions) in aggregates {
        if lacking.contains([context.as_str().into(), aggregate.into()].as_slice()) {
            looked.lacking.push((context, aggregate, versions));
        }
    }
    Ok(looked)
}

/// Which of these rows of inbox or event log are not there.
pub(super) async fn missing(store: &Store, keys: &[Key]) -> Result<HashSet<Key>, HealError> {
    let mut contexts: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
    for key in keys {
        if let Some(Part::Text(context)) = key.parts.first() {
            contexts.entry(store.name_of(context)).or_default().push(key);
        }
    }
    let mut missing = HashSet::new();
    for (room, keys) in contexts {
        // What the main one is called is no context, and so it is in the main one.
        missing.extend(missing_in(store.of(room), &keys).await?);
    }
    Ok(missing)
}

/// The same of one database. Mostly none is missing, and counting those that are there is enough.
async fn missing_in(db: &Db, keys: &[&Key]) -> Result<HashSet<Key>, HealError> {
    let ids: Vec<RecordId> = keys.iter().map(|key| key.record()).collect();
    let mut rows = db
        .query("RETURN array::len((SELECT VALUE 1 FROM $ids))")
        .bind(("ids", ids.clone()))
        .await
        .map_err(StoreError::from)?;
    let count: Option<i64> = rows.take(0).map_err(StoreError::from)?;
    if count == i64::try_from(keys.len()).ok() {
        return Ok(HashSet::new());
    }
    let mut rows = db
        .query("RETURN (SELECT VALUE record::id(id) FROM $ids)")
        .bind(("ids", ids))
        .await
        .map_err(StoreError::from)?;
    let rows: surrealdb::types::Value = rows.take(0).map_err(StoreError::from)?;
    let there: Vec<Vec<Part>> = match rows.into_json_value() {
        Value::Null => Vec::new(),
        rows => serde_json::from_value(rows).map_err(StoreError::Row)?,
    };
    let there: HashSet<Vec<Part>> = there.into_iter().collect();
    let missing = keys.iter().filter(|key| !there.contains(&key.parts));
    Ok(missing.map(|key| (*key).clone()).collect())
}
