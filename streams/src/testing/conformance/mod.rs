//! # What every lane promises
//!
//! One list of checks of the contract between a lane and its handler, written against four words only
//! ([`Handler`], [`Verdict`](crate::jobs::Verdict), [`Policy`], [`Delivery`](crate::jobs::Delivery)), and
//! two backends to run it on:
//!
//! * [`Servers`], the real one: a nats-server, a database, and processes that can be killed;
//! * [`Memory`], a model of the contract in two pages. It keeps the checks honest (one that only holds by
//!   the habits of a server fails here), and lets a product test its handlers without any server.
//!
//! `maru_streams::conformance!(Servers);` makes a test of each check. What only servers can show (they are killed, frozen,
//! cut off, a consumer is deleted, patience runs out) stands in `tests/machinery/`: `outages`, `lanes`, `hearing`, `gates`,
//! and what the letters do in `letters`.

mod failing;
mod memory;
mod quarantine;
mod resting;
mod retrying;
mod script;
mod servers;
mod settling;
mod slots;
mod stopping;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::jobs::{Handler, Policy};
use crate::publish::{Outgoing, Published};
use crate::topology::ACK_WAIT;

pub use failing::*;
pub use memory::Memory;
pub use quarantine::*;
pub use resting::*;
pub use retrying::*;
pub use script::{Call, Run, Scripted, Seen, envelope, gated, id, message, no_luck, scripted};
pub use servers::{LANE, Servers, consumer, lane};
pub use settling::*;
pub use slots::*;
pub use stopping::*;

/// What is known of a message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buried {
    /// Where it lay.
    pub subject: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why, as a code.
    pub reason: String,
}

/// A place that keeps messages until they are settled, with one lane.
pub trait Backend: Send + Sync + Sized + 'static {
    /// What the lane runs in.
    type Process: Process;

    /// An empty one, which goes away with the test.
    fn make() -> impl Future<Output = Self> + Send;

    /// Stores a message that may lie there once.
    fn publish(&self, message: Outgoing) -> impl Future<Output = Published> + Send;

    /// Starts a process in which the lane runs. Several may run beside each other.
    fn start(&self, policy: Policy, handler: Arc<dyn Handler>) -> impl Future<Output = Self::Process> + Send;

    /// What was given up so far, in that order.
    fn letters(&self) -> impl Future<Output = Vec<Buried>> + Send;

    /// How many messages are not settled for good.
    fn unsettled(&self) -> impl Future<Output = u64> + Send;

    /// What an ended process held is delivered again after two seconds instead of [`ACK_WAIT`], so that a
    /// test of it is quick.
    fn be_impatient(&self) -> impl Future<Output = ()> + Send;
}

/// A process with the lane in it.
pub trait Process: Send + 'static {
    /// Stops as asked: what runs may finish within the grace.
    fn stop(self, grace: Duration) -> impl Future<Output = ()> + Send;

    /// Kills the task that works, with everything it runs. The process goes on.
    fn kill_worker(&self);

    /// Ends without a word, as by SIGKILL: nothing is finished, nothing is given back.
    fn end(self);
}

/// The rules most checks run under: quick, and few retries.
pub const POLICY: Policy = Policy {
    concurrency: 4,
    timeout: Duration::from_secs(10),
    retries: 2,
    first_retry: Duration::from_millis(200),
    ..Policy::QUICK
};

/// How long a check lets a lane drain.
pub const GRACE: Duration = Duration::from_secs(5);

/// Stores these messages.
pub async fn publish<B: Backend>(backend: &B, ids: impl IntoIterator<Item = u128>) {
    futures_util::future::join_all(ids.into_iter().map(|n| backend.publish(message(n)))).await;
}

/// Waits until something is so, and fails if it took as long as the server's own patience with a worker
/// that is gone: nobody in these checks may have had to wait for that.
pub async fn soon<F: AsyncFnMut() -> bool>(what: &str, is_so: F) {
    let waited = tokio::time::timeout(ACK_WAIT.mul_f64(0.8), super::until(what, is_so));
    assert!(waited.await.is_ok(), "had to wait for the server's patience: {what}");
}

/// Waits until nothing is left to do.
pub async fn settled<B: Backend>(backend: &B) {
    soon("all is settled", async || backend.unsettled().await == 0).await;
}

/// The reasons of all letters, by message, sorted.
pub async fn reasons<B: Backend>(backend: &B) -> Vec<(u128, String)> {
    let letters = backend.letters().await;
    let mut reasons: Vec<_> = letters
        .into_iter()
        .map(|letter| (script::number_of(&letter.subject), letter.reason))
        .collect();
    reasons.sort();
    reasons
}

/// Makes a test of each check, on one backend.
#[macro_export]
macro_rules! conformance {
    ($backend:ty) => {
        $crate::conformance! { $backend:
            a_message_is_handled_once_and_settled,
            a_repeat_of_an_id_is_the_same_message,
            a_refusal_settles_and_leaves_no_letter,
            poison_is_parked_at_once_with_its_reason,
            what_cannot_be_read_is_parked_with_why_and_the_worker_lives,
            the_envelope_arrives_as_it_was_sent,
            retries_wait_longer_each_time_and_count_from_one,
            a_wait_that_was_asked_for_is_kept,
            attempts_are_counted_across_the_end_of_a_process,
            a_snooze_counts_no_attempt_and_is_never_given_up,
            trouble_in_the_house_counts_no_attempt_and_is_never_given_up,
            what_is_snoozed_for_no_time_comes_again_at_once,
            what_cannot_be_given_up_yet_is_kept,
            a_panic_is_a_failed_attempt_and_harms_nobody_else,
            a_panic_before_the_future_is_a_failed_attempt_too,
            a_handler_that_hangs_is_stopped_and_tried_again,
            a_panic_in_a_handlers_own_end_is_survived,
            no_more_run_at_once_than_there_are_slots,
            no_slot_is_lost_whatever_ten_thousand_messages_come_to,
            a_killed_worker_loses_no_message_and_no_slot,
            what_an_ended_process_held_is_done_elsewhere,
            a_stopping_lane_finishes_what_runs_and_returns_the_rest_at_once,
            what_outlasts_the_grace_goes_on_elsewhere_at_once,
            a_breaker_rests_after_five_failures_and_asks_with_one_probe,
            a_breaker_that_rested_recovers_when_nothing_waits,
            a_message_that_ends_its_process_is_parked_and_its_neighbours_live,
        }
    };
    ($backend:ty: $($check:ident,)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $check() {
            $crate::testing::conformance::$check::<$backend>().await;
        }
    )+};
}
