//! # The log heals the database
//!
//! COMMANDS keeps what was asked and EVENTS what came of it, with the command's id and the version. So a
//! database that lost something (a single commit, its last hours, everything) gets it back:
//!
//! ```text
//! EVENTS ─▶ is this version in the event log? ─no─▶ its command ─▶ decide it again at that version
//!                                                      ─▶ the same events? ─▶ commit what is missing
//! ```
//!
//! This is why deciding is repeatable. A command that decides otherwise now, or is gone, is left alone and
//! told about, and so is everything later of that aggregate; the others go on.
//!
//! [`events`] does this, [`outcomes`] finds commands whose outcome had no event to witness it, [`outbox`] takes
//! away what EVENTS has already, and views
//! with a gap in their chain of batches are forgotten, for their reader to build them again. [`again`]
//! decides, [`restore`] writes, [`log`] reads the streams, and [`mark`] says where to begin. Whoever heals
//! has the database for himself: no lane and no view may be at work on it.

mod again;
mod events;
mod log;
mod lost;
mod mark;
mod outbox;
mod outcomes;
mod report;
mod restore;
mod start;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use maru_schemas::envelope::Envelope;
use maru_schemas::outcome::Outcome;
use maru_schemas::refusal::OUTCOME_LOST;
use uuid::Uuid;

use self::again::{Again, Deciding};
pub use self::lost::lost_context;
pub use self::mark::{Closed, Mark};
pub use self::report::{Report, Unhealable, Why, Word};
pub use self::start::Start;
use crate::contract::Context;
use crate::nats::Nats;
use crate::store::{Store, StoreError};
use crate::topology::{COMMANDS, EVENTS};
use crate::views::{self, View};
use crate::write::commands::lane;

/// Why healing had to stop. What was healed by then stays; healing again goes on.
#[derive(Debug, thiserror::Error)]
pub enum HealError {
    /// The database did not answer, or a row is not what it should be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The streams cannot be read.
    #[error("{0}")]
    Stream(String),
}

/// An event as EVENTS has it.
pub(super) struct Recorded {
    pub envelope: Envelope,
    pub body: Bytes,
    pub seq: u64,
}

/// What is healed from what.
pub(super) struct Work {
    pub nats: Nats,
    pub store: Store,
    /// Whether it is only looked, and nothing written.
    pub is_dry: bool,
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    report: Report,
    /// Aggregates of which something cannot come back.
    stuck: HashSet<(&'static str, Uuid)>,
    /// The commands whose events were missing: they need no outcome of their own.
    decided: HashSet<Uuid>,
}

/// Says how far it is.
pub type Say<'a> = &'a (dyn Fn(Word) + Send + Sync);

/// Heals one database from the streams.
pub struct Heal {
    nats: Nats,
    store: Store,
    contexts: Vec<Arc<dyn Again>>,
    views: Vec<Arc<dyn View>>,
}

impl Heal {
    /// For these views, and the contexts that [`Heal::deciding`] adds.
    #[must_use]
    pub const fn new(nats: Nats, store: Store, views: Vec<Arc<dyn View>>) -> Self {
        Self {
            nats,
            store,
            contexts: Vec::new(),
            views,
        }
    }

    /// With context `C`.
    #[must_use]
    pub fn deciding<C: Context>(mut self) -> Self {
        self.contexts.push(Arc::new(Deciding::<C>::default()));
        self
    }

    /// The contexts it knows.
    pub fn contexts(&self) -> impl Iterator<Item = &'static str> {
        self.contexts.iter().map(|context| context.context())
    }

    /// Up to where everything is settled now, if nothing is missing.
    ///
    /// # Errors
    /// When the streams cannot be read.
    pub async fn now(&self) -> Result<Mark, HealError> {
        let settled = self.settled().await?;
        Ok(Mark {
            events: log::ends(&self.nats, EVENTS).await?.1,
            commands: settled.iter().map(|(_, seq)| *seq).min().unwrap_or_default(),
        })
    }

    /// Up to where each context has settled its commands.
    async fn settled(&self) -> Result<Vec<(&'static str, u64)>, HealError> {
        let (_, last) = log::ends(&self.nats, COMMANDS).await?;
        let mut settled = Vec::new();
        for context in self.contexts() {
            settled.push((context, log::settled(&self.nats, COMMANDS, &lane(context), last).await?));
        }
        Ok(settled)
    }

    /// Looks what is missing since a mark and whether it can come back. Changes nothing.
    ///
    /// # Errors
    /// When database or streams do not answer.
    pub async fn look(self, since: Mark, say: Say<'_>) -> Result<Report, HealError> {
        self.run(since, true, say).await
    }

    /// Brings back what is missing since a mark, and moves the mark if all of it came back.
    ///
    /// # Errors
    /// When database or streams do not answer. Run it again.
    pub async fn mend(self, since: Mark, say: Say<'_>) -> Result<Report, HealError> {
        self.run(since, false, say).await
    }

    async fn run(self, since: Mark, is_dry: bool, say: Say<'_>) -> Result<Report, HealError> {
        let work = Arc::new(Work {
            nats: self.nats.clone(),
            store: self.store.clone(),
            is_dry,
        });
        let to = self.now().await?;
        let settled = self.settled().await?;
        // Streams that end before the mark are not the ones it was made from.
        let since = if since.events > to.events {
            Mark::default()
        } else {
            since
        };
        let mut findings = Findings::default();
        findings.report.dry_run = is_dry;
        findings.report.since = since;
        findings.report.to = Mark {
            commands: to.commands.max(since.commands),
            ..to
        };
        events::mend(&self, &work, (since.events, to.events), &mut findings, say).await?;
        outcomes::mend(&self, &work, since.commands, &settled, &mut findings, say).await?;
        if !is_dry {
            outbox::mend(&work).await?;
        }
        let mut report = findings.report;
        for view in &self.views {
            if !views::is_whole(&self.store, &**view).await? {
                report.broken_views.push(view.name().to_owned());
                if !is_dry {
                    views::forget(&self.store, &**view).await?;
                }
            }
        }
        if !is_dry && report.is_whole() {
            self.trust(report.to).await?;
        }
        Ok(report)
    }

    /// Takes the database as it stands now for whole up to a mark.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn trust(&self, mark: Mark) -> Result<(), HealError> {
        for view in &self.views {
            views::trust(&self.store, &**view).await?;
        }
        Ok(mark.keep(&self.store).await?)
    }
}

/// What is said of a command that would do something now, though it did nothing when it was settled.
fn lost() -> Outcome {
    Outcome::Refused {
        code: OUTCOME_LOST.code.to_owned(),
        http: OUTCOME_LOST.http,
        detail: OUTCOME_LOST.sentence.to_owned(),
    }
}
