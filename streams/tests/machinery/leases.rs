use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use maru_streams::leases::{Leases, TTL};
use maru_streams::store::Store;
use maru_streams::testing::MovableClock;
use tokio_util::sync::CancellationToken;

async fn leases() -> (Leases, MovableClock) {
    let clock = MovableClock::default();
    let store = Store::open("mem://", None).await.unwrap();
    (Leases::by(store, clock.clock()), clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_contenders_one_is_at_work_at_any_time() {
    let (leases, _) = leases().await;
    let (working, most, turns) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let contender = async || {
        let mut own = 0;
        while own < 5 {
            let Some(lease) = leases.take("sweeper").await.unwrap() else {
                tokio::task::yield_now().await;
                continue;
            };
            assert!(lease.is_held());
            most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            working.fetch_sub(1, Ordering::SeqCst);
            own += 1;
            turns.fetch_add(1, Ordering::SeqCst);
            lease.free().await;
        }
    };
    tokio::join!(contender(), contender(), contender());
    assert_eq!((most.into_inner(), turns.into_inner()), (1, 15));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_places_no_more_are_held_than_there_are() {
    let (leases, _) = leases().await;
    let all = futures_util::future::join_all((0..12).map(|_| leases.many("slot:job-charge", 4))).await;
    let held: Vec<_> = all.into_iter().filter_map(Result::unwrap).collect();
    assert!(held.len() <= 4, "{} are held", held.len());
    let more = leases.many("slot:job-charge", 4).await.unwrap();
    assert_eq!(more.is_some(), held.len() < 4);
}

/// A process of its own: what runs in it stops when it is killed, and stands still when it is frozen.
fn process() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_holder_is_followed_by_another_after_its_time() {
    let (leases, clock) = leases().await;
    let killed = tokio::task::spawn_blocking({
        let leases = leases.clone();
        move || {
            let process = process();
            let lease = process.block_on(leases.take("gc")).unwrap().unwrap();
            // Killed: neither is it given back, nor renewed any more.
            std::mem::forget(lease);
            process.shutdown_background();
        }
    });
    killed.await.unwrap();
    assert!(leases.take("gc").await.unwrap().is_none(), "it may be alive yet");
    clock.advance(TTL);
    assert!(leases.take("gc").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_holder_notices_that_it_was_followed() {
    let (leases, clock) = leases().await;
    let frozen = tokio::task::spawn_blocking({
        let (leases, clock) = (leases.clone(), clock.clone());
        move || {
            let process = process();
            let lease = process.block_on(leases.take("gc")).unwrap().unwrap();
            // Frozen: nothing of it runs while its time passes and another takes over.
            clock.advance(TTL);
            let next = tokio::runtime::Runtime::new().unwrap();
            let other = next.block_on(leases.take("gc")).unwrap().unwrap();
            assert_ne!(lease.fence(), other.fence());
            process.block_on(lease.lost());
            assert!(!lease.is_held());
            process.block_on(lease.free());
            assert!(
                next.block_on(leases.take("gc")).unwrap().is_none(),
                "the other still has it"
            );
            next.block_on(other.free());
        }
    });
    frozen.await.unwrap();
    assert!(leases.take("gc").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_goes_to_who_waits_for_it() {
    let (leases, _) = leases().await;
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let held = leases.wait("sweeper", &first).await.unwrap();
    let waiting = tokio::spawn({
        let (leases, second) = (leases.clone(), second.clone());
        async move { leases.wait("sweeper", &second).await.is_some() }
    });
    assert!(leases.take("sweeper").await.unwrap().is_none());
    held.free().await;
    assert!(waiting.await.unwrap(), "the next one has it");
    second.cancel();
    assert!(
        leases.wait("sweeper", &second).await.is_none(),
        "who is told to stop waits no more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_an_embedded_database_waits_for_nobody() {
    let (leases, _) = leases().await;
    std::mem::forget(leases.take("outbox").await.unwrap());
    leases.end_all().await.unwrap();
    assert!(leases.take("outbox").await.unwrap().is_some());
}
