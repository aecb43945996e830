//! What the folds of a batch will ask the database for is found out beforehand, and read together: of the next batch
//! already while this one is committed. The database writes one batch with one processor; a reader that is far behind
//! would otherwise leave the others idle meanwhile.

use super::batch::{Event, What};
use super::reader::{BATCH, ReadError, Reading};
use super::rows::FoldError;

/// From how many events on their rows are gathered; fewer are quicker read one by one.
const MANY: usize = 16;
/// How often rows are gathered, at most; what is still missing then is read one by one.
const ROUNDS: usize = 5;

/// A batch whose folds have their rows at hand.
pub(super) struct Prepared {
    pub(super) batch: Vec<Event>,
    /// Whether it is folded by that: what it changes is written down already.
    pub(super) is_folded: bool,
}

impl Reading<'_> {
    /// Takes the next batch out and prepares it, if half of one has come. Only then: who has caught up is to fold what
    /// comes as soon as it comes, and read their owners' rows no earlier.
    pub(super) async fn look_ahead(&mut self, upto: Option<u64>) -> Result<Option<Prepared>, ReadError> {
        let Some(upto) = upto else { return Ok(None) };
        self.ask().await?;
        self.take_what_has_come()?;
        if self.came.len() < BATCH / 2 {
            return Ok(None);
        }
        let batch = self.batch(upto)?;
        if batch.is_empty() {
            return Ok(None);
        }
        let is_folded = self.prepare(&batch).await?;
        Ok(Some(Prepared { batch, is_folded }))
    }

    /// Has the rows at hand that the folds of a batch need. True if it is folded by that.
    pub(super) async fn prepare(&mut self, batch: &[Event]) -> Result<bool, ReadError> {
        self.rows.begin();
        match batch {
            [first, ..] if batch.len() >= MANY => {
                let warmed = self.warm(batch).await;
                warmed.map_err(|source| ReadError::Fold { seq: first.seq, source })
            }
            _ => Ok(false),
        }
    }

    /// Finds out which rows they need, and reads them together. What is missing at first decides what is asked for
    /// next, so it takes a few rounds. A round in which nothing was missing and nothing failed has folded the batch.
    async fn warm(&mut self, batch: &[Event]) -> Result<bool, FoldError> {
        for _ in 0..ROUNDS {
            self.rows.gather();
            let mut is_folded = true;
            for event in batch {
                is_folded &= match &event.what {
                    What::NotOurs => true,
                    What::Unreadable => false,
                    // What fails here, and not for want of a row, fails again when it is folded for good.
                    What::Ours(event) => self.fold_one(event).await.is_ok(),
                };
            }
            if self.rows.is_nothing_missing() {
                if !is_folded {
                    self.rows.undo();
                }
                return Ok(is_folded);
            }
            self.rows.read_gathered().await?;
        }
        Ok(false)
    }
}
