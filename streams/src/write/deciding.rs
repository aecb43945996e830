//! Deciding in company: the commands of a lane that wait at the same moment are decided and committed together.
//!
//! Only what goes well goes together. Should anything be the matter (a state that moved on meanwhile, a row that
//! cannot be read, a decision that panics), nothing was written, and each is decided by itself, so that one command's
//! trouble is its own.

use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use maru_schemas::envelope::Envelope;

use super::company::{Company, Together};
use super::transact::{Committed, transact, try_once};
use crate::contract::{CommandOf, Context};
use crate::store::{Store, StoreError};

/// Decides the commands of context `C`.
pub(super) struct Deciding<C: Context> {
    store: Store,
    company: Company<Group<C>>,
}

struct Group<C> {
    store: Store,
    context: PhantomData<fn() -> C>,
}

/// A command and what is known about it.
struct Asked<C: Context> {
    envelope: Envelope,
    command: CommandOf<C>,
}

impl<C: Context> Deciding<C> {
    pub(super) fn new(store: Store) -> Self {
        let group = Group {
            store: store.clone(),
            context: PhantomData,
        };
        Self {
            store,
            company: Company::new(group),
        }
    }

    /// Decides a command and commits it.
    ///
    /// # Errors
    /// As [`transact`] does.
    pub(super) async fn decide(&self, envelope: &Envelope, command: CommandOf<C>) -> Result<Committed, StoreError> {
        let started = Instant::now();
        let asked = Arc::new(Asked {
            envelope: envelope.clone(),
            command,
        });
        let outcome = match self.company.join(Arc::clone(&asked)).await.flatten() {
            Some(committed) => Ok(committed),
            None => transact::<C>(&self.store, envelope, &asked.command).await,
        };
        metrics::histogram!("maru_database_transaction_seconds", "context" => C::NAME).record(started.elapsed());
        outcome
    }
}

impl<C: Context> Together for Group<C> {
    type What = Asked<C>;
    type Outcome = Option<Committed>;

    /// Of two commands of one aggregate, the second is decided on what the first came to.
    fn clash(one: &Asked<C>, other: &Asked<C>) -> bool {
        one.envelope.subject == other.envelope.subject
    }

    async fn work(&self, group: &[Arc<Asked<C>>]) -> Vec<Option<Committed>> {
        let commands: Vec<_> = group.iter().map(|asked| (&asked.envelope, &asked.command)).collect();
        // What is left half done by a panic is dropped with it: nothing outlives a try but what was committed.
        let tried = AssertUnwindSafe(try_once::<C>(&self.store, &commands)).catch_unwind();
        let why = match tried.await {
            Ok(Ok(Ok(committed))) => return committed.into_iter().map(Some).collect(),
            Ok(Ok(Err(why))) => why,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a decision panicked".to_owned(),
        };
        tracing::debug!(
            context = C::NAME,
            commands = group.len(),
            why,
            "each is decided by itself"
        );
        group.iter().map(|_| None).collect()
    }
}
