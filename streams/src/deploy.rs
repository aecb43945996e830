//! Whether a build can read what is really there, before it is let near it.
//!
//! Asked is the new build, of the servers of the old one. A message is known by its subject, without its
//! last part: stream, room, kind and version. What must be read is what is not settled yet (COMMANDS, JOBS),
//! what every rebuild of a view reads (EVENTS), what will come at its time (SCHEDULES), and what somebody may
//! want to replay (DEAD). No body is looked at.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::TryStreamExt;
use serde::Serialize;

use crate::lanes::{Seen, look};
use crate::letters::{LAY, STATE, is_open};
use crate::nats::Nats;
use crate::scan::scan;
use crate::subject::covers;
use crate::topology::{self, COMMANDS, Consumer, DEAD, EVENTS, JOBS, Size, TopologyError};

/// Where messages wait for their time, if there is such a stream.
const SCHEDULES: &str = "SCHEDULES";
/// The most schedules and dead letters that are looked at one by one.
const MOST: u64 = 200_000;

/// What a build can and cannot read of what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// How many kinds of messages this build can read.
    pub kinds: usize,
    /// Messages it cannot read.
    pub unreadable: Vec<Unreadable>,
    /// Consumers with work left that this build does not know: nobody would do that work.
    pub orphans: Vec<Orphan>,
    /// What could not be looked at; then nobody knows.
    pub unchecked: Vec<String>,
    /// How streams and consumers differ from what this build needs; `maru streams apply` mends it.
    pub topology: Vec<String>,
}

/// Messages of one kind and version that a build cannot read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unreadable {
    /// The stream they lie in.
    pub stream: String,
    /// Their subject without its last part: `cmd.books.create_book.v2`.
    pub kind: String,
    /// How many; where some of a lane are settled and older ones are not, these may be counted too.
    pub messages: u64,
}

/// A consumer that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// Its stream.
    pub stream: String,
    /// Its name.
    pub consumer: String,
    /// How many messages it has left.
    pub left: u64,
}

impl Checked {
    /// Whether this build may be let near it.
    #[must_use]
    pub const fn is_well(&self) -> bool {
        self.unreadable.is_empty() && self.orphans.is_empty() && self.unchecked.is_empty()
    }
}

/// Checks a build that reads `subjects` (without their last parts) through `consumers`.
///
/// # Errors
/// When the server cannot be asked at all.
pub async fn check(
    nats: &Nats,
    subjects: &BTreeSet<String>,
    consumers: &[Consumer],
    size: Size,
) -> Result<Checked, TopologyError> {
    let seen = look(nats, &[COMMANDS, JOBS, EVENTS, DEAD, SCHEDULES]).await?;
    let mut unreadable: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut unchecked = Vec::new();
    for stream in [COMMANDS, JOBS, EVENTS] {
        match unknown_in(nats, stream, subjects, &seen).await {
            Ok(found) => unreadable.extend(found.into_iter().map(|(kind, n)| ((stream.to_owned(), kind), n))),
            Err(error) => unchecked.push(error.to_string()),
        }
    }
    for (stream, filter, newest) in [
        (SCHEDULES, ">", DeliverPolicy::All),
        (DEAD, "dead.>", DeliverPolicy::LastPerSubject),
    ] {
        let counted = scan(nats, stream, filter, newest, MOST, |message| {
            if message.header(STATE).is_some_and(|state| !is_open(state)) {
                return;
            }
            // A letter says where its message lay, anything else by its type what it is.
            let kind = message
                .header(LAY)
                .map(kind_of_subject)
                .or_else(|| message.header("ce-type").and_then(|name| unknown_type(name, subjects)));
            if let Some(kind) = kind.filter(|kind| !is_known(kind, subjects)) {
                *unreadable.entry((stream.to_owned(), kind)).or_default() += 1;
            }
        });
        match counted.await {
            Ok(true) => {}
            Ok(false) => unchecked.push(format!("{stream} holds more than could be looked at in time")),
            Err(error) => unchecked.push(error.to_string()),
        }
    }
    let is_ours = |one: &&Seen| {
        !consumers
            .iter()
            .any(|ours| ours.name == one.name && ours.stream == one.stream)
    };
    let orphans = seen.iter().filter(is_ours).filter(|one| one.left() > 0);
    let changes = topology::plan(nats, consumers, size).await?;
    Ok(Checked {
        kinds: subjects.len(),
        orphans: orphans
            .map(|one| Orphan {
                stream: one.stream.clone(),
                consumer: one.name.clone(),
                left: one.left(),
            })
            .collect(),
        unreadable: unreadable
            .into_iter()
            .map(|((stream, kind), messages)| Unreadable { stream, kind, messages })
            .collect(),
        unchecked,
        topology: changes.iter().map(ToString::to_string).collect(),
    })
}

fn kind_of_subject(subject: &str) -> String {
    subject.rsplit_once('.').map_or(subject, |(kind, _)| kind).to_owned()
}

/// A `ce-type` that none of the known subjects has, as it would stand in a subject.
fn unknown_type(name: &str, subjects: &BTreeSet<String>) -> Option<String> {
    let kind = name.strip_prefix("maru.")?;
    let is_known = ["cmd.", "evt.", ""]
        .iter()
        .any(|family| subjects.contains(&format!("{family}{kind}")));
    (!is_known).then(|| kind.to_owned())
}

/// Whether this build reads what lies under a subject. A job is the same wherever it waits, and a canary means
/// nothing to anybody.
fn is_known(kind: &str, subjects: &BTreeSet<String>) -> bool {
    match kind.split('.').collect::<Vec<_>>()[..] {
        ["late" | "job", kind, version, ..] | ["held", kind, _, version, ..] => {
            subjects.contains(&format!("job.{kind}.{version}"))
        }
        ["cmd", _, "canary", _] | ["evt", "canary", ..] => true,
        _ => subjects.contains(kind),
    }
}

/// What a build cannot read in one stream, by kind: of EVENTS everything counts, elsewhere what is not settled.
async fn unknown_in(
    nats: &Nats,
    name: &str,
    subjects: &BTreeSet<String>,
    seen: &[Seen],
) -> Result<BTreeMap<String, u64>, TopologyError> {
    let failed = |why: &dyn std::fmt::Display| TopologyError::new(format!("look through {name}"), why);
    let stream = match nats.jetstream().get_stream(name).await {
        Ok(stream) => stream,
        Err(error) if topology::is_missing_stream(&error) => return Ok(BTreeMap::new()),
        Err(error) => return Err(failed(&error)),
    };
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    let mut all = stream.info_with_subjects(">").await.map_err(|error| failed(&error))?;
    while let Some((subject, messages)) = all.try_next().await.map_err(|error| failed(&error))? {
        let kind = kind_of_subject(&subject);
        if !is_known(&kind, subjects) {
            *unknown.entry(kind).or_default() += messages as u64;
        }
    }
    if name == EVENTS {
        return Ok(unknown);
    }
    let mut left = BTreeMap::new();
    for kind in unknown.into_keys() {
        let filter = format!("{kind}.*");
        let hears = |one: &&Seen| one.stream == name && one.filters.iter().any(|heard| covers(heard, &filter));
        let floor = seen.iter().filter(hears).map(|one| one.floor).min().unwrap_or_default();
        let messages = count_after(&stream, &filter, floor)
            .await
            .map_err(|error| failed(&error))?;
        if messages > 0 {
            left.insert(kind, messages);
        }
    }
    Ok(left)
}

/// How many messages lie under a filter after a sequence, as the server counts them for a reader that begins
/// there.
async fn count_after(
    stream: &async_nats::jetstream::stream::Stream,
    filter: &str,
    floor: u64,
) -> Result<u64, async_nats::Error> {
    let reader = stream
        .create_consumer(pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: floor + 1,
            },
            filter_subject: filter.to_owned(),
            ack_policy: AckPolicy::None,
            memory_storage: true,
            ..pull::Config::default()
        })
        .await?;
    let info = reader.cached_info();
    stream.delete_consumer(&info.name).await?;
    Ok(info.num_pending)
}
