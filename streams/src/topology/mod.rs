//! Which streams and consumers there are, as data with one owner.
//!
//! [`plan`] prints how the server differs from it, [`apply`] adds and updates. Neither ever deletes:
//! what a newer build no longer knows may still hold somebody's work. Workers only look consumers up.
//!
//! All streams keep by limits, none is a work queue: a work queue forgets an acknowledged id at the
//! next restart, and its acks cost an fsync each. What is full refuses (`discard: new`), so that the
//! door says 503 instead of dropping somebody's order.

mod consumers;
mod plan;

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

pub use consumers::{consumer_info, dismiss, make_anew};
pub(crate) use consumers::{provide, summon};
pub use plan::{Change, apply, plan};

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
/// The stream that it lies in.
pub(crate) const OBJECTS: &str = "OBJ_images";

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

pub(crate) fn is_missing_stream(error: &jetstream::context::GetStreamError) -> bool {
    matches!(error.kind(), jetstream::context::GetStreamErrorKind::JetStream(inner) if inner.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND)
}
