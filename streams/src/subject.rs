//! Subjects: where a message lies. Built and read in this one place, so that no format string of
//! anyone else can disagree with it.
//!
//! ```text
//! cmd.<context>.<kind>.v1.<command id>      COMMANDS
//! job.<kind>.v1.<job id>                    JOBS
//! evt.<context>.<kind>.v1.<aggregate id>    EVENTS
//! dead.<lane>.<message id>                  DEAD
//! ```

use std::fmt;

use uuid::Uuid;

/// A subject of one of our streams, taken apart. Words borrow from the text they were read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject<'a> {
    /// An intention.
    Command {
        /// Whose it is.
        context: &'a str,
        /// What is asked.
        kind: &'a str,
        /// Unique for ever, and so is the subject: that is how a repeat is refused.
        id: Uuid,
    },
    /// An effect to perform.
    Job {
        /// What is to be done.
        kind: &'a str,
        /// Unique for ever.
        id: Uuid,
    },
    /// A fact.
    Event {
        /// Who says so.
        context: &'a str,
        /// What happened.
        kind: &'a str,
        /// To what.
        aggregate: Uuid,
    },
    /// What a lane gave up on.
    Dead {
        /// Which lane.
        lane: &'a str,
        /// Which message.
        id: Uuid,
    },
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { context, kind, id } => write!(f, "cmd.{context}.{kind}.v1.{id}"),
            Self::Job { kind, id } => write!(f, "job.{kind}.v1.{id}"),
            Self::Event {
                context,
                kind,
                aggregate,
            } => write!(f, "evt.{context}.{kind}.v1.{aggregate}"),
            Self::Dead { lane, id } => write!(f, "dead.{lane}.{id}"),
        }
    }
}

impl<'a> Subject<'a> {
    /// Takes a subject apart; None for anything that is not ours or of a version we do not speak.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        let id = |text: &str| Uuid::parse_str(text).ok();
        match parts.as_slice() {
            ["cmd", context, kind, "v1", last] => Some(Self::Command {
                context,
                kind,
                id: id(last)?,
            }),
            ["job", kind, "v1", last] => Some(Self::Job { kind, id: id(last)? }),
            ["evt", context, kind, "v1", last] => Some(Self::Event {
                context,
                kind,
                aggregate: id(last)?,
            }),
            ["dead", lane, last] => Some(Self::Dead { lane, id: id(last)? }),
            _ => None,
        }
    }
}

/// The `ce-type` of a message: `maru.<context or job>.<kind>.v1`.
#[must_use]
pub fn kind_of(room: &str, kind: &str) -> String {
    format!("maru.{room}.{kind}.v1")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_built_is_what_is_read(
            context in "[a-z][a-z_]{0,15}", kind in "[a-z][a-z_]{0,23}", id: u128, shape in 0..4,
        ) {
            let id = Uuid::from_u128(id);
            let (context, kind) = (context.as_str(), kind.as_str());
            let subject = match shape {
                0 => Subject::Command { context, kind, id },
                1 => Subject::Job { kind, id },
                2 => Subject::Event { context, kind, aggregate: id },
                _ => Subject::Dead { lane: kind, id },
            };
            let text = subject.to_string();
            prop_assert_eq!(Subject::parse(&text), Some(subject));
        }

        #[test]
        fn nothing_else_is_taken_for_ours(text in "\\PC{0,60}") {
            if let Some(subject) = Subject::parse(&text) {
                prop_assert_eq!(subject.to_string().to_lowercase(), text.to_lowercase());
            }
        }
    }

    #[test]
    fn another_version_is_not_ours() {
        assert_eq!(
            Subject::parse("cmd.books.create_book.v2.00000000-0000-0000-0000-000000000001"),
            None
        );
        assert_eq!(Subject::parse("cmd.books.create_book.v1.nobody"), None);
    }
}
