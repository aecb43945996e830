//! The breaker of a lane: when what it calls is out of order, it is left alone for a while.
//!
//! ```text
//!            five failures in a row                    rest is over
//!   closed ───────────────────────────▶ open ───────────────────────────▶ half open
//!     ▲                                   ▲  the probe failed                 │  one probe
//!     └───────────────────────────────────┴───────────────────────────────────┘
//!                     the probe went well
//! ```
//!
//! While it is open the lane pulls nothing, so what waits stays on the server for whoever can work. Each
//! process has its own: what one cannot reach another may. Time is passed in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a lane's breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    /// So many failures in a row open it.
    pub failures: u32,
    /// So long nothing is tried; then one probe.
    pub rest: Duration,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

impl State {
    fn room(self, now: Instant) -> Room {
        match self {
            Self::Closed { .. } => Room::All,
            Self::Open { until } if now < until => Room::None(until),
            Self::Open { .. } => Room::Probe,
            Self::Probing => Room::AwaitsProbe,
        }
    }
}

/// How many messages may run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// As many as there are slots.
    All,
    /// One, to see whether it works again.
    Probe,
    /// None before this.
    None(Instant),
    /// None until the probe is back.
    AwaitsProbe,
}

/// What an attempt says about the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It works.
    Well,
    /// It failed.
    Failed,
    /// Nothing either way.
    Nothing,
}

/// A lane's breaker; without a [`Trip`] it never opens.
pub(crate) struct Breaker {
    trip: Option<Trip>,
    state: Mutex<State>,
}

impl Breaker {
    pub(crate) const fn new(trip: Option<Trip>) -> Self {
        Self {
            trip,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    // A panic while it is held leaves a whole state behind.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many may run now. Asked several times for each message, so one that never opens does not look at the clock.
    pub(crate) fn room_now(&self) -> Room {
        match self.trip {
            None => Room::All,
            Some(_) => self.room(Instant::now()),
        }
    }

    fn room(&self, now: Instant) -> Room {
        self.state().room(now)
    }

    /// Whether one may begin now. Whoever gets [`Room::Probe`] is the probe, and must [`Breaker::hear`].
    pub(crate) fn enter(&self, now: Instant) -> Room {
        let mut state = self.state();
        let room = state.room(now);
        if room == Room::Probe {
            *state = State::Probing;
        }
        room
    }

    /// Takes in what an attempt said. True if that changed whether the breaker is open.
    pub(crate) fn hear(&self, said: Said, was_probe: bool, now: Instant) -> bool {
        let Some(trip) = self.trip else { return false };
        let open = State::Open { until: now + trip.rest };
        let mut state = self.state();
        let (next, changed) = match (*state, said) {
            (State::Probing, Said::Failed) if was_probe => (open, true),
            // Nothing learned: the next one is the probe.
            (State::Probing, Said::Nothing) if was_probe => (State::Open { until: now }, false),
            (State::Probing, Said::Well) => (State::Closed { failures: 0 }, true),
            (State::Closed { .. }, Said::Well) => (State::Closed { failures: 0 }, false),
            (State::Closed { failures }, Said::Failed) if failures + 1 >= trip.failures => (open, true),
            (State::Closed { failures }, Said::Failed) => (State::Closed { failures: failures + 1 }, false),
            (state, _) => (state, false),
        };
        *state = next;
        changed
    }

    /// 0 closed, 1 half open, 2 open: the metric.
    pub(crate) fn level(&self, now: Instant) -> f64 {
        match self.room(now) {
            Room::All => 0.0,
            Room::Probe | Room::AwaitsProbe => 1.0,
            Room::None(_) => 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(30);

    fn open() -> (Breaker, Instant) {
        let now = Instant::now();
        let breaker = Breaker::new(Some(Trip {
            failures: 5,
            rest: REST,
        }));
        for _ in 0..4 {
            assert!(!breaker.hear(Said::Failed, false, now));
        }
        assert!(breaker.hear(Said::Failed, false, now));
        (breaker, now)
    }

    #[test]
    fn five_failures_in_a_row_open_it_for_its_rest() {
        let (breaker, now) = open();
        assert_eq!(breaker.room(now), Room::None(now + REST));
        assert_eq!(breaker.enter(now + REST / 2), Room::None(now + REST));
    }

    #[test]
    fn a_success_in_between_begins_the_count_anew() {
        let now = Instant::now();
        let breaker = Breaker::new(Some(Trip {
            failures: 2,
            rest: REST,
        }));
        breaker.hear(Said::Failed, false, now);
        breaker.hear(Said::Well, false, now);
        breaker.hear(Said::Nothing, false, now);
        breaker.hear(Said::Failed, false, now);
        assert_eq!(breaker.room(now), Room::All);
    }

    #[test]
    fn one_probe_goes_alone_and_decides() {
        let (breaker, now) = open();
        let later = now + REST;
        assert_eq!(breaker.enter(later), Room::Probe);
        assert_eq!(breaker.enter(later), Room::AwaitsProbe);
        assert!(breaker.hear(Said::Failed, true, later));
        assert_eq!(breaker.room(later), Room::None(later + REST));

        let again = later + REST;
        assert_eq!(breaker.enter(again), Room::Probe);
        assert!(breaker.hear(Said::Well, true, again));
        assert_eq!(breaker.room(again), Room::All);
    }

    #[test]
    fn a_probe_that_says_nothing_leaves_its_place_to_the_next_one() {
        let (breaker, now) = open();
        assert_eq!(breaker.enter(now + REST), Room::Probe);
        breaker.hear(Said::Nothing, true, now + REST);
        assert_eq!(breaker.enter(now + REST), Room::Probe);
    }

    #[test]
    fn a_straggler_from_before_does_not_close_it_nor_keep_it_open() {
        let (breaker, now) = open();
        breaker.hear(Said::Failed, false, now + REST / 2);
        assert_eq!(breaker.room(now + REST), Room::Probe);
        breaker.hear(Said::Well, false, now + REST / 2);
        assert_eq!(breaker.room(now), Room::None(now + REST));
    }

    #[test]
    fn without_a_trip_it_never_opens() {
        let breaker = Breaker::new(None);
        let now = Instant::now();
        for _ in 0..100 {
            breaker.hear(Said::Failed, false, now);
        }
        assert_eq!(breaker.room(now), Room::All);
    }
}
