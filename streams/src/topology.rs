//! Which streams and consumers there are, as data with one owner.
//!
//! [`plan`] prints how the server differs from it, [`apply`] adds and updates. Neither ever deletes:
//! what a newer build no longer knows may still hold somebody's work. Workers only look consumers up.
//!
//! All streams keep by limits, none is a work queue: a work queue forgets an acknowledged id at the
//! next restart, and its acks cost an fsync each. What is full refuses (`discard: new`), so that the
//! door says 503 instead of dropping somebody's order.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, object_store};

use crate::nats::Nats;

/// Intentions.
pub const COMMANDS: &str = "COMMANDS";
/// Effects to perform.
pub const JOBS: &str = "JOBS";
/// Facts.
pub const EVENTS: &str = "EVENTS";
/// What we gave up on, with why.
pub const DEAD: &str = "DEAD";
/// "At that time, do this".
pub const SCHEDULES: &str = "SCHEDULES";
/// The object store of generated images.
pub const IMAGES: &str = "images";

/// How long a message may stay unacknowledged before the server gives it to somebody else; a running
/// handler extends it every third of this.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// How long the server itself remembers message ids. Longer repeats are caught by expected sequences
/// (commands, jobs) and by versions (events).
const DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);

/// How much a stream may hold on disk, and in how many copies.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// For each stream, in bytes.
    pub max_bytes: i64,
    /// Copies in a cluster; 1 on a single node.
    pub replicas: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            // The server sets this much aside on disk for each when it is made.
            max_bytes: 2 << 30,
            replicas: 1,
        }
    }
}

/// A durable consumer that a lane or a view reads through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Which stream.
    pub stream: &'static str,
    /// The lane's or view's own name.
    pub name: String,
    /// What it hears; empty for everything in the stream.
    pub filters: Vec<String>,
    /// How it reads.
    pub reads: Reads,
}

/// How a consumer keeps its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Each message is acknowledged on its own, when its work is settled.
    Settling {
        /// How many may be unsettled at once, in all processes together.
        max_ack_pending: i64,
    },
    /// Nothing is acknowledged: the reader keeps its own mark and sets the consumer back to it. One
    /// process at a time is served.
    ByMark,
}

/// The group name under which readers by mark take turns.
pub const READER_GROUP: &str = "reader";
/// How long the server serves one of them that asks for nothing, before it serves another.
pub(crate) const READER_PATIENCE: Duration = Duration::from_secs(10);

/// The streams of the house.
fn streams(size: Size) -> Vec<Config> {
    let stream = |name: &str, subjects: &[&str]| Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(ToString::to_string).collect(),
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_bytes: size.max_bytes,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        num_replicas: size.replicas,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        allow_atomic_publish: true,
        deny_delete: true,
        ..Config::default()
    };
    vec![
        stream(COMMANDS, &["cmd.>"]),
        stream(JOBS, &["job.>", "late.>", "held.>"]),
        stream(EVENTS, &["evt.>"]),
        stream(DEAD, &["dead.>", "redo.>", "replay.>"]),
        // What waits for its time may not be refused for want of room, and the server takes schedules only
        // where the oldest would have to go. So this one has no limits, and the janitor keeps it small.
        Config {
            subjects: vec!["sched.>".to_owned(), "due.>".to_owned()],
            discard: DiscardPolicy::Old,
            max_bytes: -1,
            allow_message_schedules: true,
            allow_rollup: true,
            ..stream(SCHEDULES, &[])
        },
    ]
}

fn config(consumer: &Consumer) -> pull::Config {
    let base = pull::Config {
        durable_name: Some(consumer.name.clone()),
        filter_subjects: consumer.filters.clone(),
        deliver_policy: DeliverPolicy::All,
        // We dead-letter ourselves: a message over the server's limit would be stranded.
        max_deliver: -1,
        max_waiting: 512,
        ..pull::Config::default()
    };
    match consumer.reads {
        Reads::Settling { max_ack_pending } => pull::Config {
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending,
            ..base
        },
        Reads::ByMark => pull::Config {
            ack_policy: AckPolicy::None,
            max_deliver: 0,
            priority_policy: jetstream::consumer::PriorityPolicy::PinnedClient,
            priority_groups: vec![READER_GROUP.to_owned()],
            priority_timeout: READER_PATIENCE,
            ..base
        },
    }
}

/// One difference between the server and the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A stream that is not there yet.
    AddStream(String),
    /// A stream whose settings differ, with the differences.
    UpdateStream(String, Vec<String>),
    /// The object store is not there yet.
    AddObjects(String),
    /// A consumer that is not there yet.
    AddConsumer(&'static str, String),
    /// A consumer whose settings differ, with the differences.
    UpdateConsumer(&'static str, String, Vec<String>),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AddStream(name) => write!(f, "+ stream {name}"),
            Self::UpdateStream(name, what) => write!(f, "~ stream {name}: {}", what.join(", ")),
            Self::AddObjects(name) => write!(f, "+ object store {name}"),
            Self::AddConsumer(stream, name) => write!(f, "+ consumer {stream}/{name}"),
            Self::UpdateConsumer(stream, name, what) => {
                write!(f, "~ consumer {stream}/{name}: {}", what.join(", "))
            }
        }
    }
}

/// Why the topology could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {why}")]
pub struct TopologyError {
    doing: String,
    why: String,
    is_missing: bool,
}

impl TopologyError {
    pub(crate) fn new(doing: impl Into<String>, why: &dyn std::fmt::Display) -> Self {
        Self {
            doing: doing.into(),
            why: why.to_string(),
            is_missing: false,
        }
    }

    /// Whether what was looked for is known not to be there.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        self.is_missing
    }
}

fn failed(doing: impl Into<String>) -> impl FnOnce(&dyn std::fmt::Display) -> TopologyError {
    move |why| TopologyError::new(doing, why)
}

/// How the server differs from the house. Changes nothing.
///
/// # Errors
/// When the server cannot be asked.
pub async fn plan(nats: &Nats, consumers: &[Consumer], size: Size) -> Result<Vec<Change>, TopologyError> {
    let js = nats.jetstream();
    let mut changes = Vec::new();
    for wanted in streams(size) {
        match js.get_stream(&wanted.name).await {
            Ok(stream) => {
                let what = stream_differences(&stream.cached_info().config, &wanted);
                if !what.is_empty() {
                    changes.push(Change::UpdateStream(wanted.name, what));
                }
            }
            Err(error) if is_missing_stream(&error) => changes.push(Change::AddStream(wanted.name)),
            Err(error) => return Err(failed(format!("read stream {}", wanted.name))(&error)),
        }
    }
    match js.get_stream(format!("OBJ_{IMAGES}")).await {
        Ok(_) => {}
        Err(error) if is_missing_stream(&error) => changes.push(Change::AddObjects(IMAGES.to_owned())),
        Err(error) => return Err(failed("read the object store")(&error)),
    }
    for wanted in consumers {
        if changes.contains(&Change::AddStream(wanted.stream.to_owned())) {
            changes.push(Change::AddConsumer(wanted.stream, wanted.name.clone()));
            continue;
        }
        let stream = js
            .get_stream_no_info(wanted.stream)
            .await
            .map_err(|error| failed(format!("read stream {}", wanted.stream))(&error))?;
        match stream.get_consumer::<pull::Config>(&wanted.name).await {
            Ok(found) => {
                let what = consumer_differences(&found.cached_info().config, &config(wanted));
                if !what.is_empty() {
                    changes.push(Change::UpdateConsumer(wanted.stream, wanted.name.clone(), what));
                }
            }
            Err(error) if error.to_string().contains("not found") => {
                changes.push(Change::AddConsumer(wanted.stream, wanted.name.clone()));
            }
            Err(error) => return Err(failed(format!("read consumer {}", wanted.name))(&error)),
        }
    }
    Ok(changes)
}

/// Makes the server fit the house, and returns what was changed. Running it again changes nothing.
///
/// # Errors
/// When the server cannot be asked, or refuses a change.
pub async fn apply(nats: &Nats, consumers: &[Consumer], size: Size) -> Result<Vec<Change>, TopologyError> {
    let changes = plan(nats, consumers, size).await?;
    let js = nats.jetstream();
    let streams = streams(size);
    for change in &changes {
        let doing = change.to_string();
        match change {
            Change::AddStream(name) | Change::UpdateStream(name, _) => {
                for wanted in streams.iter().filter(|wanted| wanted.name == *name) {
                    js.create_or_update_stream(wanted.clone())
                        .await
                        .map_err(|error| failed(&doing)(&error))?;
                }
            }
            Change::AddObjects(name) => {
                js.create_object_store(object_store::Config {
                    bucket: name.clone(),
                    description: Some("generated images, by image id".to_owned()),
                    num_replicas: size.replicas,
                    max_bytes: size.max_bytes,
                    ..object_store::Config::default()
                })
                .await
                .map_err(|error| failed(&doing)(&error))?;
            }
            Change::AddConsumer(stream, name) | Change::UpdateConsumer(stream, name, _) => {
                for wanted in consumers
                    .iter()
                    .filter(|wanted| wanted.stream == *stream && wanted.name == *name)
                {
                    let mut config = config(wanted);
                    if matches!(change, Change::UpdateConsumer(..)) {
                        let is = consumer_info(nats, stream, name).await?.config;
                        // What operators noted on it the server would drop. (A pause it keeps.)
                        config.metadata = is.metadata;
                        // Where it once began cannot be changed; one that was made anew began later.
                        config.deliver_policy = is.deliver_policy;
                    }
                    js.create_consumer_on_stream(config, *stream)
                        .await
                        .map_err(|error| failed(&doing)(&error))?;
                }
            }
        }
        tracing::info!(change = %change, "topology");
    }
    Ok(changes)
}

/// How long a consumer that comes and goes outlives its last reader.
const LINGER: Duration = Duration::from_secs(10 * 60);

/// Makes a consumer that is there only while somebody reads through it. It is not part of the plan: as
/// one of those, it would be said to have everything pending whenever nobody needs it.
pub(crate) async fn summon(nats: &Nats, consumer: &Consumer) -> Result<(), TopologyError> {
    let config = pull::Config {
        inactive_threshold: LINGER,
        ..config(consumer)
    };
    let made = nats
        .jetstream()
        .create_consumer_on_stream(config, consumer.stream)
        .await;
    made.map_err(|error| failed(format!("make consumer {}", consumer.name))(&error))?;
    Ok(())
}

/// Takes a consumer away.
///
/// # Errors
/// When the server cannot be asked.
pub async fn dismiss(nats: &Nats, consumer: &Consumer) -> Result<(), TopologyError> {
    let deleted = nats
        .jetstream()
        .delete_consumer_from_stream(&consumer.name, consumer.stream)
        .await;
    match deleted {
        Ok(_) => Ok(()),
        Err(error) if error.to_string().contains("not found") => Ok(()),
        Err(error) => Err(failed(format!("delete consumer {}", consumer.name))(&error)),
    }
}

/// What the server knows of a consumer.
///
/// # Errors
/// When the server cannot be asked, or there is no such consumer.
pub async fn consumer_info(
    nats: &Nats,
    stream: &str,
    consumer: &str,
) -> Result<jetstream::consumer::Info, TopologyError> {
    let doing = || format!("look at consumer {stream}/{consumer}");
    // The client would wait for a connection as long as for an answer.
    if !nats.is_connected() {
        return Err(TopologyError::new(doing(), &"nats-server is away"));
    }
    let on = nats
        .jetstream()
        .get_stream_no_info(stream)
        .await
        .map_err(|error| failed(doing())(&error))?;
    on.consumer_info(consumer).await.map_err(|error| TopologyError {
        is_missing: error.kind() == jetstream::context::ConsumerInfoErrorKind::NotFound,
        ..failed(doing())(&error)
    })
}

/// Makes a settling consumer that is not there any more, to begin at `from`.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn make_anew(nats: &Nats, consumer: &Consumer, from: u64) -> Result<(), TopologyError> {
    let doing = format!("make consumer {}/{} anew", consumer.stream, consumer.name);
    let js = nats.jetstream();
    let stream = js
        .get_stream(consumer.stream)
        .await
        .map_err(|error| failed(&doing)(&error))?;
    // A stream that was lost too begins again; nothing in it can be settled.
    let is_there = from <= stream.cached_info().state.last_sequence + 1;
    let wanted = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: if is_there { from } else { 1 },
        },
        ..config(consumer)
    };
    js.create_consumer_on_stream(wanted, consumer.stream)
        .await
        .map(|_| ())
        .map_err(|error| failed(doing)(&error))
}

pub(crate) fn is_missing_stream(error: &jetstream::context::GetStreamError) -> bool {
    matches!(error.kind(), jetstream::context::GetStreamErrorKind::JetStream(inner) if inner.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND)
}

fn difference<T: PartialEq + std::fmt::Debug>(name: &str, is: &T, wanted: &T) -> Option<String> {
    (is != wanted).then(|| format!("{name} is {is:?}, wanted {wanted:?}"))
}

fn stream_differences(is: &Config, wanted: &Config) -> Vec<String> {
    [
        difference("subjects", &is.subjects, &wanted.subjects),
        difference("discard", &is.discard, &wanted.discard),
        difference("max_bytes", &is.max_bytes, &wanted.max_bytes),
        difference("replicas", &is.num_replicas, &wanted.num_replicas),
        difference("duplicate_window", &is.duplicate_window, &wanted.duplicate_window),
        difference("allow_atomic", &is.allow_atomic_publish, &wanted.allow_atomic_publish),
        difference(
            "schedules",
            &is.allow_message_schedules,
            &wanted.allow_message_schedules,
        ),
        difference("allow_direct", &is.allow_direct, &wanted.allow_direct),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn consumer_differences(is: &jetstream::consumer::Config, wanted: &pull::Config) -> Vec<String> {
    // The server keeps a single filter in a field of its own.
    let mut filters = is.filter_subjects.clone();
    if !is.filter_subject.is_empty() {
        filters.push(is.filter_subject.clone());
    }
    let mut differences = vec![difference("filters", &filters, &wanted.filter_subjects)];
    if wanted.ack_policy == AckPolicy::Explicit {
        differences.extend([
            difference("ack_wait", &is.ack_wait, &wanted.ack_wait),
            difference("max_ack_pending", &is.max_ack_pending, &wanted.max_ack_pending),
        ]);
    }
    differences.into_iter().flatten().collect()
}
