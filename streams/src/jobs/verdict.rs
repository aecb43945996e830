//! A message's fate, decided on the line where success or failure is born.

use std::fmt;
use std::time::Duration;

use crate::store::StoreError;

/// What a handler says of a message.
#[derive(Debug)]
pub enum Verdict {
    /// It took effect.
    Done,
    /// It had taken effect before.
    Already,
    /// Not now, and nobody's fault: look again after this long. Counts as no attempt.
    Snooze(Duration, Reason),
    /// Not now, because something in the house is away: look again when it may be back. Counts as no
    /// attempt, and is never given up.
    Later(Reason),
    /// Not until somebody does something about it (a top-up, say): it waits aside, in nobody's way.
    Hold(Reason),
    /// It failed and may work next time; after as many retries as the policy has it is dead.
    Retry {
        /// Why.
        reason: Reason,
        /// Wait at least this long, because somebody asked for it.
        at_least: Option<Duration>,
    },
    /// It was turned down for good, and whoever asked has been told: nothing is left to repair.
    Refuse(Reason),
    /// It can never work as it is: to the dead letters at once.
    Poison(Reason),
}

/// Why, in a code for programs and a sentence for people. Never holds what somebody typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Stable, snake case.
    pub code: &'static str,
    /// The whole chain of causes.
    pub detail: String,
}

impl Reason {
    /// A reason in words.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// A reason from an error, with its causes.
    pub fn from_error(code: &'static str, error: &dyn std::error::Error) -> Self {
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            detail.push_str(": ");
            detail.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { code, detail }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl Verdict {
    /// Something in the house is away. A row that this build cannot read is there, and waiting makes it no other: a
    /// handler that met one has failed, is tried as often as any, and given up then, where people see it. Waiting for ever,
    /// the message would keep everything behind it in its stream.
    pub fn later(error: impl std::error::Error + 'static) -> Self {
        match (&error as &(dyn std::error::Error + 'static)).downcast_ref() {
            Some(StoreError::Row(_)) => Self::Retry {
                reason: Reason::from_error("unreadable_row", &error),
                at_least: None,
            },
            _ => Self::Later(Reason::from_error("house_out_of_order", &error)),
        }
    }

    /// The metric label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Already => "already",
            Self::Snooze(..) => "snooze",
            Self::Later(_) => "later",
            Self::Hold(_) => "hold",
            Self::Retry { .. } => "retry",
            Self::Refuse(_) => "refuse",
            Self::Poison(_) => "poison",
        }
    }
}
