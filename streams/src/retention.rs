//! Takes away from the database what the machinery itself no longer needs: what became of commands that
//! have left COMMANDS, calls to the outside that were made long ago, counts of failures, batches.
//!
//! It goes through each table in the order of its keys, a page at a time, and remembers how far it came; a
//! walk that was broken off goes on there. There is no index by time: it would cost a further row with each
//! command, and a row that is kept for two days is met by two daily walks. What is deleted, and how far the
//! walk has come, are one transaction, under the fence of the lease. Where a context has a database of its own, its
//! part of the inbox is gone through there, with a lease and a place of its own: one transaction is in one database.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use surrealdb::types::RecordId;
use uuid::Uuid;

use crate::intention::Clock;
use crate::leases::{FENCED, Lease, Leases};
use crate::nats::Nats;
use crate::store::{Key, Part, Store, StoreError, Tx, range, retry};
use crate::topology::TopologyError;
use crate::write::inbox;

/// The rows of one page.
const PAGE: i64 = 500;
/// Others want to use the database too.
const PAUSE: Duration = Duration::from_millis(20);
/// How many commands are looked for at once.
const LOOKS: usize = 32;
/// Longer than anybody leaves a letter undecided, hopefully; a call that was done is then forgotten.
const LEDGER: Duration = Duration::from_secs(30 * 24 * 3600);

/// A table with rows that grow old.
struct Aging {
    table: &'static str,
    /// Takes away `$old`; what was written again meanwhile, or says "maybe", stays.
    delete: &'static str,
}

const INBOX: Aging = Aging {
    table: "inbox",
    delete: "DELETE $old RETURN NONE;",
};
const ATTEMPTS: Aging = Aging {
    table: "attempts",
    delete: "DELETE $old WHERE at < $before RETURN NONE; UPDATE $ageless SET at = time::now() RETURN NONE;",
};
const EFFECT: Aging = Aging {
    table: "effect",
    delete: "DELETE $old WHERE at < $before AND status != 'begun' RETURN NONE;
             UPDATE $ageless SET at = time::now() RETURN NONE;",
};
const BATCH: Aging = Aging {
    table: "batch",
    delete: "DELETE $old WHERE at < $before AND finished != NONE RETURN NONE;",
};
const BATCH_ITEM: Aging = Aging {
    table: "batch_item",
    delete: "DELETE $old WHERE at < $before RETURN NONE;",
};

/// Forgets.
#[derive(Clone)]
pub struct Retention {
    nats: Nats,
    store: Store,
    leases: Leases,
    clock: Clock,
    horizon: Duration,
}

/// Why a walk was broken off; the next one goes on there.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The streams did not.
    #[error(transparent)]
    Streams(#[from] TopologyError),
    /// Somebody else does it now.
    #[error("the lease is lost")]
    Lost,
}

#[derive(Deserialize)]
struct Row {
    key: Vec<Part>,
    at: Option<Timestamp>,
}

impl Retention {
    /// For this database, whose commands are kept for the horizon in these streams.
    #[must_use]
    pub const fn new(nats: Nats, store: Store, leases: Leases, clock: Clock, horizon: Duration) -> Self {
        Self {
            nats,
            store,
            leases,
            clock,
            horizon,
        }
    }

    /// Goes through all tables once, and returns how many rows were looked at. Nothing if somebody else is
    /// at it.
    ///
    /// # Errors
    /// When a server does not answer, or the lease was lost.
    pub async fn walk(&self) -> Result<u64, RetentionError> {
        let (mut rows, mut failed) = (0, None);
        for (nth, room) in self.store.each().enumerate() {
            let walk = Self {
                leases: match nth {
                    0 => self.leases.clone(),
                    _ => Leases::new(room.clone()),
                },
                store: room,
                ..self.clone()
            };
            let tables: &[(&Aging, Duration)] = match nth {
                0 => &[
                    (&INBOX, self.horizon.saturating_mul(2)),
                    (&ATTEMPTS, LEDGER),
                    (&EFFECT, LEDGER),
                    (&BATCH, LEDGER),
                    (&BATCH_ITEM, LEDGER),
                ],
                _ => &[(&INBOX, self.horizon.saturating_mul(2))],
            };
            // One that is away keeps the others from nothing.
            match walk.tables(tables).await {
                Ok(met) => rows += met,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(rows), Err)
    }

    /// Goes through these tables of one database.
    async fn tables(&self, tables: &[(&Aging, Duration)]) -> Result<u64, RetentionError> {
        let Some(lease) = self.leases.take("retention").await? else {
            return Ok(0);
        };
        let mut rows = 0;
        for (aging, keep) in tables {
            rows += self.table(&lease, aging, *keep).await?;
        }
        lease.free().await;
        Ok(rows)
    }

    async fn table(&self, lease: &Lease, aging: &Aging, keep: Duration) -> Result<u64, RetentionError> {
        let before = SignedDuration::try_from(keep)
            .ok()
            .and_then(|keep| self.clock.now().checked_sub(keep).ok())
            .unwrap_or(Timestamp::MIN);
        let mut after = self.came_to(aging.table).await?;
        let mut met = 0;
        loop {
            if !lease.is_held() {
                return Err(RetentionError::Lost);
            }
            let page = self.page(aging.table, &after).await?;
            let is_last = i64::try_from(page.len()).unwrap_or(i64::MAX) < PAGE;
            met += page.len() as u64;
            // The next walk begins at the beginning.
            after = page
                .last()
                .filter(|_| !is_last)
                .map(|row| row.key.clone())
                .unwrap_or_default();
            let (aged, ageless): (Vec<Row>, Vec<Row>) = page.into_iter().partition(|row| row.at.is_some());
            let mut old: Vec<Row> = aged
                .into_iter()
                .filter(|row| row.at.is_some_and(|at| at < before))
                .collect();
            if aging.table == INBOX.table {
                let kept = self.still_in_commands(&old).await?;
                old.retain(|row| !kept.contains(&row.key));
            }
            self.take_away(lease, aging, &old, &ageless, before, &after).await?;
            if is_last {
                return Ok(met);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn came_to(&self, table: &'static str) -> Result<Vec<Part>, StoreError> {
        let mut rows = self
            .store
            .db()
            .query("SELECT VALUE { after: after } FROM ONLY $walk")
            .bind(("walk", Key::new("walk", [Part::from(table)]).record()))
            .await?;
        let row: Option<serde_json::Value> = rows.take(0)?;
        row.map_or_else(
            || Ok(Vec::new()),
            |mut row| serde_json::from_value(row["after"].take()).map_err(StoreError::Row),
        )
    }

    async fn page(&self, table: &'static str, after: &[Part]) -> Result<Vec<Row>, StoreError> {
        let mut rows = self
            .store
            .db()
            .query("SELECT VALUE { key: record::id(id), at: at } FROM array::first([$range]) LIMIT $page")
            .bind(("range", range(table, &[], after)))
            .bind(("page", PAGE))
            .await?;
        let rows: Vec<serde_json::Value> = rows.take(0)?;
        rows.into_iter()
            .map(|row| serde_json::from_value(row).map_err(StoreError::Row))
            .collect()
    }

    /// Commands that could still be delivered again: their inbox rows are what keeps them from taking
    /// effect twice, however old they are.
    async fn still_in_commands(&self, old: &[Row]) -> Result<HashSet<Vec<Part>>, TopologyError> {
        let mut kept = HashSet::new();
        for some in old.chunks(LOOKS) {
            let looks = some.iter().map(|row| self.is_in_commands(&row.key));
            let are_there = futures_util::future::try_join_all(looks).await?;
            let there = some.iter().zip(are_there).filter(|(_, is_there)| *is_there);
            kept.extend(there.map(|(row, _)| row.key.clone()));
        }
        Ok(kept)
    }

    async fn is_in_commands(&self, key: &[Part]) -> Result<bool, TopologyError> {
        match key {
            [_, Part::Text(id)] => match Uuid::parse_str(id) {
                Ok(id) => Ok(inbox::sent(&self.nats, id).await?.is_some()),
                Err(_) => Ok(true),
            },
            _ => Ok(true),
        }
    }

    async fn take_away(
        &self,
        lease: &Lease,
        aging: &Aging,
        old: &[Row],
        ageless: &[Row],
        before: Timestamp,
        after: &[Part],
    ) -> Result<(), RetentionError> {
        let ids = |rows: &[Row]| -> Vec<RecordId> {
            let keys = rows.iter().map(|row| Key::new(aging.table, row.key.clone()));
            keys.map(|key| key.record()).collect()
        };
        let (old, ageless) = (ids(old), ids(ageless));
        let before: Option<surrealdb::types::Datetime> = before.to_string().parse().ok();
        let text = format!(
            "{{ {FENCED} {} UPSERT $walk CONTENT {{ after: $after }} RETURN NONE; RETURN NONE; }}",
            aging.delete
        );
        let run = || {
            self.store
                .db()
                .query(&text)
                .bind(("lease", lease.fence()))
                .bind(("old", old.clone()))
                .bind(("ageless", ageless.clone()))
                .bind(("before", before))
                .bind(("walk", Key::new("walk", [Part::from(aging.table)]).record()))
                .bind(("after", serde_json::json!(after)))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(_) => {
                metrics::counter!("maru_forgotten_rows_total", "table" => aging.table).increment(old.len() as u64);
                Ok(())
            }
            Tx::Refused(_) => Err(RetentionError::Lost),
            other => Err(StoreError::from(other).into()),
        }
    }
}
