//! Looks at every consumer from time to time, so that what waits is seen even where no worker runs, and
//! how long it will wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::seen::{Seen, look};
use super::status::{fill, oldest, seconds_between};
use crate::intention::Clock;
use crate::nats::Nats;
use crate::topology::TopologyError;

/// Asking more often than this costs the server more than it tells us.
const EVERY: Duration = Duration::from_secs(5);
/// What takes a question for each lane or stream is asked every so many looks.
const SELDOM: u32 = 3;

/// How fast every lane is, as far as this process has seen. Shared by cloning.
#[derive(Clone, Default)]
pub struct Paces(Arc<Mutex<HashMap<String, Pace>>>);

impl Paces {
    /// How fast one lane is.
    #[must_use]
    pub fn of(&self, lane: &str) -> Option<Pace> {
        // Plain data: what a panic leaves behind can be read.
        let paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paces.get(lane).cloned()
    }

    /// How long until what waits in a lane now is settled; none while nobody can tell.
    #[must_use]
    pub fn drain(&self, lane: &str) -> Option<Duration> {
        self.of(lane)?.drain()
    }

    /// Looks once.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn look(&self, nats: &Nats, streams: &[&str]) -> Result<Vec<Seen>, TopologyError> {
        let seen = look(nats, streams).await?;
        let now = Instant::now();
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for one in seen.iter().filter(|one| one.is_lane) {
            paces.entry(one.name.clone()).or_default().take(now, one.clone());
        }
        Ok(seen)
    }
}

/// Looks at the consumers of these streams again and again and exports what it sees, until told to stop.
pub async fn watch(nats: Nats, paces: Paces, streams: &'static [&'static str], stop: CancellationToken) {
    for nth in (0..SELDOM).cycle() {
        match paces.look(&nats, streams).await {
            Ok(seen) => {
                seen.iter().for_each(|one| export(one, &paces));
                if nth == 0
                    && let Err(error) = look_closely(&nats, &seen).await
                {
                    tracing::debug!(%error, "the streams cannot be looked at");
                }
            }
            Err(error) => tracing::debug!(%error, "the lanes cannot be looked at"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

fn export(seen: &Seen, paces: &Paces) {
    let lane = &seen.name;
    metrics::gauge!("maru_lane_pending_messages", "lane" => lane.clone()).set(seen.pending as f64);
    if !seen.is_lane {
        return;
    }
    metrics::gauge!("maru_lane_unsettled_messages", "lane" => lane.clone()).set(seen.unsettled as f64);
    metrics::gauge!("maru_lane_redelivered_messages", "lane" => lane.clone()).set(seen.redelivered as f64);
    metrics::gauge!("maru_lane_pulls", "lane" => lane.clone()).set(seen.pulls as f64);
    metrics::gauge!("maru_lane_paused", "lane" => lane.clone()).set(if seen.is_paused { 1.0 } else { 0.0 });
    let drain = paces.drain(lane).map_or(f64::NAN, |drain| drain.as_secs_f64());
    metrics::gauge!("maru_lane_drain_seconds", "lane" => lane.clone()).set(drain);
}

/// How long the oldest message of each lane has been there, and what the streams hold.
async fn look_closely(nats: &Nats, seen: &[Seen]) -> Result<(), TopologyError> {
    let now = Clock::system().now();
    for one in seen.iter().filter(|one| one.is_lane) {
        let age = oldest(nats, one).await?.map_or(0.0, |at| seconds_between(at, now));
        metrics::gauge!("maru_lane_oldest_seconds", "lane" => one.name.clone()).set(age);
    }
    for one in fill(nats).await? {
        let stream = one.stream;
        metrics::gauge!("maru_stream_bytes", "stream" => stream.clone()).set(one.bytes as f64);
        metrics::gauge!("maru_stream_messages", "stream" => stream.clone()).set(one.messages as f64);
        metrics::gauge!("maru_stream_last_sequence", "stream" => stream.clone()).set(one.last_sequence as f64);
        if let Some(most) = one.max_bytes {
            metrics::gauge!("maru_stream_max_bytes", "stream" => stream).set(most as f64);
        }
    }
    Ok(())
}
