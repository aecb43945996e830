use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use maru_streams::jobs::{Delivery, Handler, Lane, Policy, Reason, Verdict};
use maru_streams::lanes::{self, Health, LaneStatus, Paces, PauseError};
use maru_streams::testing::{World, until};
use maru_streams::topology::COMMANDS;
use rustix::process::Signal;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::toys;

/// Lets a message through for each permit; those of an even box are poison.
struct Gate(Arc<Semaphore>);

impl Handler for Gate {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            self.0.acquire().await.unwrap().forget();
            if delivery.envelope.subject.as_u128() == 0 {
                return Verdict::Poison(Reason::new("spoilt", "on purpose"));
            }
            Verdict::Done
        }
        .boxed()
    }
}

/// Takes its time over each message.
struct Slow(Duration);

impl Handler for Slow {
    fn handle(self: Arc<Self>, _: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            tokio::time::sleep(self.0).await;
            Verdict::Done
        }
        .boxed()
    }
}

fn lane(concurrency: usize, handler: Arc<dyn Handler>) -> Lane {
    Lane {
        name: "cmd-reviews".into(),
        stream: COMMANDS,
        filters: vec!["cmd.reviews.>".into()],
        policy: Policy {
            concurrency,
            timeout: Duration::from_secs(60),
            retries: 1,
            first_retry: Duration::from_millis(100),
            ..Policy::QUICK
        },
        handler,
    }
}

async fn send(world: &World, boxes: impl IntoIterator<Item = u128>) {
    let sent = boxes
        .into_iter()
        .map(|n| toys::put(&world.commands, Uuid::from_u128(100 + n), Uuid::from_u128(n), 1));
    join_all(sent).await;
}

/// The machine's own time, as the server's ages are counted in it.
fn now() -> Timestamp {
    maru_streams::intention::Clock::system().now()
}

async fn status(world: &World) -> LaneStatus {
    let status = lanes::status(&world.nats, &world.store, &Paces::default(), now(), &[])
        .await
        .unwrap();
    status
        .lanes
        .into_iter()
        .find(|lane| lane.lane == "cmd-reviews")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_tells_what_waits_runs_and_is_dead_and_whether_anybody_works() {
    let gate = Arc::new(Semaphore::new(0));
    let lane = lane(2, Arc::new(Gate(Arc::clone(&gate))));
    let world = World::new(&lane.consumers()).await;
    assert_eq!(status(&world).await.health, Health::Idle);

    send(&world, 0..5).await;
    let seen = status(&world).await;
    assert_eq!((seen.health, seen.pending, seen.running), (Health::Unattended, 5, 0));
    assert!(seen.oldest_seconds.unwrap() < 40.0);

    let running = lane.start(&world.engine);
    until("two run", async || status(&world).await.running == 2).await;
    let seen = status(&world).await;
    assert_eq!((seen.health, seen.pending, seen.dead), (Health::Working, 3, 0));

    gate.add_permits(5);
    until("all is settled", async || status(&world).await.health == Health::Idle).await;
    let seen = status(&world).await;
    assert_eq!((seen.dead, seen.oldest_seconds), (1, None));
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_lane_stays_paused_until_it_is_resumed_whatever_restarts_or_is_applied() {
    let gate = Arc::new(Semaphore::new(100));
    let lane_of = |concurrency| lane(concurrency, Arc::new(Gate(Arc::clone(&gate))));
    let world = World::new(&lane_of(2).consumers()).await;
    let running = lane_of(2).start(&world.engine);
    let paused = lanes::pause(&world.nats, "reviews", "admin:mina", now()).await.unwrap();
    assert_eq!(paused, ["cmd-reviews", "redo-cmd-reviews"]);
    send(&world, 1..4).await;

    // Another size of the lane is another setting of its consumer.
    world.apply(&lane_of(1000).consumers()).await;
    world.server.signal(Signal::KILL);
    until("the server is back", async || {
        world.nats.is_connected() && lanes::look(&world.nats, &[COMMANDS]).await.is_ok()
    })
    .await;
    let seen = status(&world).await;
    assert_eq!((seen.health, seen.pending, seen.running), (Health::Paused, 3, 0));
    let noted = seen.paused.unwrap();
    assert!(noted.by == "admin:mina" && noted.at.is_some());

    lanes::resume(&world.nats, "cmd-reviews", "admin:mina", now())
        .await
        .unwrap();
    until("it goes on", async || status(&world).await.health == Health::Idle).await;
    assert_eq!(status(&world).await.paused, None);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_while_its_lane_is_paused_and_a_drain_waits_for_it() {
    let gate = Arc::new(Semaphore::new(0));
    let lane = lane(1, Arc::new(Gate(Arc::clone(&gate))));
    let world = World::new(&lane.consumers()).await;
    let running = lane.start(&world.engine);
    send(&world, 1..4).await;
    until("one runs", async || status(&world).await.running == 1).await;
    lanes::pause(&world.nats, "cmd-reviews", "admin:mina", now())
        .await
        .unwrap();
    let mut words = Vec::new();
    let drained = lanes::drain(&world.nats, "cmd-reviews", Duration::from_secs(120), |left| {
        words.push(left);
        gate.add_permits(1);
    });
    let drained = drained.await.unwrap();
    assert_eq!((drained.waiting_for_retry, drained.pending), (0, 2));
    assert_eq!((words.first(), words.last()), (Some(&1), Some(&0)));
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_what_only_comes_again_after_the_pause() {
    struct Failing;
    impl Handler for Failing {
        fn handle(self: Arc<Self>, _: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
            let reason = Reason::new("not_now", "on purpose");
            async { Verdict::Snooze(Duration::from_millis(10), reason) }.boxed()
        }
    }
    let lane = lane(1, Arc::new(Failing));
    let world = World::new(&lane.consumers()).await;
    let running = lane.start(&world.engine);
    send(&world, [1]).await;
    until("it comes again and again", async || status(&world).await.retrying == 1).await;
    lanes::pause(&world.nats, "cmd-reviews", "admin:mina", now())
        .await
        .unwrap();
    let drained = lanes::drain(&world.nats, "cmd-reviews", Duration::ZERO, |_| {})
        .await
        .unwrap();
    assert_eq!((drained.waiting_for_retry, drained.pending), (1, 0));
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_lane_leaves_its_workers_in_peace() {
    let lane = lane(1, Arc::new(Slow(Duration::ZERO)));
    let world = World::new(&lane.consumers()).await;
    lanes::pause(&world.nats, "cmd-reviews", "admin:mina", now())
        .await
        .unwrap();
    send(&world, [1]).await;
    // As a lane's puller asks, only with quicker heartbeats.
    let inbox = world.nats.client().new_inbox();
    let mut heard = world.nats.client().subscribe(inbox.clone()).await.unwrap();
    let ask = r#"{"batch":1,"expires":30000000000,"idle_heartbeat":100000000}"#;
    let api = "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.cmd-reviews";
    world
        .nats
        .client()
        .publish_with_reply(api, inbox, ask.into())
        .await
        .unwrap();
    for _ in 0..5 {
        let beat = heard.next().await.unwrap();
        assert_eq!(beat.status.map(|status| status.as_u16()), Some(100), "{beat:?}");
    }
    lanes::resume(&world.nats, "cmd-reviews", "admin:mina", now())
        .await
        .unwrap();
    until("the message comes on the same request", async || {
        heard.next().await.unwrap().status.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_not_there_cannot_be_paused() {
    let world = World::new(&[]).await;
    let refused = lanes::pause(&world.nats, "cmd-nothing", "admin:mina", now()).await;
    assert!(matches!(refused, Err(PauseError::NoSuchLane(name)) if name == "cmd-nothing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flooded_lane_drains_within_a_factor_of_two_of_what_was_said() {
    let lane = lane(4, Arc::new(Slow(Duration::from_millis(100))));
    let world = World::new(&lane.consumers()).await;
    send(&world, 1..601).await;
    let (running, paces) = (lane.start(&world.engine), Paces::default());
    let mut said = None;
    until("enough was seen to tell", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let seen = paces.look(&world.nats, &[COMMANDS]).await.unwrap();
        said = paces.drain("cmd-reviews").map(|drain| (Instant::now(), drain));
        seen[0].pending < 400
    })
    .await;
    let (at, said) = said.unwrap();
    until("it has drained", async || status(&world).await.health == Health::Idle).await;
    let took = at.elapsed();
    assert!(took < said * 2 && said < took * 2, "said {said:?}, took {took:?}");
    running.stop(Duration::from_secs(5)).await;
}
