//! Finding a tree in the streams: from any id to the request it belongs to, and from there to everything
//! that carries it on.

use std::collections::BTreeMap;

use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::DirectGetErrorKind;
use jiff::Timestamp;
use uuid::Uuid;

use super::tree::{Message, What};
use super::{Letter, TraceError};
use crate::headers;
use crate::letters::{STATE, is_open};
use crate::nats::Nats;
use crate::scan::{Scanned, scan};
use crate::topology::{COMMANDS, DEAD, EVENTS, JOBS, TopologyError};

/// The most messages of a stream that are read through.
const MOST: u64 = 200_000;
/// How far back from the newest one looks for what has no subject of its own.
const LATELY: u64 = 100_000;
/// How long before a message was stored its request may have come, where nothing says when that was.
const LONGEST_CHAIN: Duration = Duration::from_secs(3600);
/// How far the clocks of servers may be apart.
const SLACK: Duration = Duration::from_secs(60);

/// A tree's messages, in no order.
pub(super) struct Found {
    pub(super) root: Message,
    pub(super) messages: Vec<Message>,
    pub(super) letters: Vec<(Uuid, Letter)>,
    pub(super) cut: Vec<String>,
}

/// One message of the tree: which request, and from when on to read.
struct Anchor {
    message: Uuid,
    correlation: Uuid,
    from: DeliverPolicy,
}

pub(super) async fn find(nats: &Nats, id: Uuid) -> Result<Found, TraceError> {
    let anchor = match by_subject(nats, id).await? {
        Some(anchor) => anchor,
        None => by_reading(nats, id).await?.ok_or(TraceError::NotThere(id))?,
    };
    let (mut messages, mut letters, mut cut) = (Vec::new(), BTreeMap::new(), Vec::new());
    let ours = anchor.correlation.to_string();
    for stream in [COMMANDS, EVENTS, JOBS] {
        let whole = scan(nats, stream, ">", anchor.from, MOST, |message| {
            if message.header("maru-correlation") == Some(&ours) {
                messages.extend(read(&message));
            }
        });
        if !whole.await? {
            cut.push(format!(
                "{stream} holds more than was read; what came late may be missing"
            ));
        }
    }
    let whole = scan(nats, DEAD, "dead.>", anchor.from, MOST, |message| {
        if message.header("maru-correlation") == Some(&ours) {
            // The newest word about a letter counts.
            match letter(&message) {
                Some((id, letter)) if message.header(STATE).is_some_and(is_open) => letters.insert(id, letter),
                Some((id, _)) => letters.remove(&id),
                None => None,
            };
        }
    });
    if !whole.await? {
        cut.push("not all dead letters were read".to_owned());
    }
    // An event that was published again after a crash lies there twice.
    messages.sort_by_key(|one| (one.id, one.seq));
    messages.dedup_by_key(|one| one.id);
    let mut root = messages.iter().find(|one| one.id == anchor.message);
    if root.is_none() {
        root = messages
            .iter()
            .filter(|one| one.causation.is_none())
            .min_by_key(|one| one.stored);
    }
    let mut root = root.ok_or(TraceError::NotThere(id))?;
    for _ in 0..messages.len() {
        let Some(cause) = root.causation else { break };
        match messages.iter().find(|one| one.id == cause) {
            Some(one) => root = one,
            None => {
                cut.push("the beginning is not in the streams any more, or further back than was read".to_owned());
                break;
            }
        }
    }
    Ok(Found {
        root: root.clone(),
        messages,
        letters: letters.into_iter().collect(),
        cut,
    })
}

/// A command, a job, or anything that lies in the dead letters.
async fn by_subject(nats: &Nats, id: Uuid) -> Result<Option<Anchor>, TopologyError> {
    for (stream, subject) in [
        (COMMANDS, format!("cmd.*.*.*.{id}")),
        (JOBS, format!("job.*.*.{id}")),
        (DEAD, format!("dead.*.{id}")),
    ] {
        let failed = |why: &dyn std::fmt::Display| TopologyError::new(format!("look for {id} in {stream}"), why);
        let found = nats
            .jetstream()
            .get_stream_no_info(stream)
            .await
            .map_err(|error| failed(&error))?;
        match found.direct_get_last_for_subject(subject).await {
            Ok(message) => {
                if let Some(anchor) = anchor(id, &message) {
                    return Ok(Some(anchor));
                }
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(None)
}

fn anchor(id: Uuid, message: &StreamMessage) -> Option<Anchor> {
    let header = |name: &str| headers::header(&message.headers, name);
    let correlation = Uuid::parse_str(header("maru-correlation")?).ok()?;
    let stored = crate::lanes::timestamp(message.time.unix_timestamp_nanos());
    let before = match header("maru-causation") {
        None => Duration::ZERO,
        Some(_) => minted(correlation).map_or(LONGEST_CHAIN, |at| {
            stored
                .duration_since(at)
                .unsigned_abs()
                .min(Duration::from_secs(365 * 86_400))
        }),
    };
    Some(Anchor {
        message: id,
        correlation,
        from: DeliverPolicy::ByStartTime {
            start_time: message.time - before - SLACK,
        },
    })
}

/// When a request's id was made, if it says so.
fn minted(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
}

/// A request or an event: neither has a subject of its own, so the newest messages are read through.
async fn by_reading(nats: &Nats, id: Uuid) -> Result<Option<Anchor>, TopologyError> {
    let text = id.to_string();
    for stream in [COMMANDS, EVENTS] {
        let newest = nats
            .jetstream()
            .get_stream(stream)
            .await
            .map_err(|error| TopologyError::new(format!("read stream {stream}"), &error))?;
        let newest = newest.cached_info().state.last_sequence;
        let mut first: Option<(Uuid, Uuid, u64)> = None;
        let from = DeliverPolicy::ByStartSequence {
            start_sequence: newest.saturating_sub(LATELY).max(1),
        };
        scan(nats, stream, ">", from, LATELY, |message| {
            let is_it = ["ce-id", "maru-correlation"]
                .iter()
                .any(|name| message.header(name) == Some(&text));
            if let Some(one) = read(&message).filter(|_| is_it && first.is_none()) {
                first = Some((one.id, one.correlation, message.seq));
            }
        })
        .await?;
        let Some((message, correlation, seq)) = first else {
            continue;
        };
        let stream = nats
            .jetstream()
            .get_stream_no_info(stream)
            .await
            .map_err(|error| TopologyError::new(format!("read stream {stream}"), &error))?;
        let stored = stream
            .direct_get(seq)
            .await
            .map_err(|error| TopologyError::new("read a message again", &error))?;
        return Ok(anchor(message, &stored).map(|anchor| Anchor { correlation, ..anchor }));
    }
    Ok(None)
}

/// The message, if it is one of ours.
fn read(message: &Scanned) -> Option<Message> {
    let id = |name| Uuid::parse_str(message.header(name)?).ok();
    let parts: Vec<&str> = message.subject.split('.').collect();
    let (what, room, kind) = match parts.as_slice() {
        ["cmd", room, kind, ..] => (What::Command, *room, *kind),
        ["evt", room, kind, ..] => (What::Event, *room, *kind),
        ["job" | "late" | "held", kind, ..] => (What::Job, "job", *kind),
        _ => return None,
    };
    Some(Message {
        what,
        id: id("ce-id")?,
        room: room.to_owned(),
        kind: kind.to_owned(),
        about: id("ce-subject")?,
        actor: message.header("maru-actor")?.to_owned(),
        version: message.header("maru-version").and_then(|version| version.parse().ok()),
        seq: Some(message.seq),
        stored: message.stored,
        correlation: id("maru-correlation")?,
        causation: id("maru-causation"),
    })
}

fn letter(message: &Scanned) -> Option<(Uuid, Letter)> {
    let header = |name| message.header(name).unwrap_or_default().to_owned();
    let id = Uuid::parse_str(message.subject.rsplit('.').next()?).ok()?;
    Some((
        id,
        Letter {
            lane: message.subject.split('.').nth(1).unwrap_or_default().to_owned(),
            reason: header("maru-dead-reason"),
            attempts: header("maru-dead-attempts"),
            stored: message.stored,
        },
    ))
}
