//! What happened to one thing is reacted to in order, also when something went wrong with it.

use std::sync::atomic::AtomicBool;

use futures_util::StreamExt;
use maru_streams::intention::Clock;
use maru_streams::jobs::Engine;
use maru_streams::testing::loss;
use maru_streams::topology;
use tokio::sync::Semaphore;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn successors_of_a_dead_event_wait_and_follow_in_order_while_other_keys_go_on() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([11]);
    let running = start(&world, faulty(flow(&diary), &broken)).await;
    for n in 10..20 {
        tell(&world, n, 1).await;
        tell(&world, 100 + n, 2).await;
    }
    until("eight wait behind the dead one", async || open(&world).await.len() == 9).await;
    until("the other key is through", async || diary.of(110..120).len() == 10).await;
    assert_eq!(diary.of(110..120), (110..120).collect::<Vec<_>>());
    assert_eq!(diary.of(10..20), [10]);
    let head = becomes(&world, 11, State::Dead).await;
    let second = becomes(&world, 12, State::Behind).await;
    let alone = replay(&world, &these([second.number])).await;
    assert!(
        alone.replayed.is_empty() && alone.skipped[0].why.contains("behind"),
        "{alone:?}"
    );
    let lanes = [FLOW.to_owned()];
    let plan = letters(&world)
        .dry_run(&everything(), &lanes)
        .await
        .unwrap()
        .would_replay;
    let order: Vec<(u64, Option<u64>)> = plan.iter().map(|it| (it.number, it.follows)).collect();
    assert_eq!(order[0], (head.number, None));
    assert_eq!(order[1], (second.number, Some(head.number)));
    assert_eq!(order.len(), 9);
    let follow: Vec<u64> = order[1..].iter().map(|(number, _)| *number).collect();
    assert_eq!(letters(&world).behind(&head).await.unwrap(), follow);
    assert_eq!(letters(&world).behind(&second).await.unwrap(), follow[1..]);
    assert!(!plan[0].is_readable, "boxes are a toy that no contract knows");

    // One of the successors is broken too: it stops those behind it, and only those.
    broken.mends();
    broken.poisons([15]);
    assert_eq!(replay(&world, &everything()).await.replayed, [head.number]);
    until("it has failed", async || {
        letter(&world, 15)
            .await
            .is_some_and(|letter| letter.state == State::Dead)
    })
    .await;
    assert_eq!(diary.of(10..20), [10, 11, 12, 13, 14]);
    tell(&world, 20, 1).await;
    becomes(&world, 20, State::Behind).await;
    assert_eq!(open(&world).await.len(), 6);

    broken.mends();
    replay(&world, &everything()).await;
    until("all are through", async || {
        diary.of(10..=20).len() == 11 && open(&world).await.is_empty()
    })
    .await;
    assert_eq!(diary.of(10..=20), (10..=20).collect::<Vec<_>>());
    tell(&world, 21, 1).await;
    until("the key goes on", async || diary.of([21]) == [21]).await;
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discarding_a_head_releases_its_successors_and_needs_a_reason() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([11]);
    let running = start(&world, faulty(flow(&diary), &broken)).await;
    for n in 11..15 {
        tell(&world, n, 1).await;
    }
    until("three wait", async || open(&world).await.len() == 4).await;
    assert!(Because::new(" \n ").is_none());
    let because = Because::new("the box was burnt").unwrap();
    // One of those that wait goes too, whatever the order in which they are named.
    let which = these([number(&world, 11).await, number(&world, 13).await]);
    let done = letters(&world).discard(&which, "admin:mina", &because).await.unwrap();
    assert_eq!(done.discarded.len(), 2);
    until("the others are through", async || open(&world).await.is_empty()).await;
    assert_eq!(diary.of(11..15), [12, 14]);
    let gone = letter(&world, 11).await.unwrap();
    let last = gone.history.last().unwrap();
    assert_eq!((last.what, last.by.as_str()), (What::Discarded, "admin:mina"));
    assert_eq!(last.detail, "the box was burnt");
    let again = replay(&world, &these([gone.number])).await;
    assert!(again.replayed.is_empty(), "a discarded letter is not replayed");
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_retrying_is_not_overtaken_by_later_ones_of_its_key() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    let patient = Policy { retries: 20, ..POLICY };
    broken.flaky.lock().unwrap().insert(id(1));
    let lane = Lane {
        policy: patient,
        ..flow(&diary)
    };
    let running = start(&world, faulty(lane, &broken)).await;
    for n in 1..=5 {
        tell(&world, n, 1).await;
    }
    tell(&world, 9, 2).await;
    until("it has been tried, and the other key went on", async || {
        diary.of([9]) == [9] && broken.attempts.lock().unwrap().iter().any(|(_, attempt)| *attempt == 3)
    })
    .await;
    assert!(diary.of(1..=5).is_empty());
    broken.mends();
    until("all are through", async || diary.of(1..=5).len() == 5).await;
    assert_eq!(diary.of(1..=5), [1, 2, 3, 4, 5]);
    assert!(open(&world).await.is_empty());
    running.stop(Duration::from_secs(5)).await;
}

/// Those that wait look again at moments of their own, and must not pass each other by that.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_wait_for_an_event_that_is_retrying_keep_their_order_among_themselves() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.flaky.lock().unwrap().insert(id(1));
    let mut lane = flow(&diary);
    lane.policy.retries = 20;
    lane.policy.first_retry = Duration::from_millis(1200);
    let running = start(&world, faulty(lane, &broken)).await;
    tell(&world, 1, 1).await;
    until("it has failed", async || !broken.attempts.lock().unwrap().is_empty()).await;
    broken.mends();
    // The first of them looks again just after the last one does.
    for n in 2..=5 {
        tell(&world, n, 1).await;
        tokio::time::sleep(Duration::from_millis(110)).await;
    }
    until("it is through", async || diary.of([1]) == [1]).await;
    tell(&world, 6, 1).await;
    until("all are through", async || diary.of(1..=6).len() == 6).await;
    assert_eq!(diary.of(1..=6), [1, 2, 3, 4, 5, 6]);
    until("nobody waits for anybody", async || {
        let rows = loss::everything(&world.store).await;
        !rows.keys().any(|(table, _)| table == "parked")
    })
    .await;
    running.stop(Duration::from_secs(5)).await;
}

/// A flow that cannot send its intentions says that the house is out of order, and never that it failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_waits_for_the_house_is_not_overtaken_by_later_ones_of_its_key() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.homeless.lock().unwrap().insert(id(1));
    let running = start(&world, faulty(flow(&diary), &broken)).await;
    for n in 1..=3 {
        tell(&world, n, 1).await;
    }
    tell(&world, 9, 2).await;
    until("it was tried twice, and the other key went on", async || {
        diary.of([9]) == [9]
            && broken
                .attempts
                .lock()
                .unwrap()
                .iter()
                .filter(|(who, _)| *who == id(1))
                .count()
                == 2
    })
    .await;
    assert!(diary.of(1..=3).is_empty(), "{:?}", diary.of(1..=3));
    broken.mends();
    until("all are through", async || diary.of(1..=3).len() == 3).await;
    assert_eq!(diary.of(1..=3), [1, 2, 3]);
    running.stop(Duration::from_secs(5)).await;
}

/// What it is cannot even be looked up, so nothing can be written down for later ones to wait behind.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_cannot_be_looked_up_keep_their_order() {
    let world = World::new(&[]).await;
    let diary = Arc::new(Diary::default());
    world.apply(&flow(&diary).consumers()).await;
    for n in 1..=POLICY.concurrency as u128 {
        tell(&world, n, 1).await;
    }
    let questions = world
        .nats
        .client()
        .subscribe("$JS.API.STREAM.MSG.GET.DEAD")
        .await
        .unwrap();
    world.nats.jetstream().delete_stream(DEAD).await.unwrap();
    // They were there before the lane, which therefore looks whether there are letters of them.
    let running = flow(&diary).start(&world.engine);
    let looked = questions.take(3).collect::<Vec<_>>();
    tokio::time::timeout(Duration::from_secs(30), looked).await.unwrap();
    assert!(diary.of(1..=20).is_empty());
    world.apply(&flow(&diary).consumers()).await;
    until("all are through", async || diary.of(1..=20).len() == POLICY.concurrency).await;
    assert_eq!(diary.of(1..=20), (1..=POLICY.concurrency as u128).collect::<Vec<_>>());
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_key_run_one_after_the_other_and_of_many_keys_at_once() {
    let world = World::new(&[]).await;
    let diary = Arc::new(Diary::default());
    let lane = flow(&diary);
    world.apply(&lane.consumers()).await;
    for n in 0..200 {
        tell(&world, 1000 + n, n % 5).await;
    }
    let running = lane.start(&world.engine);
    until("all are through", async || diary.0.lock().unwrap().len() == 200).await;
    for about in 0..5 {
        let of_it: Vec<u128> = (0..200).filter(|n| n % 5 == about).map(|n| 1000 + n).collect();
        assert_eq!(diary.of(of_it.clone()), of_it);
    }
    running.stop(Duration::from_secs(5)).await;
}

/// The first run of each, in order: a killed worker's messages come again.
fn once_each(mut ran: Vec<u128>) -> Vec<u128> {
    let mut seen = HashSet::new();
    ran.retain(|id| seen.insert(*id));
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_the_order_is_released_is_neither_stranded_nor_overtakes() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([10]);
    let running = start(&world, faulty(flow(&diary), &broken)).await;
    for n in 10..20 {
        tell(&world, n, 1).await;
    }
    until("all wait", async || open(&world).await.len() == 10).await;
    broken.mends();
    replay(&world, &everything()).await;
    // Never more than a few at a time, so that the last one leaves again and again while others arrive.
    for n in 20..120 {
        tell(&world, n, 1).await;
        if n % 4 == 0 {
            tokio::time::sleep(Duration::from_millis(u64::try_from(n % 17).unwrap())).await;
        }
    }
    until("all are through", async || {
        diary.of(10..120).len() >= 110 && open(&world).await.is_empty()
    })
    .await;
    assert_eq!(diary.of(10..120), (10..120).collect::<Vec<_>>());
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_the_order_is_released_keeps_it() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([10]);
    let first = start(&world, faulty(flow(&diary), &broken)).await;
    for n in 10..40 {
        tell(&world, n, 1).await;
    }
    until("all wait", async || open(&world).await.len() == 30).await;
    first.stop(Duration::from_secs(5)).await;
    broken.mends();
    replay(&world, &everything()).await;
    let doomed = doomed(faulty(flow(&diary), &broken), &world);
    until("some are through", async || diary.of(10..40).len() > 5).await;
    doomed.shutdown_background();
    tell(&world, 40, 1).await;
    let second = start(&world, faulty(flow(&diary), &broken)).await;
    until("all are through", async || {
        once_each(diary.of(10..=40)).len() == 31 && open(&world).await.is_empty()
    })
    .await;
    assert_eq!(once_each(diary.of(10..=40)), (10..=40).collect::<Vec<_>>());
    second.stop(Duration::from_secs(5)).await;
}

/// Holds some back until the test lets them go.
struct Gatekeeper {
    inner: Arc<dyn Handler>,
    held_back: Vec<u128>,
    came: Semaphore,
    let_go: Semaphore,
}

impl Handler for Gatekeeper {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            if self.held_back.contains(&delivery.envelope.id.as_u128()) {
                self.came.add_permits(1);
                self.let_go.acquire().await.unwrap().forget();
            }
            Arc::clone(&self.inner).handle(delivery).await
        }
        .boxed()
    }
}

/// A clock that stands still when it is looked at, once, until it is told to go on.
fn stopping() -> (Clock, Arc<Semaphore>, Arc<Semaphore>) {
    let (came, goes_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (looked, waits) = (Arc::clone(&came), Arc::clone(&goes_on));
    let (machine, is_first) = (Clock::system(), AtomicBool::new(true));
    let clock = Clock::from_fn(move || {
        if is_first.swap(false, Ordering::SeqCst) {
            looked.add_permits(1);
            let waiting = async { waits.acquire().await.unwrap().forget() };
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(waiting));
        }
        machine.now()
    });
    (clock, came, goes_on)
}

/// The head may leave between a successor's getting its row and its letter being there to be found: then nobody
/// else will release it. That takes two processes, for in one of them the two would follow each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_parked_behind_a_head_that_is_leaving_releases_itself() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([1]);
    let mut lane = flow(&diary);
    lane.policy.concurrency = 2;
    let keeper = Arc::new(Gatekeeper {
        inner: lane.handler,
        held_back: vec![1, 101, 102],
        came: Semaphore::new(0),
        let_go: Semaphore::new(0),
    });
    lane.handler = Arc::clone(&keeper) as Arc<dyn Handler>;
    let first = start(&world, faulty(lane, &broken)).await;
    tell(&world, 1, 1).await;
    becomes(&world, 1, State::Dead).await;
    broken.mends();
    replay(&world, &everything()).await;
    keeper.came.acquire().await.unwrap().forget();
    // The first process runs the head, and has its hands full beside.
    tell(&world, 101, 101).await;
    tell(&world, 102, 102).await;
    until("it holds as many as it can", async || {
        let flow = topology::consumer_info(&world.nats, EVENTS, FLOW).await.unwrap();
        (flow.num_ack_pending, flow.num_pending) == (2, 0)
    })
    .await;

    let (clock, came, goes_on) = stopping();
    let (nats, store, jobs) = (world.nats.clone(), world.store.clone(), world.jobs.clone());
    let its_letters = Letters::new(nats.clone(), store.clone(), clock);
    let engine = Engine::new(nats, store, jobs, its_letters, world.clock.clock());
    let second = flow(&diary).start(&engine);
    tell(&world, 2, 1).await;
    // It has its row, and is about to write its letter.
    came.acquire().await.unwrap().forget();
    keeper.let_go.add_permits(1);
    becomes(&world, 1, State::Resolved).await;
    until("the head has left", async || {
        world.unsettled(DEAD, &format!("redo-{FLOW}")).await == 0
    })
    .await;
    goes_on.add_permits(1);
    until("both are through", async || diary.of([1, 2]).len() == 2).await;
    assert_eq!(diary.of([1, 2]), [1, 2]);
    keeper.let_go.add_permits(10);
    first.stop(Duration::from_secs(5)).await;
    second.stop(Duration::from_secs(5)).await;
}
