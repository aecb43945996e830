//! A durable consumer as the server tells of it at one moment.

use std::collections::BTreeMap;

use async_nats::jetstream::consumer::{AckPolicy, Info};
use futures_util::TryStreamExt;
use jiff::Timestamp;

use crate::nats::Nats;
use crate::topology::TopologyError;

/// What the server says of one durable consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The stream it reads.
    pub stream: String,
    /// Its name: the lane's, or `view-…`.
    pub name: String,
    /// What it hears; empty for everything.
    pub filters: Vec<String>,
    /// Whether each message is settled on its own: a lane, not the reader of a view.
    pub is_lane: bool,
    /// Messages that were not delivered yet.
    pub pending: u64,
    /// Messages that were delivered and are not settled.
    pub unsettled: u64,
    /// Of these, the ones that were delivered more than once.
    pub redelivered: u64,
    /// The most that may be unsettled.
    pub most_unsettled: i64,
    /// Requests for messages that wait at the server.
    pub pulls: u64,
    /// Deliveries so far, repeated ones included.
    pub deliveries: u64,
    /// The newest sequence of the stream that was delivered.
    pub reached: u64,
    /// Everything up to this sequence of the stream is settled.
    pub floor: u64,
    /// The newest sequence of the stream.
    pub newest: u64,
    /// When something was delivered last.
    pub last_delivery: Option<Timestamp>,
    /// Whether somebody has paused it.
    pub is_paused: bool,
    /// What was noted on it: who paused it, and when.
    pub notes: BTreeMap<String, String>,
}

/// The time of a server as ours.
pub(crate) fn timestamp(nanos: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanos).unwrap_or_default()
}

impl Seen {
    /// Messages that are not settled yet, delivered or not.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.pending + self.unsettled
    }

    fn read(info: Info, newest: u64) -> Self {
        let mut filters = info.config.filter_subjects;
        if !info.config.filter_subject.is_empty() {
            filters.push(info.config.filter_subject);
        }
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Self {
            stream: info.stream_name,
            name: info.name,
            filters,
            is_lane: info.config.ack_policy == AckPolicy::Explicit,
            pending: info.num_pending,
            unsettled: count(info.num_ack_pending),
            redelivered: count(info.num_redelivered),
            most_unsettled: info.config.max_ack_pending,
            pulls: count(info.num_waiting),
            deliveries: info.delivered.consumer_sequence,
            reached: info.delivered.stream_sequence,
            floor: info.ack_floor.stream_sequence,
            newest,
            last_delivery: info
                .delivered
                .last_active
                .map(|at| timestamp(at.unix_timestamp_nanos())),
            is_paused: info.paused,
            notes: info.config.metadata.into_iter().collect(),
        }
    }
}

/// Every durable consumer of these streams, by name. A stream that is not there has none.
///
/// # Errors
/// When the server cannot be asked.
pub async fn look(nats: &Nats, streams: &[&str]) -> Result<Vec<Seen>, TopologyError> {
    let mut all = Vec::new();
    for name in streams {
        let failed = |why: &dyn std::fmt::Display| TopologyError::new(format!("look at the consumers of {name}"), why);
        let stream = match nats.jetstream().get_stream(*name).await {
            Ok(stream) => stream,
            Err(error) if crate::topology::is_missing_stream(&error) => continue,
            Err(error) => return Err(failed(&error)),
        };
        let newest = stream.cached_info().state.last_sequence;
        let mut consumers = stream.consumers();
        while let Some(info) = consumers.try_next().await.map_err(|error| failed(&error))? {
            // Those who only listen for a while have no name that lasts.
            if info.config.durable_name.is_some() {
                all.push(Seen::read(info, newest));
            }
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}
