//! Subjects: where a message lies. Built and read in this one place, so that no format string of
//! anyone else can disagree with it.
//!
//! ```text
//! cmd.<context>.<kind>.v1.<command id>      COMMANDS
//! job.<kind>.v1.<job id>                    JOBS
//! late.<kind>.v1.<job id>                   JOBS, at the back of its lane (`jobs/back.rs`)
//! held.<kind>.<member>.v1.<job id>.<n>      JOBS, aside until the member can pay
//! job.<kind>.v1.<job id>.<failures>         JOBS, the same job after a long wait
//! evt.<context>.<kind>.v1.<aggregate id>    EVENTS
//! dead.<lane>.<message id>                  DEAD, the letters
//! redo.<lane>.<message id>.<n>              DEAD, what operators want of a lane
//! replay.<replay id>                        DEAD, what came of a replay, for good
//! sched.job.<kind>.<job id>                 SCHEDULES, a job that waits; it becomes
//! due.job.<kind>.<job id>.<failures>        SCHEDULES, a job whose time has come
//! sched.tick.<name> · due.tick.<name>       SCHEDULES, the clock's next tick, and one that has come
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
    /// The same effect again, after a wait that was too long to hold a place.
    JobAgain {
        /// What is to be done.
        kind: &'a str,
        /// The job's own.
        id: Uuid,
        /// How often it has failed.
        failures: u32,
    },
    /// A job that waits for its time. There is one wait for a job; a later one takes its place.
    JobLater {
        /// What is to be done.
        kind: &'a str,
        /// The job's own.
        id: Uuid,
    },
    /// A job whose time has come.
    JobDue {
        /// What is to be done.
        kind: &'a str,
        /// The job's own.
        id: Uuid,
        /// How often it has failed.
        failures: u32,
    },
    /// The clock's next tick of a name.
    TickLater {
        /// Which.
        name: &'a str,
    },
    /// A tick that has come.
    TickDue {
        /// Which.
        name: &'a str,
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
    /// That a lane look at a letter again.
    Redo {
        /// Which lane.
        lane: &'a str,
        /// Which message.
        id: Uuid,
        /// The sequence of the letter that was decided on.
        of: u64,
    },
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { context, kind, id } => write!(f, "cmd.{context}.{kind}.v1.{id}"),
            Self::Job { kind, id } => write!(f, "job.{kind}.v1.{id}"),
            Self::JobAgain { kind, id, failures } => write!(f, "job.{kind}.v1.{id}.{failures}"),
            Self::JobLater { kind, id } => write!(f, "sched.job.{kind}.{id}"),
            Self::JobDue { kind, id, failures } => write!(f, "due.job.{kind}.{id}.{failures}"),
            Self::TickLater { name } => write!(f, "sched.tick.{name}"),
            Self::TickDue { name } => write!(f, "due.tick.{name}"),
            Self::Event {
                context,
                kind,
                aggregate,
            } => write!(f, "evt.{context}.{kind}.v1.{aggregate}"),
            Self::Dead { lane, id } => write!(f, "dead.{lane}.{id}"),
            Self::Redo { lane, id, of } => write!(f, "redo.{lane}.{id}.{of}"),
        }
    }
}

impl<'a> Subject<'a> {
    /// Takes a subject apart; None for anything that is not ours or of a version we do not speak.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        let id = |text: &str| Uuid::parse_str(text).ok();
        // "+1" and "01" are numbers too, but nobody writes them.
        let count = |text: &str| text.parse().ok().filter(|n: &u32| n.to_string() == text);
        match parts.as_slice() {
            ["cmd", context, kind, "v1", last] => Some(Self::Command {
                context,
                kind,
                id: id(last)?,
            }),
            ["job" | "late", kind, "v1", last] | ["late", kind, "v1", last, _] => {
                Some(Self::Job { kind, id: id(last)? })
            }
            ["job", kind, "v1", job, failures] => Some(Self::JobAgain {
                kind,
                id: id(job)?,
                failures: count(failures)?,
            }),
            ["sched", "job", kind, last] => Some(Self::JobLater { kind, id: id(last)? }),
            ["due", "job", kind, job, failures] => Some(Self::JobDue {
                kind,
                id: id(job)?,
                failures: count(failures)?,
            }),
            ["sched", "tick", name] => Some(Self::TickLater { name }),
            ["due", "tick", name] => Some(Self::TickDue { name }),
            ["evt", context, kind, "v1", last] => Some(Self::Event {
                context,
                kind,
                aggregate: id(last)?,
            }),
            ["dead", lane, last] => Some(Self::Dead { lane, id: id(last)? }),
            ["redo", lane, message, of] => Some(Self::Redo {
                lane,
                id: id(message)?,
                of: of.parse().ok()?,
            }),
            _ => None,
        }
    }
}

/// The `ce-type` of a message: `maru.<context or job>.<kind>.v1`.
#[must_use]
pub fn kind_of(room: &str, kind: &str) -> String {
    format!("maru.{room}.{kind}.v1")
}

/// A subject without what is different each time: `cmd.books.create_book.v1`. Ids and numbers in the middle
/// become `*`.
pub(crate) fn shape(subject: &str) -> String {
    let is_fixed = |word: &&str| Uuid::parse_str(word).is_err() && word.parse::<u64>().is_err();
    let words: Vec<&str> = subject.split('.').collect();
    let last = words.iter().rposition(is_fixed).map_or(0, |last| last + 1);
    let shape = words[..last].iter().map(|word| if is_fixed(word) { word } else { "*" });
    shape.collect::<Vec<_>>().join(".")
}

/// Whether everything under `inner` lies under `outer` too.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_built_is_what_is_read(
            context in "[a-z][a-z_]{0,15}", kind in "[a-z][a-z_]{0,23}", id: u128, failures: u32, of: u64, shape in 0..10,
        ) {
            let id = Uuid::from_u128(id);
            let (context, kind) = (context.as_str(), kind.as_str());
            let subject = match shape {
                0 => Subject::Command { context, kind, id },
                1 => Subject::Job { kind, id },
                2 => Subject::Event { context, kind, aggregate: id },
                3 => Subject::Dead { lane: kind, id },
                4 => Subject::JobAgain { kind, id, failures },
                5 => Subject::JobLater { kind, id },
                6 => Subject::JobDue { kind, id, failures },
                7 => Subject::TickLater { name: kind },
                8 => Subject::TickDue { name: kind },
                _ => Subject::Redo { lane: kind, id, of },
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

    #[test]
    fn the_shape_of_a_subject_has_no_ids_in_it() {
        let id = Uuid::from_u128(7);
        let shape = |subject: String| shape(&subject);
        assert_eq!(
            shape(format!("cmd.books.create_book.v1.{id}")),
            "cmd.books.create_book.v1"
        );
        assert_eq!(shape(format!("job.write_story.v1.{id}.3")), "job.write_story.v1");
        assert_eq!(
            shape(format!("held.write_story.{id}.v1.{id}.17")),
            "held.write_story.*.v1"
        );
        assert_eq!(shape("due.tick.janitor".to_owned()), "due.tick.janitor");
        assert_eq!(shape(id.to_string()), "");
    }

    #[test]
    fn a_wider_filter_covers_a_narrower_one() {
        assert!(covers("cmd.books.>", "cmd.books.create_book.v2.*"));
        assert!(covers("evt.*.*.v1.*", "evt.books.book_created.v1.*"));
        assert!(!covers("cmd.book.>", "cmd.books.create_book.v2.*"));
        assert!(!covers("cmd.books.create_book.v1.*", "cmd.books.>"));
        assert!(!covers("cmd.books", "cmd.books.create_book"));
    }
}
