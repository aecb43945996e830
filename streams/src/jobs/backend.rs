//! The lane as apalis sees it: a backend whose tasks are leases.
//!
//! apalis drops a worker with everything in flight when its backend returns an error, and keeps it as
//! a zombie when it returns the end. So this one returns neither: trouble with the server is dealt
//! with in the puller, and here there is only a lease or not yet.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use futures_util::future::BoxFuture;
use tower_layer::Identity;
use tower_service::Service;

use super::lane::Shared;
use super::lease::Lease;
use super::policy::Policy;
use super::work::work;

/// Gives apalis the leases that the puller admitted.
pub(super) struct Leases(pub(super) Arc<Shared>);

impl Backend for Leases {
    type Task = Task<Lease>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Option<Result<Self::Task, Infallible>>> {
        match self.0.held.next_or_wake(cx.waker()) {
            Some(lease) => {
                let id = TaskId::from_string(format!("{}-{}", self.0.name, lease.ticket.0));
                Poll::Ready(Some(Ok(TaskBuilder::new(lease).task_id(id).build())))
            }
            None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        // What was never begun goes back to the server.
        drop(self.0.held.take_unstarted());
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Leases {
    type Args = Lease;
    type Id = TaskId;
    type Kind = Ephemeral;
    type Config = Policy;
    type Layer = Identity;

    fn config(&self) -> &Policy {
        &self.0.held.policy
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

/// Runs a lease on a task of its own, so that a lane uses every core and a panic stays in it.
#[derive(Clone)]
pub(super) struct Runner(pub(super) Arc<Shared>);

impl Service<Task<Lease>> for Runner {
    type Response = ();
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Lease>) -> Self::Future {
        // Nothing may panic outside the future: apalis would count the task as running for ever.
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let mut running = AbortOnDrop(tokio::spawn(work(shared, task.args)));
            if let Err(error) = std::future::poll_fn(|cx| running.poll(cx)).await {
                tracing::error!(%error, "a lane's own code failed");
            }
            Ok(())
        })
    }
}

/// A task that ends with its owner, so that a worker past its deadline leaves nothing behind.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl AbortOnDrop {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tokio::task::JoinError>> {
        let outcome = ready!(std::pin::Pin::new(&mut self.0).poll(cx));
        Poll::Ready(outcome)
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
