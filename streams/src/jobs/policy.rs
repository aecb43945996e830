//! How a lane treats its messages: one visible constant beside each kind's name.

use std::time::Duration;

/// The most a retry waits; a longer wait would hold one of the consumer's unsettled places.
const LONGEST: Duration = Duration::from_secs(30);

/// A lane's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How many messages run at once in one process.
    pub concurrency: usize,
    /// After this a running handler is stopped and counts as failed.
    pub timeout: Duration,
    /// How often a message that failed by its own fault is tried again.
    pub retries: u32,
    /// The wait before the first retry; each further one is twice as long.
    pub first_retry: Duration,
}

impl Policy {
    /// The wait before the retry that follows the nth failure. Up to a quarter is added by chance, so
    /// that what failed together does not come back together, and the waits still grow.
    #[must_use]
    pub fn wait_after(&self, failures: u32) -> Duration {
        let doubled = self
            .first_retry
            .saturating_mul(1 << failures.saturating_sub(1).min(16))
            .min(LONGEST);
        doubled.mul_f64(1.0 + rand::random_range(0.0..0.25))
    }

    /// How many messages of the lane may be unsettled at once on the server: those that run in up to
    /// four processes, and those that wait for a retry.
    #[must_use]
    pub fn max_ack_pending(&self) -> i64 {
        i64::try_from(self.concurrency)
            .unwrap_or(i64::MAX / 8)
            .saturating_mul(4)
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
    use super::*;

    const POLICY: Policy = Policy {
        concurrency: 4,
        timeout: Duration::from_secs(1),
        retries: 3,
        first_retry: Duration::from_secs(1),
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
