//! What is to be reached, as ratios within one run, and whether it was.

use std::fmt::{Display, Formatter, Result};

use serde_json::{Value, json};

use crate::http::Commands;
use crate::jobs::Loops;
use crate::raw::Publishes;

/// A ratio and its bound.
pub struct Goal {
    what: &'static str,
    measured: f64,
    bound: Bound,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.measured >= least,
            Bound::AtMost(most) => self.measured <= most,
        }
    }

    const fn word(&self) -> &'static str {
        match self.bound {
            Bound::AtLeast(_) => "atLeast",
            Bound::AtMost(_) => "atMost",
        }
    }

    const fn bound(&self) -> f64 {
        match self.bound {
            Bound::AtLeast(bound) | Bound::AtMost(bound) => bound,
        }
    }

    pub fn json(&self) -> Value {
        json!({ "what": self.what, "measured": self.measured, self.word(): self.bound(), "reached": self.is_reached() })
    }
}

impl Display for Goal {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let sign = match self.bound {
            Bound::AtLeast(_) => "≥",
            Bound::AtMost(_) => "≤",
        };
        let word = if self.is_reached() { "reached" } else { "MISSED" };
        write!(
            f,
            "{:<76} {:>8.2} {sign} {:>6.2} {word}",
            self.what,
            self.measured,
            self.bound()
        )
    }
}

pub fn all(publishes: &Publishes, loops: &Loops, commands: &Commands) -> Vec<Goal> {
    let goal = |what, measured, bound| Goal { what, measured, bound };
    vec![
        goal(
            "one command alone to its outcome, of one publish + one transaction (p50)",
            commands.alone,
            Bound::AtMost(2.5),
        ),
        goal(
            "commands finished at 256 in flight, of transactions at 64",
            commands.crowd,
            Bound::AtLeast(0.3),
        ),
        goal(
            "no-op jobs in a lane of 8 slots, of the raw loop",
            loops.eight,
            Bound::AtLeast(0.85),
        ),
        goal(
            "no-op jobs in a lane of 64 slots, of the raw loop",
            loops.sixty_four,
            Bound::AtLeast(0.85),
        ),
        goal(
            "durable enqueue at 64 in flight, of one by one",
            publishes.crowd.per_second / publishes.alone.per_second,
            Bound::AtLeast(3.0),
        ),
        goal(
            "events of a view built again, of commands finished live at 256 (by turns)",
            commands.rebuild.per_second / commands.live.per_second,
            Bound::AtLeast(10.0),
        ),
        goal(
            "ms until 95 % of the commands among 400 requests/s were accepted",
            commands.mixed.accepted.within_ms(950).unwrap_or(f64::NAN),
            Bound::AtMost(100.0),
        ),
        goal(
            "ms until 95 % of the reads among 400 requests/s were answered",
            commands.mixed.read.within_ms(950).unwrap_or(f64::NAN),
            Bound::AtMost(50.0),
        ),
        goal(
            "seconds from the start to the first accepted command, no data",
            commands.first_fresh.as_secs_f64(),
            Bound::AtMost(3.0),
        ),
        goal(
            "seconds from the start to the first accepted command, with data",
            commands.first_again.as_secs_f64(),
            Bound::AtMost(3.0),
        ),
    ]
}
