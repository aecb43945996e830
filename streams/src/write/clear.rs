//! Clearing the outbox, in groups by arrival: while one group is being committed, whoever comes meanwhile
//! gathers for the next. A commit of forty costs little more than a commit of one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use surrealdb::types::{RecordId, SurrealValue};
use tokio::sync::Mutex as Turn;
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::store::{Store, StoreError, Tx, retry};

/// The most commands of one commit.
const MOST: usize = 64;

/// Published rows go, and each command's inbox row learns where its last event lies.
const CLEAR: &str = "{
    DELETE $published RETURN NONE;
    FOR $one IN $told { UPDATE $one.inbox SET outcome.seq = $one.seq RETURN NONE };
    RETURN NONE;
}";

/// What one command left in the outbox.
#[derive(Debug, Default)]
pub(super) struct Cleared {
    /// Its rows.
    pub(super) published: Vec<RecordId>,
    /// What inbox rows learn.
    pub(super) told: Vec<Told>,
}

/// Where the last event of a command lies.
#[derive(Debug, Clone, SurrealValue)]
pub(super) struct Told {
    pub(super) inbox: RecordId,
    pub(super) seq: i64,
}

struct Waiting {
    what: Cleared,
    done: oneshot::Sender<Result<(), Arc<StoreError>>>,
}

/// Whoever clears, clears for all who wait.
#[derive(Clone)]
pub(super) struct Clearing {
    store: Store,
    waiting: Arc<Mutex<Vec<Waiting>>>,
    turn: Arc<Turn<()>>,
}

impl Clearing {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            waiting: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Clears this, in company if there is any.
    pub(super) async fn clear(&self, what: Cleared) -> Result<(), Arc<StoreError>> {
        let (done, mut told) = oneshot::channel();
        self.queue().push(Waiting { what, done });
        let _turn = self.turn.lock().await;
        loop {
            match told.try_recv() {
                Ok(outcome) => return outcome,
                Err(TryRecvError::Empty) => self.clear_group().await,
                Err(TryRecvError::Closed) => {
                    let why = "whoever cleared for several was stopped".to_owned();
                    return Err(Arc::new(StoreError::Commit(why)));
                }
            }
        }
    }

    // A panic while it is held leaves a whole list behind.
    fn queue(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn clear_group(&self) {
        let mut group = {
            let mut queue = self.queue();
            let most = queue.len().min(MOST);
            Group {
                waiting: queue.drain(..most).collect(),
                clearing: self,
            }
        };
        let published = group.rows(|what| &what.published);
        let told = group.rows(|what| &what.told);
        let outcome = self.commit(published, told).await.map_err(Arc::new);
        for waiting in group.waiting.drain(..) {
            // Who was stopped meanwhile does not ask any more.
            let _ = waiting.done.send(outcome.clone());
        }
    }

    async fn commit(&self, published: Vec<RecordId>, told: Vec<Told>) -> Result<(), StoreError> {
        let run = || {
            self.store
                .db()
                .query(CLEAR)
                .bind(("published", published.clone()))
                .bind(("told", told.clone()))
                .into_future()
        };
        match retry(run).await? {
            Tx::Done(_) => Ok(()),
            other => Err(other.into()),
        }
    }
}

/// Those who are cleared together. Should the one whose turn it is be stopped before it is done, they wait again.
struct Group<'a> {
    clearing: &'a Clearing,
    waiting: Vec<Waiting>,
}

impl Group<'_> {
    fn rows<T: Clone>(&self, of: impl Fn(&Cleared) -> &Vec<T>) -> Vec<T> {
        self.waiting
            .iter()
            .flat_map(|waiting| of(&waiting.what).clone())
            .collect()
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.clearing.queue().append(&mut self.waiting);
    }
}
