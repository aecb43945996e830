//! How fast a lane settles, and how long what waits will take.
//!
//! Two looks at a consumer make an interval. How many messages were settled in it follows from what was
//! delivered for the first time and how the unsettled changed, whoever did it in whichever process. What a
//! lane *can* do is only seen while more waits than its slots hold; what it did while little came says how
//! much came, not how fast it is. So the time to drain rests on such full intervals alone, and where there
//! is none there is no number.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::seen::Seen;

/// Longer ago does not count: processes come and go.
const WINDOW: Duration = Duration::from_secs(300);
/// How far back the rate that people see goes.
const LATELY: Duration = Duration::from_secs(60);
/// So many settled messages, over so long, are enough to tell how fast a lane is; else one looks further back.
const ENOUGH: (f64, Duration) = (30.0, Duration::from_secs(10));

/// What was seen of one lane over the last minutes.
#[derive(Debug, Default, Clone)]
pub struct Pace {
    last: Option<(Instant, Seen)>,
    intervals: VecDeque<Interval>,
}

#[derive(Debug, Clone, Copy)]
struct Interval {
    ended: Instant,
    took: Duration,
    settled: f64,
    /// More waited than there were slots, from its beginning to its end.
    is_full: bool,
}

impl Pace {
    /// Takes another look in.
    pub fn take(&mut self, now: Instant, seen: Seen) {
        if let Some((at, before)) = &self.last
            && let Some(settled) = settled(before, &seen)
        {
            self.intervals.push_back(Interval {
                ended: now,
                took: now.duration_since(*at),
                settled,
                is_full: before.pending > 0 && seen.pending > 0 && !before.is_paused && !seen.is_paused,
            });
        }
        while self.intervals.front().is_some_and(|old| now - old.ended > WINDOW) {
            self.intervals.pop_front();
        }
        self.last = Some((now, seen));
    }

    /// Settled messages a second over the last minute.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let (now, _) = self.last.as_ref()?;
        let lately = self.intervals.iter().filter(|one| *now - one.ended < LATELY);
        let (settled, seconds) = lately.fold((0.0, 0.0), |(settled, seconds), one| {
            (settled + one.settled, seconds + one.took.as_secs_f64())
        });
        (seconds > 0.0).then(|| settled / seconds)
    }

    /// Messages a second that it settles when it has more to do than it can; none if it did not have
    /// lately, or settles nothing.
    #[must_use]
    pub fn capacity(&self) -> Option<f64> {
        let (mut settled, mut took) = (0.0, Duration::ZERO);
        for one in self.intervals.iter().rev().filter(|one| one.is_full) {
            settled += one.settled;
            took += one.took;
            if settled >= ENOUGH.0 && took >= ENOUGH.1 {
                break;
            }
        }
        (settled > 0.0).then(|| settled / took.as_secs_f64())
    }

    /// How long until what waits now is settled; none while nobody can tell.
    #[must_use]
    pub fn drain(&self) -> Option<Duration> {
        let (_, seen) = self.last.as_ref()?;
        if seen.left() == 0 {
            return Some(Duration::ZERO);
        }
        if seen.is_paused {
            return None;
        }
        Duration::try_from_secs_f64(seen.left() as f64 / self.capacity()?).ok()
    }
}

/// How many messages were settled between two looks; none if the consumer was made anew or set back.
fn settled(before: &Seen, now: &Seen) -> Option<f64> {
    let deliveries = now.deliveries.checked_sub(before.deliveries)? as f64;
    now.reached.checked_sub(before.reached)?;
    let first_time = if before.redelivered == 0 && now.redelivered == 0 {
        deliveries
    } else {
        deliveries.min(first_time(before, now))
    };
    Some((first_time + before.unsettled as f64 - now.unsettled as f64).max(0.0))
}

/// How many messages were delivered for the first time, while others came again: the part of what waited
/// before that the consumer has passed since, taken as evenly spread over the stream.
fn first_time(before: &Seen, now: &Seen) -> f64 {
    let ahead = before.newest.saturating_sub(before.reached);
    let passed = now.reached - before.reached;
    match ahead {
        0 => passed as f64,
        _ if passed <= ahead => before.pending as f64 * passed as f64 / ahead as f64,
        _ => before.pending as f64 + (passed - ahead) as f64,
    }
}

#[cfg(test)]
mod tests;
