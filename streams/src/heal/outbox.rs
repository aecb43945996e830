//! Rows of the outbox whose events EVENTS has already: they were published, and the database does not know of
//! it, because it is an older copy or its last moment was lost. The server remembers what it has for minutes
//! only, so after a restore they would be published a second time.

use std::collections::HashMap;

use super::log;
use super::{HealError, Work};
use crate::store::{Key, Part, Store, StoreError, Tx, retry};
use crate::topology::EVENTS;
use crate::write::transact::Pending;

/// Rows of one look. There are as many as were being published at one moment.
const MOST: usize = 500;

/// Takes such rows away, and notes with each command where its last event lies. Nobody else may be at work.
pub(super) async fn mend(work: &Work) -> Result<(), HealError> {
    for room in work.store.each() {
        mend_room(work, &room).await?;
    }
    Ok(())
}

async fn mend_room(work: &Work, room: &Store) -> Result<(), HealError> {
    let mut after: Option<Vec<Part>> = None;
    loop {
        let rows = page(room, after.as_deref().unwrap_or_default()).await?;
        // The rows come in the order of their keys, so those of one aggregate stand together.
        let aggregates = rows.chunk_by(|one, other| (&one.key.0, one.key.1) == (&other.key.0, other.key.1));
        let mut aggregates: Vec<&[Pending]> = aggregates.collect();
        // The last one may go on behind a full page, and comes again with all of its rows.
        if rows.len() == MOST && aggregates.len() > 1 {
            aggregates.pop();
        }
        let Some(last) = aggregates.last().and_then(|rows| rows.last()) else {
            return Ok(());
        };
        after = Some(key(last).parts);
        for aggregate in aggregates {
            settle(work, room, aggregate).await?;
        }
    }
}

async fn page(room: &Store, after: &[Part]) -> Result<Vec<Pending>, StoreError> {
    let text = "SELECT VALUE { key: record::id(id), subject: subject, envelope: envelope, body: body }
                FROM array::first([$range]) LIMIT $most";
    let mut rows = room
        .db()
        .query(text)
        .bind(("range", crate::store::range("outbox", &[], after)))
        .bind(("most", i64::try_from(MOST).unwrap_or(i64::MAX)))
        .await?;
    let rows: Vec<serde_json::Value> = rows.take(0)?;
    let rows = rows.into_iter().map(serde_json::from_value);
    rows.collect::<Result<_, _>>().map_err(StoreError::Row)
}

async fn settle(work: &Work, room: &Store, aggregate: &[Pending]) -> Result<(), HealError> {
    let (Some(first), Some(last)) = (aggregate.first(), aggregate.last()) else {
        return Ok(());
    };
    let (context, id, _) = &first.key;
    let mut published = HashMap::new();
    let mut at = 0;
    while let Some(stored) = log::next(&work.nats, EVENTS, format!("evt.{context}.*.v1.{id}"), at).await? {
        at = stored.seq;
        let version = stored.envelope.ok().and_then(|envelope| envelope.version);
        let version = version.unwrap_or_default();
        published.entry(version).or_insert(at);
        if version >= last.key.2 {
            break;
        }
    }
    for row in aggregate {
        let Some(seq) = published.get(&row.key.2) else { continue };
        // Of a command that has more to publish it is not known yet where its last event will lie.
        let has_more = |row: &Pending, command| {
            let is_its = |later: &&Pending| later.envelope.causation == Some(command) && later.key.2 > row.key.2;
            aggregate
                .iter()
                .filter(is_its)
                .any(|later| !published.contains_key(&later.key.2))
        };
        if let Some(command) = row.envelope.causation
            && !has_more(row, command)
        {
            let inbox = Key::new("inbox", [context.as_str().into(), command.into()]);
            tell(room, &inbox, *seq).await?;
        }
        room.delete(&[key(row)]).await?;
    }
    Ok(())
}

/// Notes where the last event of a command lies: the token for who asks again.
async fn tell(room: &Store, inbox: &Key, seq: u64) -> Result<(), StoreError> {
    let run = || {
        room.db()
            .query("UPDATE $inbox SET outcome.seq = $seq RETURN NONE")
            .bind(("inbox", inbox.record()))
            .bind(("seq", i64::try_from(seq).unwrap_or(i64::MAX)))
            .into_future()
    };
    match retry(run).await? {
        Tx::Done(_) => Ok(()),
        other => Err(other.into()),
    }
}

fn key(row: &Pending) -> Key {
    let (context, aggregate, version) = &row.key;
    let version = Part::Number(i64::try_from(*version).unwrap_or(i64::MAX));
    Key::new("outbox", [context.as_str().into(), (*aggregate).into(), version])
}
