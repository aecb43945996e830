//! How it stands: lanes, views and streams, in one answer.

use std::time::Duration;

use async_nats::jetstream::stream::DirectGetErrorKind;
use jiff::Timestamp;
use serde::Serialize;

use super::letters::open_letters;
use super::pause::Pause;
use super::seen::{Seen, timestamp};
use super::watch::Paces;
use crate::nats::Nats;
use crate::store::Store;
use crate::topology::{COMMANDS, DEAD, EVENTS, JOBS, OBJECTS, SCHEDULES, TopologyError};
use crate::views::mark;

/// So long may a lane with free slots leave waiting messages alone before it counts as deaf.
const DEAF: Duration = Duration::from_secs(30);
/// So long may nobody ask for what waits: an open breaker has its lane ask for nothing for half a minute.
const UNASKED: Duration = Duration::from_secs(60);
/// So long nothing runs: a lane whose slots were all taken before that has lost who took them.
const LOST: Duration = Duration::from_secs(600);

/// How it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// When.
    pub at: Timestamp,
    /// Every lane, by name.
    pub lanes: Vec<LaneStatus>,
    /// Every view, by name.
    pub views: Vec<ViewStatus>,
    /// Every stream.
    pub streams: Vec<StreamStatus>,
}

/// What a lane is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing is left to do.
    Idle,
    /// Something is being done, or waits for its retry.
    Working,
    /// Somebody has paused it.
    Paused,
    /// Messages wait, and nobody asks for them: no process works on this lane.
    Unattended,
    /// Messages wait, somebody asks for them, and nothing is delivered.
    Deaf,
}

/// One lane.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneStatus {
    /// Its name.
    pub lane: String,
    /// The stream it reads.
    pub stream: String,
    /// What it is doing.
    pub health: Health,
    /// Messages that were not delivered yet.
    pub pending: u64,
    /// Messages that were delivered once and are not settled: they run, or wait for their first retry.
    pub running: u64,
    /// Messages that were delivered again and are not settled.
    pub retrying: u64,
    /// Its open dead letters.
    pub dead: u64,
    /// How long the oldest message that is not settled has been there, in seconds.
    pub oldest_seconds: Option<f64>,
    /// Settled messages a second over the last minute; absent until somebody has watched for a while.
    pub rate_per_second: Option<f64>,
    /// How long until what waits now is settled, in seconds; absent while nobody can tell.
    pub drain_seconds: Option<f64>,
    /// Who paused it, and when.
    pub paused: Option<Pause>,
}

/// One view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewStatus {
    /// Its name.
    pub view: String,
    /// How far it has read EVENTS.
    pub mark: u64,
    /// How many events lie behind that.
    pub lag: u64,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamStatus {
    /// Its name.
    pub stream: String,
    /// How many messages it holds.
    pub messages: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many it may hold; absent for no limit.
    pub max_bytes: Option<u64>,
    /// How full it is, from 0 to 1.
    pub fill: Option<f64>,
    /// The newest sequence; for the metrics.
    #[serde(skip)]
    pub last_sequence: u64,
}

/// How it stands now. `views` are the ones to tell of.
///
/// # Errors
/// When a server cannot be asked.
pub async fn status(
    nats: &Nats,
    store: &Store,
    paces: &Paces,
    now: Timestamp,
    views: &[&'static str],
) -> Result<Status, TopologyError> {
    let seen = paces.look(nats, &[COMMANDS, JOBS, EVENTS, SCHEDULES, DEAD]).await?;
    let dead = open_letters(nats).await?;
    let mut lanes = Vec::new();
    for one in seen.iter().filter(|one| one.is_lane) {
        let pace = paces.of(&one.name).unwrap_or_default();
        lanes.push(LaneStatus {
            lane: one.name.clone(),
            stream: one.stream.clone(),
            health: health(one, now),
            pending: one.pending,
            running: one.unsettled.saturating_sub(one.redelivered),
            retrying: one.redelivered,
            dead: dead.get(&one.name).copied().unwrap_or_default(),
            oldest_seconds: oldest(nats, one).await?.map(|at| seconds_between(at, now)),
            rate_per_second: pace.rate(),
            drain_seconds: pace.drain().map(|drain| drain.as_secs_f64()),
            paused: Pause::of(one),
        });
    }
    let streams = fill(nats).await?;
    let newest = seen.iter().find(|one| one.stream == EVENTS).map_or(0, |one| one.newest);
    let mut marks = Vec::new();
    for view in views {
        let failed = |why: &dyn std::fmt::Display| TopologyError::new(format!("read the mark of {view}"), why);
        let mark = mark(store, view)
            .await
            .map_err(|error| failed(&error))?
            .unwrap_or_default();
        marks.push(ViewStatus {
            view: (*view).to_owned(),
            mark,
            lag: newest.saturating_sub(mark),
        });
    }
    Ok(Status {
        at: now,
        lanes,
        views: marks,
        streams,
    })
}

pub(super) fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.duration_since(earlier).as_secs_f64().max(0.0)
}

fn health(seen: &Seen, now: Timestamp) -> Health {
    // One that never got anything has no time of its own. While it was paused nothing could come.
    let since = seen.last_delivery.max(Pause::ended(seen));
    let silent = |so_long: Duration| since.is_none_or(|at| seconds_between(at, now) > so_long.as_secs_f64());
    let has_room = i64::try_from(seen.unsettled).unwrap_or(i64::MAX) < seen.most_unsettled;
    match seen {
        _ if seen.is_paused => Health::Paused,
        _ if seen.left() == 0 => Health::Idle,
        _ if seen.pending > 0 && seen.pulls > 0 && silent(DEAF) && has_room => Health::Deaf,
        _ if seen.pulls == 0 && silent(if seen.unsettled == 0 { UNASKED } else { LOST }) => Health::Unattended,
        _ => Health::Working,
    }
}

/// When the oldest message that is not settled was stored.
pub(super) async fn oldest(nats: &Nats, seen: &Seen) -> Result<Option<Timestamp>, TopologyError> {
    if seen.left() == 0 {
        return Ok(None);
    }
    let failed = |why: &dyn std::fmt::Display| TopologyError::new(format!("look for the oldest of {}", seen.name), why);
    let stream = nats
        .jetstream()
        .get_stream_no_info(&seen.stream)
        .await
        .map_err(|error| failed(&error))?;
    let mut oldest = None;
    for filter in &seen.filters {
        match stream
            .direct_get_next_for_subject(filter.as_str(), Some(seen.floor + 1))
            .await
        {
            Ok(message) => {
                let at = timestamp(message.time.unix_timestamp_nanos());
                oldest = Some(oldest.map_or(at, |before: Timestamp| before.min(at)));
            }
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(oldest)
}

/// How full each stream is.
pub(crate) async fn fill(nats: &Nats) -> Result<Vec<StreamStatus>, TopologyError> {
    let mut all = Vec::new();
    for name in [COMMANDS, JOBS, EVENTS, SCHEDULES, DEAD, OBJECTS] {
        let stream = match nats.jetstream().get_stream(name).await {
            Ok(stream) => stream,
            Err(error) if crate::topology::is_missing_stream(&error) => continue,
            Err(error) => return Err(TopologyError::new(format!("read stream {name}"), &error)),
        };
        let info = stream.cached_info();
        let max_bytes = u64::try_from(info.config.max_bytes).ok().filter(|most| *most > 0);
        all.push(StreamStatus {
            stream: name.to_owned(),
            messages: info.state.messages,
            bytes: info.state.bytes,
            max_bytes,
            fill: max_bytes.map(|most| info.state.bytes as f64 / most as f64),
            last_sequence: info.state.last_sequence,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pending: u64, unsettled: u64, pulls: u64, silent_s: i64) -> Health {
        health_of(&lane(pending, unsettled, pulls, silent_s))
    }

    fn health_of(lane: &Seen) -> Health {
        health(lane, Timestamp::from_second(1000).unwrap())
    }

    fn lane(pending: u64, unsettled: u64, pulls: u64, silent_s: i64) -> Seen {
        Seen {
            stream: JOBS.into(),
            name: "job-charge".into(),
            filters: Vec::new(),
            is_lane: true,
            pending,
            unsettled,
            redelivered: 0,
            most_unsettled: 10,
            pulls,
            deliveries: 0,
            reached: 0,
            floor: 0,
            newest: 0,
            last_delivery: Timestamp::from_second(1000 - silent_s).ok(),
            is_paused: false,
            notes: Default::default(),
        }
    }

    #[test]
    fn a_lane_that_was_let_go_on_just_now_is_not_deaf() {
        let mut lane = lane(5, 0, 1, 600);
        assert_eq!(health_of(&lane), Health::Deaf);
        let resumed = |at: i64| Pause::notes(false, "mina", Timestamp::from_second(at).unwrap());
        lane.notes = resumed(995).into();
        assert_eq!(health_of(&lane), Health::Working);
        lane.notes = resumed(900).into();
        assert_eq!(health_of(&lane), Health::Deaf);
    }

    #[test]
    fn a_lane_is_deaf_if_it_is_asked_and_silent_though_messages_wait() {
        assert_eq!(seen(5, 0, 1, 60), Health::Deaf);
        assert_eq!(seen(5, 0, 1, 5), Health::Working);
        // With all places taken nothing can come; with nobody asking, nothing can be expected.
        assert_eq!(seen(5, 10, 1, 60), Health::Working);
        assert_eq!(seen(5, 0, 0, 61), Health::Unattended);
        assert_eq!(seen(5, 0, 0, 40), Health::Working, "its breaker may be open");
        assert_eq!(seen(0, 0, 1, 60), Health::Idle);
    }

    #[test]
    fn a_lane_whose_slots_are_all_busy_is_not_unattended() {
        assert_eq!(seen(5, 4, 0, 120), Health::Working);
        assert_eq!(seen(5, 4, 0, 3600), Health::Unattended);
        assert_eq!(seen(0, 1, 1, 600), Health::Working);
    }
}
