//! The lane as apalis sees it: a backend whose tasks are leases.
//!
//! apalis drops a worker with everything in flight when its backend returns an error, and keeps it as
//! a zombie when it returns the end. So this one returns neither: trouble with the server is dealt
//! with in the puller, and here there is only a lease or not yet.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use futures_util::future::BoxFuture;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
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
            if let Err(error) = AbortOnDrop(tokio::spawn(work(shared, task.args))).await {
                tracing::error!(%error, "a lane's own code failed");
            }
            Ok(())
        })
    }
}

/// A task that ends with its owner, so that a worker past its deadline leaves nothing behind.
pub(super) struct AbortOnDrop<T>(pub(super) JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    pub(super) fn abort_handle(&self) -> AbortHandle {
        self.0.abort_handle()
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
