use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_streams::jobs::{Delivery, Engine, Handler, Lane, Policy, Reason, Verdict};
use maru_streams::nats::Nats;
use maru_streams::publish::Outgoing;
use maru_streams::subject::Subject;
use maru_streams::testing::{Proxy, World, until};
use maru_streams::topology::{COMMANDS, DEAD};
use rustix::process::Signal;
use uuid::Uuid;

use crate::toys;

const POLICY: Policy = Policy {
    concurrency: 8,
    timeout: Duration::from_secs(5),
    retries: 2,
    first_retry: Duration::from_millis(200),
};

/// What a test's handler does with the nth attempt at a message.
type Script = dyn Fn(&Delivery) -> BoxFuture<'static, Verdict> + Send + Sync;

#[derive(Default)]
struct Seen {
    runs: Mutex<HashMap<Uuid, Vec<(Instant, u32)>>>,
    given_up: Mutex<Vec<Uuid>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

struct Scripted {
    seen: Arc<Seen>,
    script: Box<Script>,
}

impl Handler for Scripted {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            let run = (Instant::now(), delivery.attempt);
            self.seen
                .runs
                .lock()
                .unwrap()
                .entry(delivery.envelope.id)
                .or_default()
                .push(run);
            let now = self.seen.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.seen.most.fetch_max(now, Ordering::SeqCst);
            let verdict = (self.script)(&delivery).await;
            self.seen.running.fetch_sub(1, Ordering::SeqCst);
            verdict
        }
        .boxed()
    }

    fn give_up(self: Arc<Self>, delivery: Arc<Delivery>, _: Reason) -> BoxFuture<'static, Result<(), Reason>> {
        self.seen.given_up.lock().unwrap().push(delivery.envelope.id);
        async { Ok(()) }.boxed()
    }
}

fn lane(
    policy: Policy,
    script: impl Fn(&Delivery) -> BoxFuture<'static, Verdict> + Send + Sync + 'static,
) -> (Lane, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let lane = Lane {
        name: "cmd-reviews".into(),
        stream: COMMANDS,
        filters: vec!["cmd.reviews.>".into()],
        policy,
        handler: Arc::new(Scripted {
            seen: Arc::clone(&seen),
            script: Box::new(script),
        }),
    };
    (lane, seen)
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

async fn send(world: &World, ids: impl IntoIterator<Item = u128>) {
    let sent = ids.into_iter().map(|n| toys::put(&world.commands, id(n), id(n), 1));
    futures_util::future::join_all(sent).await;
}

impl Seen {
    fn runs(&self, n: u128) -> usize {
        self.runs.lock().unwrap().get(&id(n)).map_or(0, Vec::len)
    }

    fn total(&self) -> usize {
        self.runs.lock().unwrap().values().map(Vec::len).sum()
    }
}

async fn unsettled(world: &World) -> (u64, usize) {
    let mut consumer: async_nats::jetstream::consumer::PullConsumer = world
        .nats
        .jetstream()
        .get_consumer_from_stream("cmd-reviews", COMMANDS)
        .await
        .unwrap();
    let info = consumer.info().await.unwrap();
    (info.num_pending, info.num_ack_pending)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_with_growing_waits_and_then_given_up() {
    let (lane, seen) = lane(POLICY, |_| {
        async {
            Verdict::Retry {
                reason: Reason::new("no_luck", "again"),
                at_least: None,
            }
        }
        .boxed()
    });
    let world = World::new(&[lane.consumer()]).await;
    let running = lane.start(&world.engine);
    send(&world, [1]).await;
    until("it is in the dead letters", async || world.count(DEAD).await == 1).await;
    let runs = seen.runs.lock().unwrap()[&id(1)].clone();
    assert_eq!(runs.iter().map(|(_, attempt)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    let waits: Vec<Duration> = runs.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(
        waits[0] >= Duration::from_millis(200) && waits[1] >= Duration::from_millis(400),
        "{waits:?}"
    );
    assert_eq!(*seen.given_up.lock().unwrap(), [id(1)]);
    until("it is settled", async || unsettled(&world).await == (0, 0)).await;
    let stream = world.nats.jetstream().get_stream(DEAD).await.unwrap();
    let letter = stream
        .direct_get_last_for_subject(format!("dead.cmd-reviews.{}", id(1)))
        .await
        .unwrap();
    assert_eq!(letter.headers.get("maru-dead-reason").unwrap().as_str(), "no_luck");
    assert_eq!(letter.headers.get("maru-dead-attempts").unwrap().as_str(), "3");
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_in_the_house_is_waited_out_and_never_given_up() {
    let (lane, seen) = lane(POLICY, |delivery| {
        let attempt = delivery.attempt;
        async move {
            assert_eq!(attempt, 1, "waiting counts as no attempt");
            Verdict::Later(Reason::new("away", "not yet"))
        }
        .boxed()
    });
    let world = World::new(&[lane.consumer()]).await;
    let running = lane.start(&world.engine);
    send(&world, [1]).await;
    until("it came more often than it would be retried", async || seen.runs(1) > 4).await;
    assert_eq!(world.count(DEAD).await, 0);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_parks_with_its_reason_and_the_worker_lives_on() {
    let (lane, seen) = lane(POLICY, |delivery| {
        let verdict = match delivery.decode::<toys::Command>() {
            Ok(toys::Command::Put { amount: 666 }) => panic!("as asked"),
            Ok(_) => Verdict::Done,
            Err(verdict) => verdict,
        };
        async { verdict }.boxed()
    });
    let world = World::new(&[lane.consumer()]).await;
    let running = lane.start(&world.engine);
    let raw = |n: u128, kind: &'static str, body: &'static str| {
        let at = Subject::Command {
            context: "reviews",
            kind,
            id: id(n),
        };
        Outgoing::new(at, &toys::envelope(id(n), id(n)), body.into(), true)
    };
    world.commands.publish(raw(1, "put", "{ not json")).await.unwrap();
    world
        .commands
        .publish(raw(2, "take", r#"{"kind":"take"}"#))
        .await
        .unwrap();
    let mut headless = raw(3, "put", "{}");
    headless.headers.retain(|(name, _)| *name != "maru-actor");
    world.commands.publish(headless).await.unwrap();
    world
        .commands
        .publish(raw(4, "put", r#"{"kind":"put","data":{"amount":666}}"#))
        .await
        .unwrap();
    world
        .commands
        .publish(raw(5, "put", r#"{"kind":"put","data":{"amount":1}}"#))
        .await
        .unwrap();
    until("all four are in the dead letters", async || {
        world.count(DEAD).await == 4
    })
    .await;
    until("the good one ran and all is settled", async || {
        seen.runs(5) == 1 && unsettled(&world).await == (0, 0)
    })
    .await;
    assert_eq!(seen.runs(4), 3, "a panic is tried again before it is given up");
    let stream = world.nats.jetstream().get_stream(DEAD).await.unwrap();
    for (n, reason) in [
        (1, "undecodable"),
        (2, "unknown_kind"),
        (3, "undecodable"),
        (4, "panicked"),
    ] {
        let letter = stream
            .direct_get_last_for_subject(format!("dead.cmd-reviews.{}", id(n)))
            .await
            .unwrap();
        assert_eq!(letter.headers.get("maru-dead-reason").unwrap().as_str(), reason, "{n}");
    }
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hangs_is_stopped_and_tried_again() {
    let quick = Policy {
        timeout: Duration::from_millis(300),
        ..POLICY
    };
    let (lane, seen) = lane(quick, |delivery| {
        let first = delivery.attempt == 1;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            Verdict::Done
        }
        .boxed()
    });
    let world = World::new(&[lane.consumer()]).await;
    let running = lane.start(&world.engine);
    send(&world, [1]).await;
    until("it ran twice and is settled", async || {
        seen.runs(1) == 2 && unsettled(&world).await == (0, 0)
    })
    .await;
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_there_are_slots() {
    let (lane, seen) = lane(POLICY, |_| {
        async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Verdict::Done
        }
        .boxed()
    });
    let world = World::new(&[lane.consumer()]).await;
    let running = lane.start(&world.engine);
    send(&world, 0..200).await;
    until("all are done", async || {
        seen.total() == 200 && unsettled(&world).await == (0, 0)
    })
    .await;
    assert_eq!(seen.most.load(Ordering::SeqCst), POLICY.concurrency);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_lane_finishes_what_runs_and_returns_the_rest_at_once() {
    let slow = |_: &Delivery| {
        async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            Verdict::Done
        }
        .boxed()
    };
    let (first, seen) = lane(POLICY, slow);
    let world = World::new(&[first.consumer()]).await;
    let running = first.start(&world.engine);
    send(&world, 0..40).await;
    until("it is busy", async || seen.total() >= POLICY.concurrency).await;
    let begun = Instant::now();
    running.stop(Duration::from_secs(5)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "stopping took {:?}",
        begun.elapsed()
    );
    assert_eq!(seen.running.load(Ordering::SeqCst), 0);
    let finished = seen.total();
    // Nothing waits for the server's own patience: another worker gets the rest now.
    let (second, rest) = lane(POLICY, |_| async { Verdict::Done }.boxed());
    let running = second.start(&world.engine);
    until("the rest is done", async || rest.total() + finished == 40).await;
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_and_repeats_nothing_that_was_settled() {
    let (lane, seen) = lane(POLICY, |_| async { Verdict::Done }.boxed());
    let world = World::new(&[lane.consumer()]).await;
    send(&world, 0..2000).await;
    let running = lane.start(&world.engine);
    until("it is in the middle of it", async || seen.total() > 500).await;
    world.server.signal(Signal::KILL);
    until("all are settled", async || {
        seen.runs.lock().unwrap().len() == 2000 && world.nats.is_connected() && unsettled(&world).await == (0, 0)
    })
    .await;
    let repeated = seen.total() - 2000;
    assert!(
        repeated <= POLICY.concurrency,
        "{repeated} ran again; only what was in flight may"
    );
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_mended_without_anybodys_help() {
    let (lane, seen) = lane(POLICY, |_| async { Verdict::Done }.boxed());
    let world = World::new(&[lane.consumer()]).await;
    let proxy = Proxy::before(world.server.url().trim_start_matches("nats://").to_owned()).await;
    let nats = Nats::connect(&format!("nats://{}", proxy.address()), "cut")
        .await
        .unwrap();
    let engine = Engine {
        nats,
        ..world.engine.clone()
    };
    let running = lane.start(&engine);
    send(&world, 0..50).await;
    until("the first are done", async || seen.runs.lock().unwrap().len() == 50).await;
    proxy.cut();
    send(&world, 50..100).await;
    assert!(seen.total() <= 50 + POLICY.concurrency);
    proxy.restore();
    until("the others are done too", async || {
        seen.runs.lock().unwrap().len() == 100 && unsettled(&world).await == (0, 0)
    })
    .await;
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_idle_lanes_stop_in_under_a_second() {
    let world = World::new(&[]).await;
    let lanes: Vec<Lane> = (0..40)
        .map(|n| Lane {
            name: format!("cmd-idle{n}"),
            filters: vec![format!("cmd.idle{n}.>")],
            ..lane(POLICY, |_| async { Verdict::Done }.boxed()).0
        })
        .collect();
    world.apply(&lanes.iter().map(Lane::consumer).collect::<Vec<_>>()).await;
    let running: Vec<_> = lanes.into_iter().map(|lane| lane.start(&world.engine)).collect();
    let begun = Instant::now();
    futures_util::future::join_all(running.into_iter().map(|lane| lane.stop(Duration::from_secs(5)))).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
