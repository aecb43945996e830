//! Lanes when the server, the connection or their consumer is taken from them. What was on its way at that
//! moment comes again when the server gives the lane up, which is made quick where it is waited for.

use std::sync::Arc;
use std::time::Duration;

use maru_streams::jobs::{Policy, Reason, Verdict};
use maru_streams::testing::conformance::{
    Backend, GRACE, LANE, POLICY, Process, Scripted, Seen, Servers, consumer, gated, publish, scripted, settled, soon,
};
use maru_streams::testing::{Proxy, until};
use maru_streams::topology::{self, JOBS};
use rustix::process::Signal;

fn done() -> (Arc<Scripted>, Arc<Seen>) {
    scripted(|_| async { Verdict::Done })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_and_repeats_nothing_that_this_process_settled() {
    let backend = Servers::make().await;
    backend.be_impatient().await;
    let (handler, seen) = done();
    publish(&backend, 0..2000).await;
    let policy = Policy {
        concurrency: 8,
        ..POLICY
    };
    let process = backend.start(policy, handler).await;
    soon("it is in the middle of it", async || seen.total() > 500).await;
    backend.0.server.signal(Signal::KILL);
    until("all are settled", async || {
        seen.counts().len() == 2000 && backend.0.nats.is_connected() && backend.unsettled().await == 0
    })
    .await;
    process.stop(GRACE).await;
    let repeated = seen.total() - 2000;
    assert!(
        repeated <= policy.concurrency,
        "{repeated} ran again; only what was in flight may"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_in_the_middle_of_jobs_disturbs_none_of_them() {
    let backend = Servers::make().await;
    let (handler, seen, gate) = gated();
    let process = backend.start(POLICY, handler).await;
    publish(&backend, 0..20).await;
    soon("all slots are taken", async || seen.running() == POLICY.concurrency).await;
    let mut connects = backend.0.nats.connects();
    connects.mark_unchanged();
    backend.0.server.signal(Signal::KILL);
    connects.changed().await.unwrap();
    gate.add_permits(1000);
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..20).map(|n| (n, 1)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_was_asked_for_is_kept_though_the_server_died_meanwhile() {
    const WAIT: Duration = Duration::from_secs(4);
    let backend = Servers::make().await;
    // Whether the server has forgotten the message's delivery, or only how long it was to wait: it brings it too early.
    backend.be_impatient().await;
    let (handler, seen) = scripted(|call| async move {
        match call.nth {
            1 => Verdict::Retry {
                reason: Reason::new("no_luck", "as the test wants it"),
                at_least: Some(WAIT),
            },
            _ => Verdict::Done,
        }
    });
    let process = backend.start(POLICY, handler).await;
    publish(&backend, [1]).await;
    // Before it has written down that somebody had the message, and was to have it again later.
    soon("it has failed", async || seen.total() == 1).await;
    backend.0.server.signal(Signal::KILL);
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.attempts(1), [1, 2]);
    assert!(seen.waits(1)[0] >= WAIT.mul_f64(0.9), "{:?}", seen.waits(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_for_half_a_minute_loses_nothing_and_repeats_nothing() {
    let backend = Servers::make().await;
    backend.be_impatient().await;
    let (handler, seen) = scripted(|_| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Verdict::Done
    });
    publish(&backend, 0..1000).await;
    let policy = Policy {
        concurrency: 8,
        ..POLICY
    };
    let process = backend.start(policy, handler).await;
    soon("it is in the middle of it", async || seen.total() > 200).await;
    backend.0.server.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_secs(30)).await;
    backend.0.server.signal(Signal::CONT);
    until("all are done and settled", async || {
        seen.counts().len() == 1000 && backend.unsettled().await == 0
    })
    .await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..1000).map(|n| (n, 1)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_mended_without_anybodys_help() {
    let backend = Servers::make().await;
    let (handler, seen) = done();
    let proxy = Proxy::before(backend.0.server.url().to_owned()).await;
    let process = backend.start_at(&proxy.url(), POLICY, handler).await;
    publish(&backend, 0..50).await;
    settled(&backend).await;
    proxy.cut();
    publish(&backend, 50..100).await;
    assert_eq!(seen.total(), 50);
    proxy.restore();
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..100).map(|n| (n, 1)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fell_silent_is_noticed_and_left() {
    let backend = Servers::make().await;
    backend.be_impatient().await;
    let (handler, seen) = done();
    let proxy = Proxy::before(backend.0.server.url().to_owned()).await;
    let process = backend.start_at(&proxy.url(), POLICY, handler).await;
    publish(&backend, 0..50).await;
    settled(&backend).await;
    proxy.fall_silent();
    publish(&backend, 50..100).await;
    until("the others are done too", async || seen.counts().len() == 100).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..100).map(|n| (n, 1)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_stops_in_seconds_while_the_server_is_away() {
    let backend = Servers::make().await;
    backend.be_impatient().await;
    let (handler, seen, gate) = gated();
    let proxy = Proxy::before(backend.0.server.url().to_owned()).await;
    let process = backend.start_at(&proxy.url(), POLICY, handler.clone()).await;
    publish(&backend, 0..20).await;
    soon("all slots are taken", async || seen.running() == POLICY.concurrency).await;
    proxy.cut();
    gate.add_permits(1000);
    soon("what ran is done", async || seen.running() == 0).await;
    let stopped = tokio::time::timeout(Duration::from_secs(8), process.stop(Duration::from_secs(30))).await;
    assert!(stopped.is_ok(), "it waited for the server");
    let other = backend.start(POLICY, handler).await;
    until("the others are done too", async || backend.unsettled().await == 0).await;
    other.stop(GRACE).await;
    assert_eq!(seen.counts().len(), 20);
    assert!(
        seen.total() <= 20 + POLICY.concurrency,
        "only what could not be settled runs again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_deleted_under_an_idle_lane_is_made_anew() {
    let backend = Servers::make().await;
    let (handler, seen) = done();
    let process = backend.start(POLICY, handler).await;
    publish(&backend, 0..20).await;
    settled(&backend).await;
    for round in 1..=3 {
        topology::dismiss(&backend.0.nats, &consumer()).await.unwrap();
        publish(&backend, round * 20..round * 20 + 20).await;
        settled(&backend).await;
    }
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..80).map(|n| (n, 1)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_deleted_under_a_busy_lane_is_made_anew() {
    let backend = Servers::make().await;
    let (handler, seen, gate) = gated();
    let process = backend.start(POLICY, handler).await;
    publish(&backend, 0..20).await;
    soon("all slots are taken", async || seen.running() == POLICY.concurrency).await;
    topology::dismiss(&backend.0.nats, &consumer()).await.unwrap();
    gate.add_permits(1000);
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..20).map(|n| (n, 1)).collect());
    let info = topology::consumer_info(&backend.0.nats, JOBS, LANE).await.unwrap();
    assert_eq!(info.num_ack_pending, 0);
}
