//! Telling that a batch is settled, and looking after those of which nobody was told yet.

use std::time::Duration;

use maru_schemas::envelope::Envelope;
use maru_schemas::ids;
use surrealdb::types::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::rows::{batch_key, open_key};
use super::{Batches, Callback, done};
use crate::letters::{LetterError, Letters};
use crate::publish::{Outgoing, PublishError};
use crate::store::{StoreError, range, retry};
use crate::subject::{Subject, kind_of};

/// For so long whoever looks after a batch is let alone with it; they say that they still do.
pub(super) const CLAIM: Duration = Duration::from_secs(15);
/// How often open batches are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why a batch could not be brought further. Trying again is right.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The callback is not known to be stored.
    #[error("send the callback of a batch")]
    Publish(#[from] PublishError),
    /// The letters of a replay could not be looked at.
    #[error(transparent)]
    Letters(#[from] LetterError),
}

impl Batches {
    /// Sends the callback of a batch that is settled. Nothing if it is not, or was told.
    pub(super) async fn tell(&self, id: Uuid) -> Result<(), TellError> {
        let Some(batch) = self.get(id).await? else {
            return Ok(self.close(id).await?);
        };
        let Some(finished) = batch.finished else { return Ok(()) };
        let Callback { kind, body } = &batch.callback;
        let callback = ids::derive(id, "callback");
        let envelope = Envelope {
            causation: Some(id),
            correlation: id,
            ..Envelope::of_the_house(callback, kind_of("job", kind), finished)
        };
        let at = Subject::Job { kind, id: callback };
        let message = Outgoing::new(at, &envelope, body.clone().into(), true);
        self.jobs.publish(message).await?;
        self.close(id).await?;
        let [done, refused, dead, skipped] = batch.counts;
        tracing::info!(batch = %id, what = batch.what, done, refused, dead, skipped, "a batch is settled");
        metrics::counter!("maru_batches_settled_total", "what" => batch.what).increment(1);
        Ok(())
    }

    /// Nobody needs to look after it any more.
    async fn close(&self, id: Uuid) -> Result<(), StoreError> {
        self.store.delete(&[open_key(id)]).await
    }

    /// Counts what nobody will ever tell about as skipped, so that the batch comes to its end.
    pub(crate) async fn give_the_rest_up(&self, id: Uuid) -> Result<(), StoreError> {
        const TEXT: &str = "{
            UPDATE $batch SET skipped = total - done - refused - dead, finished = $now
                WHERE finished = NONE RETURN NONE;
            RETURN NONE;
        }";
        let run = || {
            self.store
                .db()
                .query(TEXT)
                .bind(("batch", batch_key(id).record()))
                .bind(("now", self.clock.now().to_string()))
                .into_future()
        };
        done(retry(run).await?).map(|_| ())
    }

    /// Says that somebody looks after a batch, so that nobody else does for this long.
    pub(crate) async fn claim(&self, id: Uuid, rest: Duration) -> Result<(), StoreError> {
        let run = || {
            self.store
                .db()
                .query("{ UPDATE $open SET due = time::now() + $rest RETURN NONE; RETURN NONE; }")
                .bind(("open", open_key(id).record()))
                .bind(("rest", surrealdb::types::Duration::from(rest)))
                .into_future()
        };
        done(retry(run).await?).map(|_| ())
    }

    /// As long as whoever looks after a batch needs between two words that they do.
    pub(crate) async fn still_here(&self, id: Uuid) -> Result<(), StoreError> {
        self.claim(id, CLAIM).await
    }

    /// The open batches that nobody looks after: they are ours from now on, for a while.
    async fn due(&self) -> Result<Vec<Uuid>, StoreError> {
        const TEXT: &str = "{
            LET $due = (SELECT VALUE id FROM $all WHERE due <= time::now());
            IF array::len($due) = 0 { RETURN [] };
            RETURN (UPDATE $due SET due = time::now() + $rest WHERE due <= time::now() RETURN VALUE record::id(id)[0]);
        }";
        let run = || {
            self.store
                .db()
                .query(TEXT)
                .bind(("all", range("batch_open", &[], &[])))
                .bind(("rest", surrealdb::types::Duration::from(CLAIM)))
                .into_future()
        };
        match done(retry(run).await?)? {
            Value::None => Ok(Vec::new()),
            ids => serde_json::from_value(ids.into_json_value()).map_err(StoreError::Row),
        }
    }

    /// Looks once after every batch that nobody looks after.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn look_after(&self, letters: &Letters, lanes: &[String]) -> Result<(), StoreError> {
        for id in self.due().await? {
            let looked = async {
                let rest = letters.carry_on(id, lanes).await?;
                self.tell(id).await?;
                Ok::<_, TellError>(rest)
            };
            match looked.await {
                Ok(rest) => self.claim(id, rest).await?,
                Err(error) => tracing::warn!(batch = %id, %error, "a batch could not be brought further"),
            }
        }
        Ok(())
    }
}

/// Looks after open batches until told to stop: hands over what a process that died had not, and tells what
/// nobody was told. Several processes may; each batch is looked after by one at a time. `lanes`: those of this
/// build.
pub async fn sweep(letters: Letters, lanes: Vec<String>, stop: CancellationToken) {
    let batches = letters.batches().clone();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        if let Some(Err(error)) = stop.run_until_cancelled(batches.look_after(&letters, &lanes)).await {
            tracing::debug!(%error, "open batches could not be looked for");
        }
    }
}
