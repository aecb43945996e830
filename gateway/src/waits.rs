//! Honest waiting time: how long what is asked now will take, from how fast the lanes really are, and turning
//! people away who would wait longer than anybody should.
//!
//! One task looks at the lanes every few seconds; a request only reads what it saw. A lane of which nobody
//! can tell how long it will take (it is paused, or has had little to do) keeps nobody out.

use std::time::Duration;

use maru_streams::lanes::{Paces, watch};
use maru_streams::nats::Nats;
use maru_streams::topology::{COMMANDS, JOBS};
use tokio_util::sync::CancellationToken;

use crate::problem::{LANE_BUSY, Problem};

/// What the door knows of the lanes.
pub struct Waits {
    paces: Paces,
    longest: Duration,
}

impl Waits {
    /// Looks at the lanes until the door closes. Nobody is to wait longer than `longest`.
    #[must_use]
    pub fn follow(nats: Nats, longest: Duration, stop: CancellationToken) -> Self {
        let paces = Paces::default();
        tokio::spawn(watch(nats, paces.clone(), &[COMMANDS, JOBS], stop));
        Self { paces, longest }
    }

    /// How long it takes to get through these lanes one after the other, as far as one can tell; none if one
    /// can of none.
    #[must_use]
    pub fn expected(&self, lanes: &[String]) -> Option<Duration> {
        // What one member has too much of waits at the back of a fair lane, which is a consumer of its own.
        let back = |lane: &String| lane.strip_prefix("job-").map(|kind| format!("late-{kind}"));
        let known = lanes.iter().flat_map(|lane| {
            let drains = [
                self.paces.drain(lane),
                back(lane).and_then(|back| self.paces.drain(&back)),
            ];
            drains.into_iter().flatten()
        });
        known.reduce(Duration::saturating_add)
    }

    /// Whether that is longer than anybody is to wait: then when to come again.
    #[must_use]
    pub fn refusal(&self, expected: Option<Duration>) -> Option<Problem> {
        let expected = expected.filter(|expected| *expected > self.longest)?;
        metrics::counter!("maru_http_refused_total", "reason" => "busy").increment(1);
        Some(Problem::from(LANE_BUSY).retry_after(seconds(expected)))
    }
}

/// In whole seconds, and rather too many than too few.
#[must_use]
pub fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
