//! How a lane treats its messages: one visible constant beside each kind's name.

use std::num::NonZeroU16;
use std::time::Duration;

use super::breaker::Trip;

/// The most a message waits at its consumer, where it holds one of the unsettled places. A longer wait is a
/// schedule.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// From so many waiting messages on there is enough for every process, and a lane looks ahead.
const CROWD: usize = 256;

/// How often a lane may begin, in all processes together. A second's, or a minute's, worth may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Runs a second, whoever they are for.
    pub per_second: NonZeroU16,
    /// Runs a minute for one member.
    pub each_per_minute: NonZeroU16,
}

impl Rate {
    /// A rate; zero counts as one.
    #[must_use]
    pub const fn new(per_second: u16, each_per_minute: u16) -> Self {
        const fn at_least_one(n: u16) -> NonZeroU16 {
            match NonZeroU16::new(n) {
                Some(n) => n,
                None => NonZeroU16::MIN,
            }
        }
        Self {
            per_second: at_least_one(per_second),
            each_per_minute: at_least_one(each_per_minute),
        }
    }
}

/// A lane's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How many messages run at once in one process.
    pub concurrency: usize,
    /// How many messages run at once in all processes together, where that matters to somebody outside.
    pub across: Option<u32>,
    /// How often it may begin.
    pub rate: Option<Rate>,
    /// Whether each run is paid for from its member's budget; with nothing left, the member's messages wait
    /// for a top-up.
    pub metered: bool,
    /// After this a running handler is stopped and counts as failed.
    pub timeout: Duration,
    /// How often a message that failed by its own fault is tried again.
    pub retries: u32,
    /// The wait before the first retry; each further one is twice as long.
    pub first_retry: Duration,
    /// No wait is longer than this. Only a job can wait longer than half a minute: it goes through a
    /// schedule and gives its place free.
    pub longest_retry: Duration,
    /// Whether members take turns, so that one's ten thousand messages do not keep another's ten from being
    /// done: what a member has too much of waits at the back.
    pub fair: bool,
    /// When the lane leaves what it calls alone for a while.
    pub breaker: Option<Trip>,
}

impl Policy {
    /// Quick work that calls nobody outside. Kinds name what they have of their own:
    /// `Policy { concurrency: 4, ..Policy::QUICK }`.
    pub const QUICK: Self = Self {
        concurrency: 10,
        across: None,
        rate: None,
        metered: false,
        timeout: Duration::from_secs(30),
        retries: 5,
        first_retry: Duration::from_secs(1),
        longest_retry: LONGEST,
        fair: false,
        breaker: None,
    };

    /// A call to somebody outside. After five failures in a row they are left alone for half a minute.
    pub const OUTSIDE: Self = Self {
        concurrency: 8,
        across: None,
        rate: None,
        metered: false,
        timeout: Duration::from_secs(60),
        retries: 3,
        first_retry: Duration::from_secs(1),
        longest_retry: LONGEST,
        fair: false,
        breaker: Some(Trip {
            failures: 5,
            rest: Duration::from_secs(30),
        }),
    };

    /// The wait before the retry that follows the nth failure. Up to a quarter is added by chance, so
    /// that what failed together does not come back together, and the waits still grow.
    #[must_use]
    pub fn wait_after(&self, failures: u32) -> Duration {
        let doubled = self
            .first_retry
            .saturating_mul(1 << failures.saturating_sub(1).min(16))
            .min(self.longest_retry);
        doubled.mul_f64(1.0 + rand::random_range(0.0..0.25))
    }

    /// How many messages may be held in front, running or waiting for their turn, when so many more wait on
    /// the server. Members can only take turns among those that are there; but what one process holds
    /// another cannot run, so few are held unless there are enough for everybody. Then quick work has as many
    /// again at hand, because fetching them takes longer than doing them. Not where order matters: what is held and
    /// not begun goes back when the lane stops, and later ones would overtake it.
    #[must_use]
    pub(super) fn most_in_front(&self, behind: u64, is_ordered: bool) -> usize {
        let is_quick = self.breaker.is_none() && self.rate.is_none() && self.across.is_none();
        match (self.fair, behind > CROWD as u64) {
            (true, true) => self.concurrency * 2 + CROWD,
            (true, false) => self.concurrency * 2,
            (false, true) if is_quick && !is_ordered => self.concurrency * 2,
            (false, _) => self.concurrency,
        }
    }

    /// How many messages of the lane may be unsettled at once on the server: those that run or are at hand in up
    /// to four processes, and those that wait for a retry.
    #[must_use]
    pub fn max_ack_pending(&self) -> i64 {
        i64::try_from(self.concurrency)
            .unwrap_or(i64::MAX / 8)
            .saturating_mul(8)
            .max(1000)
    }
}

/// The wait before looking again when the house itself is out of order (the database is away, say):
/// that is nobody's failure, so it counts nothing and only grows with how often it was seen.
#[must_use]
pub(crate) fn wait_out(deliveries: u64) -> Duration {
    let nth = u32::try_from(deliveries.saturating_sub(1).min(8)).unwrap_or(8);
    Duration::from_millis(250)
        .saturating_mul(1 << nth)
        .min(LONGEST)
        .mul_f64(1.0 + rand::random_range(0.0..0.25))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chance_adds_a_quarter_at_most_and_takes_nothing_away(failures in 1_u32..50, first_ms in 1_u64..60_000) {
            let policy = Policy { first_retry: Duration::from_millis(first_ms), ..POLICY };
            let plain = policy.first_retry.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST);
            let wait = policy.wait_after(failures);
            prop_assert!(wait >= plain && wait <= plain.mul_f64(1.25), "{wait:?} after {failures} at {first_ms} ms");
        }
    }

    const POLICY: Policy = Policy {
        concurrency: 4,
        timeout: Duration::from_secs(1),
        retries: 3,
        ..Policy::QUICK
    };

    #[test]
    fn waits_grow_and_never_come_too_early() {
        for _ in 0..200 {
            let waits = [1, 2, 3].map(|failures| POLICY.wait_after(failures));
            assert!(
                waits[0] >= Duration::from_secs(1) && waits[0] < waits[1] && waits[1] < waits[2],
                "{waits:?}"
            );
        }
    }

    #[test]
    fn no_wait_is_longer_than_a_message_may_be_held() {
        assert!(POLICY.wait_after(40) <= LONGEST.mul_f64(1.25));
        assert!(wait_out(u64::MAX) <= LONGEST.mul_f64(1.25));
    }
}
