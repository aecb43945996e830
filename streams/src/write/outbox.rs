//! From the outbox to EVENTS, in the order of versions.
//!
//! There is no relay that everything goes through: whoever commits publishes all unpublished events of
//! that aggregate, oldest first, each awaited before the next. So per aggregate the stream's order is
//! the versions' order, always. The sweeper does the same for what a crash left lying.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::clear::{Cleared, Clearing, Told};
use super::company::Company;
use super::transact::Pending;
use crate::leases::Leases;
use crate::publish::{Outgoing, PublishError, Publisher};
use crate::store::{Key, Part, Store, StoreError};

/// How often the sweeper looks. What it finds twice in a row is nobody else's work any more.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// The most rows of one look.
const SWEEP_MOST: i64 = 500;

/// Carries events from the database to the stream.
#[derive(Clone)]
pub struct Outbox {
    store: Store,
    events: Publisher,
    /// By database.
    clearings: Arc<BTreeMap<&'static str, Company<Clearing>>>,
    out: Out,
}

/// Where events lie that this process has published and not cleared yet, by their ids: the next command of the same
/// aggregate finds their rows, and need not publish them again.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<HashMap<Uuid, u64>>>);

impl Out {
    // A panic while it is held leaves a whole map behind.
    fn events(&self) -> MutexGuard<'_, HashMap<Uuid, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events of one aggregate that are in the stream, and to be cleared.
pub struct Carried<'a> {
    pending: &'a [Pending],
    sequences: HashMap<Uuid, u64>,
    out: Out,
}

impl Carried<'_> {
    /// Where the last event of a command lies, if it is among them.
    #[must_use]
    pub fn last_of(&self, command: Uuid) -> Option<u64> {
        self.sequences.get(&command).copied()
    }
}

impl Drop for Carried<'_> {
    /// Cleared or not: what is left over is the sweeper's, who may be in another process.
    fn drop(&mut self) {
        let mut events = self.out.events();
        for row in self.pending {
            events.remove(&row.envelope.id);
        }
    }
}

impl Outbox {
    /// An outbox that publishes through `events`.
    #[must_use]
    pub fn new(store: Store, events: Publisher) -> Self {
        let company = |room: Store| (room.name(), Company::new(Clearing { store: room }));
        let clearings = Arc::new(store.each().map(company).collect());
        Self {
            store,
            events,
            clearings,
            out: Out::default(),
        }
    }

    /// Publishes the pending events of one aggregate in order.
    ///
    /// # Errors
    /// When an event is not known to be stored; the ones before it are.
    pub async fn publish<'a>(&self, pending: &'a [Pending]) -> Result<Carried<'a>, PublishError> {
        let mut carried = Carried {
            pending,
            sequences: HashMap::new(),
            out: self.out.clone(),
        };
        for row in pending {
            let seq = self.publish_one(row).await?;
            carried
                .sequences
                .insert(row.envelope.causation.unwrap_or_default(), seq);
        }
        Ok(carried)
    }

    async fn publish_one(&self, row: &Pending) -> Result<u64, PublishError> {
        let known = self.out.events().get(&row.envelope.id).copied();
        if let Some(seq) = known {
            return Ok(seq);
        }
        let message = Outgoing::new(&row.subject, &row.envelope, row.body.clone().into(), false);
        let seq = self.events.publish(message).await?.seq;
        self.out.events().insert(row.envelope.id, seq);
        Ok(seq)
    }

    /// Deletes what was published, and notes in each command's inbox row where its last event lies:
    /// the token for who asks later.
    ///
    /// # Errors
    /// When the database does not answer; the sweeper will try again.
    pub async fn clear(&self, carried: Carried<'_>) -> Result<(), Arc<StoreError>> {
        let pending = carried.pending;
        let Some(first) = pending.first() else { return Ok(()) };
        // They are of one aggregate.
        let Some(clearing) = self.clearings.get(self.store.name_of(&first.key.0)) else {
            return Ok(());
        };
        let told = |row: &Pending| {
            let command = row.envelope.causation?;
            Some(Told {
                inbox: Key::new("inbox", [row.key.0.as_str().into(), command.into()]).record(),
                seq: i64::try_from(carried.last_of(command)?).ok()?,
            })
        };
        let what = Cleared {
            published: pending.iter().map(|row| key(row).record()).collect(),
            told: pending.iter().filter_map(told).collect(),
        };
        let stopped = || Arc::new(StoreError::Commit("whoever cleared for several was stopped".to_owned()));
        clearing.join(Arc::new(what)).await.unwrap_or_else(|| Err(stopped()))
    }

    /// Publishes what a crash left lying, until told to stop. One process of all does; should two do it for
    /// a moment, what both publish falls to the dedupe window and to versions.
    pub async fn sweep(self, leases: Leases, stop: CancellationToken) {
        while let Some(lease) = leases.wait("outbox", &stop).await {
            tokio::select! {
                () = self.sweep_on() => {}
                () = lease.lost() => tracing::warn!("somebody else may sweep the outbox now"),
                () = stop.cancelled() => lease.free().await,
            }
        }
    }

    /// Each database by itself, so that one that is away holds up no other.
    async fn sweep_on(&self) {
        join_all(self.store.each().map(|room| self.sweep_room(room))).await;
    }

    async fn sweep_room(&self, room: Store) {
        let (database, mut seen) = (room.name(), HashSet::new());
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            match self.sweep_once(&room, &mut seen).await {
                Ok(0) => {}
                Ok(swept) => tracing::info!(database, events = swept, "published what was left in the outbox"),
                Err(error) => tracing::warn!(database, %error, "the outbox could not be swept"),
            }
        }
    }

    async fn sweep_once(&self, room: &Store, seen: &mut HashSet<Uuid>) -> Result<usize, SweepError> {
        let rows = everything(room).await?;
        metrics::gauge!("maru_outbox_rows", "database" => room.name()).set(rows.len() as f64);
        let left: Vec<Pending> = rows
            .iter()
            .filter(|row| seen.contains(&row.envelope.id))
            .cloned()
            .collect();
        *seen = rows.iter().map(|row| row.envelope.id).collect();
        // The rows come in the order of their keys, so those of one aggregate stand together.
        let mut carried = Vec::new();
        let mut swept = Ok(left.len());
        for aggregate in left.chunk_by(|a, b| (&a.key.0, a.key.1) == (&b.key.0, b.key.1)) {
            match self.publish(aggregate).await {
                Ok(one) => carried.push(self.clear(one)),
                Err(error) => {
                    swept = Err(error.into());
                    break;
                }
            }
        }
        // Together, for who is alone rests in between; and also if one could not be published, or those before it
        // would be published again with every sweep.
        for cleared in join_all(carried).await {
            cleared?;
        }
        swept
    }
}

async fn everything(room: &Store) -> Result<Vec<Pending>, StoreError> {
    let mut rows = room
        .db()
        .query(
            "SELECT VALUE { key: record::id(id), subject: subject, envelope: envelope, body: body }
             FROM outbox LIMIT $most",
        )
        .bind(("most", SWEEP_MOST))
        .await?;
    let rows: Vec<serde_json::Value> = rows.take(0)?;
    rows.into_iter()
        .map(|row| serde_json::from_value(row).map_err(StoreError::Row))
        .collect()
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Clear(#[from] Arc<StoreError>),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

fn key(row: &Pending) -> Key {
    let (context, aggregate, version) = &row.key;
    Key::new(
        "outbox",
        [
            context.as_str().into(),
            (*aggregate).into(),
            Part::Number(i64::try_from(*version).unwrap_or(i64::MAX)),
        ],
    )
}
