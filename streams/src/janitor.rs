//! Takes away from the streams what nobody needs any more, so that they do not fill up.
//!
//! Of every filter that one of our consumers hears, it purges what **all** consumers that hear any of it
//! have settled *and* what is older than the horizon. Anything that is unsettled (it runs, waits for a retry,
//! or its lane is paused) holds what lies behind it. If a consumer is not there or cannot be asked, nothing
//! of its filter is purged.
//!
//! The horizon is a promise twice over: so long the same `Idempotency-Key` is the same command, and so long
//! a database that has lost something can be healed from COMMANDS. Acknowledgements are not durable, so the
//! inbox keeps its rows for longer than the stream keeps the commands (see [`crate::retention`]).
//!
//! Events are kept for ever. Views are built from the first one on, and refuse a gap: what is gone from the beginning could
//! never be read again, not by a rebuild and not by the healing after a crash, which has views begin anew.
//!
//! The letters in DEAD are not its business: they stay until people have decided about them, and then
//! [`Letters::purge_closed`](crate::letters::Letters::purge_closed) takes them away.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, Info, pull};
use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};

use crate::intention::Clock;
use crate::nats::Nats;
use crate::topology::{COMMANDS, Consumer, JOBS, SCHEDULES, TopologyError};

/// For how long streams keep what is settled, if nobody says otherwise.
pub const HORIZON: Duration = Duration::from_secs(24 * 3600);

/// Keeps the streams small.
#[derive(Clone)]
pub struct Janitor {
    nats: Nats,
    clock: Clock,
    consumers: Vec<Consumer>,
    horizon: Duration,
}

/// How far a consumer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Floor {
    /// Up to here it has settled everything that it hears.
    settled: u64,
    /// Whether it has nothing before it and nothing in its hands. Then its floor may lie far behind: it
    /// moves only with messages that it hears.
    is_idle: bool,
}

/// The first sequence to keep, given the stream's last one (read before the floors), the floors of all who
/// hear it (none for one that could not be asked), and the first sequence that is too new to go.
fn how_far(last: u64, floors: &[Option<Floor>], first_new: u64) -> u64 {
    let settled = floors.iter().map(|floor| match floor {
        Some(floor) if floor.is_idle => floor.settled.max(last),
        Some(floor) => floor.settled,
        None => 0,
    });
    settled
        .min()
        .map_or(0, |settled| settled.saturating_add(1).min(first_new))
}

/// Whether any subject fits both.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

impl Janitor {
    /// A janitor for the streams that these consumers read.
    #[must_use]
    pub const fn new(nats: Nats, clock: Clock, consumers: Vec<Consumer>, horizon: Duration) -> Self {
        Self {
            nats,
            clock,
            consumers,
            horizon,
        }
    }

    /// Goes through all streams once, and returns how many messages were taken away.
    ///
    /// # Errors
    /// When the server cannot be asked; what was purged is gone for good reason.
    pub async fn sweep(&self) -> Result<u64, TopologyError> {
        let mut purged = 0;
        for stream in [COMMANDS, JOBS, SCHEDULES] {
            purged += self.stream(stream).await?;
        }
        Ok(purged)
    }

    async fn stream(&self, name: &'static str) -> Result<u64, TopologyError> {
        let failed = |why: &dyn std::fmt::Display| TopologyError::new(format!("keep {name} small"), why);
        let mut stream = self
            .nats
            .jetstream()
            .get_stream(name)
            .await
            .map_err(|error| failed(&error))?;
        // In this order: what comes in after this is behind everything that is asked for now.
        let last = stream.info().await.map_err(|error| failed(&error))?.state.last_sequence;
        let there: Vec<Info> = stream.consumers().try_collect().await.map_err(|error| failed(&error))?;
        let age = SignedDuration::try_from(self.horizon).unwrap_or(SignedDuration::MAX);
        let Ok(before) = self.clock.now().checked_sub(age) else {
            return Ok(0);
        };
        let first_new = first_since(&stream, before).await.map_err(|error| failed(&error))?;
        let mut purged = 0;
        for filter in self.filters(name) {
            let floors = self.floors(name, &filter, &there);
            let keep_from = how_far(last, &floors, first_new);
            if keep_from <= 1 {
                continue;
            }
            let purge = stream.purge().filter(filter.as_str()).sequence(keep_from);
            let answer = purge.await.map_err(|error| failed(&error))?;
            if answer.purged > 0 {
                tracing::info!(
                    stream = name,
                    filter,
                    purged = answer.purged,
                    "took away what nobody needs"
                );
                metrics::counter!("maru_janitor_messages_total", "stream" => name).increment(answer.purged);
            }
            purged += answer.purged;
        }
        Ok(purged)
    }

    /// What is purged on its own.
    fn filters(&self, stream: &str) -> BTreeSet<String> {
        let ours = self.consumers.iter().filter(|consumer| consumer.stream == stream);
        ours.flat_map(|consumer| consumer.filters.iter().cloned()).collect()
    }

    /// Of everybody who hears some of it: our own consumers, and whoever else is on the server.
    fn floors(&self, stream: &str, filter: &str, there: &[Info]) -> Vec<Option<Floor>> {
        let hears = |filters: &[String]| filters.is_empty() || filters.iter().any(|own| overlap(own, filter));
        let mut floors = Vec::new();
        for ours in self
            .consumers
            .iter()
            .filter(|ours| ours.stream == stream && hears(&ours.filters))
        {
            floors.push(there.iter().find(|info| info.name == ours.name).map(floor));
        }
        let others = there.iter().filter(|info| {
            info.config.durable_name.is_some() && !self.consumers.iter().any(|ours| ours.name == info.name)
        });
        for info in others {
            let mut filters = info.config.filter_subjects.clone();
            filters.extend(Some(info.config.filter_subject.clone()).filter(|filter| !filter.is_empty()));
            if hears(&filters) {
                floors.push(Some(floor(info)));
            }
        }
        floors
    }
}

fn floor(info: &Info) -> Floor {
    Floor {
        settled: info.ack_floor.stream_sequence,
        is_idle: info.num_pending == 0 && info.num_ack_pending == 0,
    }
}

/// The sequence of the first message that is not older than this, or the one after the last. The server
/// tells it to a consumer that begins there.
async fn first_since(stream: &Stream, time: Timestamp) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let since = serde_json::json!({ "deliver_policy": "by_start_time", "opt_start_time": time.to_string() });
    let deliver_policy: DeliverPolicy = serde_json::from_value(since)?;
    let asking = pull::Config {
        deliver_policy,
        ack_policy: AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: Duration::from_secs(1),
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(asking).await?;
    let info = consumer.cached_info();
    let first = info.delivered.stream_sequence + 1;
    if let Err(error) = stream.delete_consumer(&info.name).await {
        tracing::debug!(%error, "it goes away by itself");
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn floor_of(settled: &[bool], heard: &[bool]) -> Floor {
        let pending = |seq: &usize| heard[*seq - 1] && !settled[*seq - 1];
        let last = settled.len();
        let first_pending = (1..=last).find(pending);
        // As the server has it: moved only by messages that are heard.
        let heard_before = (1..=last)
            .take_while(|seq| Some(*seq) != first_pending)
            .filter(|seq| heard[*seq - 1])
            .last();
        Floor {
            settled: heard_before.unwrap_or(0) as u64,
            is_idle: first_pending.is_none(),
        }
    }

    proptest! {
        #[test]
        fn nothing_unsettled_and_nothing_new_is_ever_purged(
            messages in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()), 0..30),
            late in 0_usize..5, first_new in 1_u64..40, is_missing: bool,
        ) {
            // Two consumers, each with what it hears and what of that it has settled.
            let column = |pick: fn(&(bool, bool, bool, bool)) -> bool| messages.iter().map(pick).collect::<Vec<_>>();
            let (hears_a, settled_a) = (column(|m| m.0), column(|m| m.1));
            let (hears_b, settled_b) = (column(|m| m.2), column(|m| m.3));
            let mut floors = vec![Some(floor_of(&settled_a, &hears_a)), Some(floor_of(&settled_b, &hears_b))];
            if is_missing {
                floors.push(None);
            }
            // Some messages came in after the last sequence was read.
            let last = messages.len().saturating_sub(late) as u64;
            let keep_from = how_far(last, &floors, first_new);
            prop_assert!(keep_from <= first_new);
            if is_missing {
                prop_assert!(keep_from <= 1);
            }
            for seq in 1..=messages.len() {
                let is_unsettled = (hears_a[seq - 1] && !settled_a[seq - 1]) || (hears_b[seq - 1] && !settled_b[seq - 1]);
                prop_assert!(!is_unsettled || keep_from <= seq as u64, "{seq} is unsettled, kept from {keep_from}");
            }
        }

        #[test]
        fn what_overlaps_is_seen_from_both_sides(one in "[ab*](\\.[ab*]){0,3}(\\.>)?", other in "[ab*](\\.[ab*]){0,3}(\\.>)?") {
            prop_assert_eq!(overlap(&one, &other), overlap(&other, &one));
            prop_assert!(overlap(&one, &one));
        }
    }

    #[test]
    fn a_filter_of_everything_holds_a_part() {
        assert!(overlap("cmd.>", "cmd.books.>") && overlap("cmd.*.put.v1.*", "cmd.books.>"));
        assert!(!overlap("cmd.books.>", "cmd.reviews.>") && !overlap("cmd", "cmd.>"));
    }

    #[test]
    fn whoever_has_nothing_to_do_holds_nothing() {
        let idle = Floor {
            settled: 3,
            is_idle: true,
        };
        assert_eq!(how_far(90, &[Some(idle)], 200), 91);
        assert_eq!(how_far(90, &[Some(idle), None], 200), 1);
        assert_eq!(how_far(90, &[], 200), 0, "nobody hears it: nobody knows");
    }
}
