//! What a view is, and the consumers it reads through.

use futures_util::future::BoxFuture;

use super::rows::{FoldError, Rows};
use crate::jobs::Delivery;
use crate::topology::{Consumer, EVENTS, Reads};

/// A read view.
pub trait View: Send + Sync + 'static {
    /// The one word: its first table, its consumer, its metric label.
    fn name(&self) -> &'static str;

    /// The tables it writes. Each is there twice, the second time with `_green` behind its name.
    fn tables(&self) -> &'static [&'static str];

    /// The contexts it listens to; of these it hears everything, and notices what is missing.
    fn contexts(&self) -> &'static [&'static str];

    /// Folds one event into rows.
    fn fold<'a>(&'a self, event: &'a Delivery, rows: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>>;
}

/// Which of a view's two colours is meant, whatever they are at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that people read.
    Read,
    /// The other one, while there is one.
    Other,
}

impl Role {
    /// As a metric label.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Other => "other",
        }
    }
}

impl dyn View {
    /// The consumer it reads through, for the topology.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        self.consumer_of(Role::Read)
    }

    /// A consumer goes with the role, not with the colour: it holds nothing, for it is set back to the
    /// mark whenever what lies behind that would not come. So the name that people watch stays with what people read.
    pub(super) fn consumer_of(&self, role: Role) -> Consumer {
        Consumer {
            stream: EVENTS,
            name: match role {
                Role::Read => format!("view-{}", self.name()),
                Role::Other => format!("view-{}-next", self.name()),
            },
            filters: Vec::new(),
            reads: Reads::ByMark,
        }
    }
}
