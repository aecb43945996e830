//! What members may have done for them by the lanes that cost money, and the jobs that wait until somebody
//! tops a budget up. Nothing fails for want of a budget: such a job lies aside under
//! `held.<kind>.<member>.…` and is let go when there is something to spend again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::leases::Leases;
use crate::nats::Nats;
use crate::publish::{Outgoing, PublishError, Publisher};
use crate::store::{Key, Part, Store, StoreError, Tx, retry, retry_collisions};
use crate::topology::{JOBS, TopologyError};

/// How often held jobs are looked at that somebody should have let go.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often they are counted.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// A member's budget in one kind of job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The kind of job.
    pub kind: String,
    /// Whose.
    pub member: Uuid,
    /// How many runs they may have.
    pub cap: i64,
    /// How many they had.
    pub spent: i64,
    /// How many jobs of theirs lie aside.
    pub waiting: u64,
}

/// Why a budget could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream of jobs.
    #[error(transparent)]
    Stream(#[from] TopologyError),
    /// A job could not be let go; it still lies aside.
    #[error("let a job go")]
    Publish(#[from] PublishError),
}

fn unread(why: &dyn std::fmt::Display) -> TopologyError {
    TopologyError::new("read the jobs that lie aside", why)
}

/// The budgets of an installation.
#[derive(Clone)]
pub struct Budgets {
    nats: Nats,
    store: Store,
    jobs: Publisher,
}

#[derive(Deserialize)]
struct Row {
    key: (String, Uuid),
    cap: i64,
    spent: i64,
}

impl Budgets {
    /// Budgets in this database, for jobs that go through this publisher.
    #[must_use]
    pub const fn new(nats: Nats, store: Store, jobs: Publisher) -> Self {
        Self { nats, store, jobs }
    }

    /// Every budget there is. Whoever has none may spend without limit.
    ///
    /// # Errors
    /// When database or stream do not answer.
    pub async fn list(&self) -> Result<Vec<Budget>, BudgetError> {
        let mut rows = self
            .store
            .db()
            .query("SELECT VALUE { key: record::id(id), cap: cap, spent: spent } FROM budget")
            .await
            .map_err(StoreError::from)?;
        let rows: Vec<serde_json::Value> = rows.take(0).map_err(StoreError::from)?;
        let mut budgets = Vec::new();
        for row in rows {
            let Row { key, cap, spent } = serde_json::from_value(row).map_err(StoreError::Row)?;
            let kind = key.0.trim_start_matches("job-").to_owned();
            let waiting = self.held(&kind, key.1).await?.len() as u64;
            budgets.push(Budget {
                kind,
                member: key.1,
                cap,
                spent,
                waiting,
            });
        }
        Ok(budgets)
    }

    /// Gives a member so many runs of a kind altogether (`add`: so many more), and lets go what that pays
    /// for. Returns how many were let go.
    ///
    /// # Errors
    /// When database or stream do not answer; asking again is right, for a cap, and adds again, for more.
    pub async fn set(&self, kind: &str, member: Uuid, runs: i64, add: bool) -> Result<usize, BudgetError> {
        let cap = if add { "(cap ?? 0) + $runs" } else { "$runs" };
        let text = format!("UPSERT $id SET cap = {cap}, spent = spent ?? 0 RETURN NONE");
        let run = || {
            self.store
                .db()
                .query(text.clone())
                .bind(("id", key(kind, member).record()))
                .bind(("runs", runs))
                .into_future()
        };
        // So many more, asked for twice, would be twice as many.
        let written = if add {
            retry_collisions(run).await?
        } else {
            retry(run).await?
        };
        match written {
            Tx::Done(_) => self.let_go(kind, member).await,
            other => Err(StoreError::from(other).into()),
        }
    }

    /// Lets everything go that can be paid for, until told to stop: what was set aside at the very moment
    /// of a top-up, or by a process that died.
    pub async fn sweep(self, leases: Leases, stop: CancellationToken) {
        let Some(_only) = leases.wait("budgets", &stop).await else {
            return;
        };
        while stop
            .run_until_cancelled(tokio::time::sleep(SWEEP_EVERY))
            .await
            .is_some()
        {
            if let Err(error) = self.sweep_once().await {
                tracing::warn!(%error, "jobs that lie aside could not be looked at");
            }
        }
    }

    /// Exports how many jobs of each of these kinds lie aside, until told to stop.
    pub async fn count(self, kinds: Vec<&'static str>, stop: CancellationToken) {
        loop {
            match self.aside().await {
                Ok(aside) => {
                    for kind in &kinds {
                        let held = aside.get(*kind).copied().unwrap_or_default();
                        metrics::gauge!("maru_lane_held_jobs", "lane" => format!("job-{kind}")).set(held as f64);
                    }
                }
                Err(error) => tracing::debug!(%error, "jobs that lie aside could not be counted"),
            }
            if stop
                .run_until_cancelled(tokio::time::sleep(COUNT_EVERY))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// How many jobs lie aside, by kind.
    async fn aside(&self) -> Result<BTreeMap<String, usize>, BudgetError> {
        let stream = self.stream().await?;
        let subjects = stream.info_with_subjects("held.>").await;
        let mut subjects = subjects.map_err(|error| unread(&error))?;
        let mut aside = BTreeMap::new();
        while let Some((subject, messages)) = subjects.try_next().await.map_err(|error| unread(&error))? {
            if let Some(kind) = subject.split('.').nth(1) {
                *aside.entry(kind.to_owned()).or_default() += messages;
            }
        }
        Ok(aside)
    }

    async fn sweep_once(&self) -> Result<(), BudgetError> {
        let mut whose = BTreeSet::new();
        for (_, subject) in self.subjects("held.>").await? {
            if let ["held", kind, member, ..] = subject.split('.').collect::<Vec<_>>()[..]
                && let Ok(member) = Uuid::parse_str(member)
            {
                whose.insert((kind.to_owned(), member));
            }
        }
        for (kind, member) in whose {
            self.let_go(&kind, member).await?;
        }
        Ok(())
    }

    /// As many of a member's jobs as their budget pays for, the oldest first.
    async fn let_go(&self, kind: &str, member: Uuid) -> Result<usize, BudgetError> {
        let left = self.left(kind, member).await?;
        let stream = self.stream().await?;
        let mut gone = 0;
        for (seq, subject) in self.held(kind, member).await?.into_iter().take(left) {
            let message = match stream.direct_get(seq).await {
                Ok(message) => message,
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => continue,
                Err(error) => return Err(unread(&error).into()),
            };
            let Some(id) = subject.split('.').nth(4) else { continue };
            let headers = crate::jobs::carried(&message.headers);
            self.jobs
                .publish(Outgoing {
                    // Its own subject, because it may have waited at the back before.
                    subject: format!("late.{kind}.v1.{id}.{seq}"),
                    headers,
                    body: message.payload,
                    expects: Some(0),
                })
                .await?;
            stream.purge().filter(&subject).await.map_err(|error| unread(&error))?;
            gone += 1;
        }
        Ok(gone)
    }

    async fn left(&self, kind: &str, member: Uuid) -> Result<usize, BudgetError> {
        let mut rows = self
            .store
            .db()
            .query("SELECT VALUE cap - spent FROM ONLY $id")
            .bind(("id", key(kind, member).record()))
            .await
            .map_err(StoreError::from)?;
        let left: Option<i64> = rows.take(0).map_err(StoreError::from)?;
        // Without a budget there is no limit.
        Ok(left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or_default()))
    }

    async fn stream(&self) -> Result<Stream<()>, BudgetError> {
        let stream = self.nats.jetstream().get_stream_no_info(JOBS).await;
        stream.map_err(|error| unread(&error).into())
    }

    /// Where a member's jobs of a kind lie aside, the oldest first.
    async fn held(&self, kind: &str, member: Uuid) -> Result<Vec<(u64, String)>, BudgetError> {
        self.subjects(&format!("held.{kind}.{member}.>")).await
    }

    async fn subjects(&self, filter: &str) -> Result<Vec<(u64, String)>, BudgetError> {
        let stream = self.stream().await?;
        let subjects = stream
            .info_with_subjects(filter)
            .await
            .map_err(|error| unread(&error))?;
        let subjects: Vec<(String, usize)> = subjects.try_collect().await.map_err(|error| unread(&error))?;
        let mut found = Vec::new();
        for (subject, _) in subjects {
            match stream.direct_get_last_for_subject(&subject).await {
                Ok(message) => found.push((message.sequence, subject)),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => {}
                Err(error) => return Err(unread(&error).into()),
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

fn key(kind: &str, member: Uuid) -> Key {
    Key::new(
        "budget",
        [Part::from(format!("job-{kind}").as_str()), Part::from(member)],
    )
}
