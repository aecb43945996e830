//! Brings about what a view's plan says of its other colour: clears it, lets it catch up with the one that
//! people read, compares the two, swaps them. Each step is a change of the plan, and can be done again.

use super::clear;
use super::compare::{self, Found};
use super::plan::{Plan, PlanError, Plans, Stage};
use super::reader::{LOOK_EVERY, ReadError, Reading};
use super::view::{Role, View};
use crate::nats::Nats;
use crate::store::Snapshot;
use crate::topology::dismiss;

/// How often rows that differ are looked at, before they count.
const LOOKS: u32 = 3;

/// Rows that were found to differ, so many times.
pub(super) struct Doubts {
    looks: u32,
    found: Found,
}

/// Clears the other colour, if the plan says so. False if there is nothing to do.
pub(super) async fn make_room(nats: &Nats, plans: &Plans, view: &dyn View, plan: &Plan) -> Result<bool, ReadError> {
    let done = match plan.stage {
        Stage::Beginning => {
            clear::other(plans, view, plan.reads.other()).await?;
            plans.cleared().await
        }
        Stage::Dropping => {
            clear::other(plans, view, plan.reads.other()).await?;
            dismiss(nats, &view.consumer_of(Role::Other)).await?;
            plans.dropped().await
        }
        Stage::Alone | Stage::Building | Stage::Ready => return Ok(false),
    };
    match done {
        // Somebody else was quicker.
        Ok(()) | Err(PlanError::Refused(_)) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

impl Reading<'_> {
    /// Does what the plan wants next, and says how far may be read until then. A colour that is being
    /// built stays behind the one that people read, so that it meets it at its mark.
    pub(super) async fn attend(&mut self) -> Result<u64, ReadError> {
        match self.plan.stage {
            Stage::Building => {
                let (plan, read, _) = self.plans.read().await?;
                let mark = read.map_or(0, |place| place.seq);
                self.plan = plan;
                if self.place.seq == mark && self.compare().await? {
                    self.look_around().await?;
                }
                Ok(mark)
            }
            Stage::Ready if self.plan.swap => match self.plans.swap(self.plan.reads.other()).await {
                Ok(()) => {
                    tracing::info!(view = self.view.name(), "people read the version that was built");
                    Err(ReadError::Moved)
                }
                // Not as far as the one that is read, or no longer wanted.
                Err(PlanError::Refused(_)) => Ok(u64::MAX),
                Err(error) => Err(error.into()),
            },
            _ => Ok(u64::MAX),
        }
    }

    /// Compares, if both stand at one mark at this moment. True when the last word is said.
    async fn compare(&mut self) -> Result<bool, ReadError> {
        let moment = self.plans.store.snapshot().await?;
        let found = self.look_at(&moment).await;
        moment.end().await?;
        let Some(doubts) = found? else { return Ok(false) };
        if doubts.found.is_doubtful() && doubts.looks < LOOKS {
            self.doubts = Some(doubts);
            // Until what an owner has just changed has come as an event.
            tokio::time::sleep(LOOK_EVERY).await;
            return Ok(false);
        }
        let compared = doubts.found.finish(self.place.seq);
        match self.plans.compared(self.place.build, &compared).await {
            Ok(()) => {}
            Err(PlanError::Refused(_)) => return Err(ReadError::Moved),
            Err(error) => return Err(error.into()),
        }
        tracing::info!(
            view = self.view.name(),
            mark = compared.mark,
            rows = compared.other_rows,
            missing = compared.missing,
            extra = compared.extra,
            differing = compared.differing,
            "the next version of the view is built and compared"
        );
        Ok(true)
    }

    async fn look_at(&mut self, moment: &Snapshot) -> Result<Option<Doubts>, ReadError> {
        let reads = self.plan.reads;
        let mut marks = Vec::new();
        for colour in [reads, reads.other()] {
            let text = "SELECT VALUE seq FROM ONLY $id";
            let mark = moment.field(&colour.mark(self.view.name()), text).await?;
            marks.push(mark.and_then(|mark| mark.as_u64()).unwrap_or_default());
        }
        if marks[0] != marks[1] {
            return Ok(None);
        }
        Ok(Some(match self.doubts.take() {
            None => Doubts {
                looks: 1,
                found: compare::everything(moment, self.view, reads).await?,
            },
            Some(doubts) => Doubts {
                looks: doubts.looks + 1,
                found: compare::again(moment, doubts.found, reads).await?,
            },
        }))
    }
}
