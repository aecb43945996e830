//! What lanes once got wrong when several things came together: a puller that nobody woke, a wait that spun, a
//! suspicion without a run, attempts that were forgotten on the way to the back, a successor that nobody released.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use maru_schemas::envelope::MESSAGE_ID;
use maru_streams::jobs::{Delivery, Engine, Handler, Lane, Policy, Rate, Reason, Trip, Verdict};
use maru_streams::leases::Leases;
use maru_streams::letters::Letters;
use maru_streams::nats::Nats;
use maru_streams::publish::{Outgoing, Publisher};
use maru_streams::subject::Subject;
use maru_streams::testing::loss::everything;
use maru_streams::testing::{World, until};
use maru_streams::topology::{self, DEAD, JOBS};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::toys;

const LANE: &str = "job-write_story";
const GRACE: Duration = Duration::from_secs(5);

/// Asks what is to become of a call, by its number and attempt.
type Script = Box<dyn Fn(u128, u32) -> BoxFuture<'static, Verdict> + Send + Sync>;

struct Scripted {
    script: Script,
    calls: Mutex<Vec<(u128, u32)>>,
}

impl Scripted {
    fn new(script: impl Fn(u128, u32) -> BoxFuture<'static, Verdict> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            calls: Mutex::default(),
        })
    }

    fn calls(&self) -> Vec<(u128, u32)> {
        self.calls.lock().unwrap().clone()
    }

    fn of(&self, number: u128) -> Vec<u32> {
        let calls = self.calls();
        let own = calls.iter().filter(|(n, _)| *n == number);
        own.map(|(_, attempt)| *attempt).collect()
    }
}

impl Handler for Scripted {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        let number = delivery.envelope.id.as_u128();
        self.calls.lock().unwrap().push((number, delivery.attempt));
        (self.script)(number, delivery.attempt)
    }
}

fn lane(policy: Policy, handler: &Arc<Scripted>) -> Lane {
    Lane {
        name: LANE.into(),
        stream: JOBS,
        filters: vec!["job.write_story.>".into()],
        policy,
        handler: Arc::clone(handler) as Arc<dyn Handler>,
    }
}

fn failed() -> Verdict {
    Verdict::Retry {
        reason: Reason::new("provider_unavailable", "on purpose"),
        at_least: None,
    }
}

async fn publish(world: &World, subject: String, number: u128) {
    let id = Uuid::from_u128(number);
    let message = Outgoing::new(subject, &toys::envelope(id, id), "{}".into(), true);
    world.jobs.publish(message).await.expect("stored");
}

async fn send(world: &World, numbers: impl IntoIterator<Item = u128>) {
    for number in numbers {
        let kind = "write_story";
        let id = Uuid::from_u128(number);
        publish(world, Subject::Job { kind, id }.to_string(), number).await;
    }
}

/// How often the server has delivered anything to the lane.
async fn deliveries(world: &World) -> u64 {
    let info = topology::consumer_info(&world.nats, JOBS, LANE).await.unwrap();
    info.delivered.consumer_sequence
}

/// The rest of the breaker ends while a message from before still runs, so nothing can be probed and nobody asks
/// for more. When it has ended, the puller has to be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_puller_behind_the_breaker_is_woken_when_the_last_straggler_is_settled() {
    const REST: Duration = Duration::from_millis(500);
    let policy = Policy {
        concurrency: 2,
        retries: 0,
        breaker: Some(Trip {
            failures: 5,
            rest: REST,
        }),
        ..Policy::QUICK
    };
    let let_go = Arc::new(Notify::new());
    let waits = Arc::clone(&let_go);
    let handler = Scripted::new(move |number, _| {
        let waits = Arc::clone(&waits);
        async move {
            match number {
                1 => {
                    waits.notified().await;
                    Verdict::Done
                }
                2..=6 => failed(),
                _ => Verdict::Done,
            }
        }
        .boxed()
    });
    let lane = lane(policy, &handler);
    let world = World::new(&lane.consumers()).await;
    send(&world, 1..=6).await;
    let running = lane.start(&world.engine);
    until("five failures open it", async || world.count(DEAD).await == 5).await;
    send(&world, [7]).await;
    let opened = Instant::now();
    until("its rest is over", async || opened.elapsed() > REST * 2).await;
    assert!(handler.of(7).is_empty(), "one from before runs yet");
    let_go.notify_one();
    let woken = Instant::now();
    until("the probe goes out", async || handler.of(7) == [1]).await;
    // Whoever is not woken is found deaf at last, half a minute later.
    assert!(woken.elapsed() < Duration::from_secs(10), "{:?}", woken.elapsed());
    running.stop(GRACE).await;
}

/// A wait for the rate is waited out in the slot: given back to the server, each message would come round again
/// and again until its turn.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_rate_is_delivered_once() {
    let policy = Policy {
        rate: Some(Rate::new(5, 6000)),
        ..Policy::QUICK
    };
    let handler = Scripted::new(|_, _| async { Verdict::Done }.boxed());
    let lane = lane(policy, &handler);
    let world = World::new(&lane.consumers()).await;
    send(&world, 1..=25).await;
    let running = lane.start(&world.engine);
    until("all are done", async || handler.calls().len() == 25).await;
    until("and settled", async || world.unsettled(JOBS, LANE).await == 0).await;
    assert_eq!(deliveries(&world).await, 25);
    running.stop(GRACE).await;
}

/// The lane in a process that can be ended without a word.
async fn process(world: &World, lane: Lane) -> Runtime {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (url, store, clock) = (world.server.url().to_owned(), world.store.clone(), world.clock.clock());
    let started = runtime.spawn(async move {
        let nats = Nats::connect(&url, "process").await.unwrap();
        let jobs = Publisher::start(nats.clone(), JOBS);
        let letters = Letters::new(nats.clone(), store.clone(), clock.clone());
        lane.start(&Engine::new(nats, store, jobs, letters, clock))
    });
    // It runs on in its runtime.
    drop(started.await.unwrap());
    runtime
}

/// Processes that end while a message waits for its place have not been ended by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_never_began_is_no_suspect_however_many_processes_ended_around_it() {
    let policy = Policy {
        across: Some(1),
        ..Policy::QUICK
    };
    let handler = Scripted::new(|_, _| async { Verdict::Done }.boxed());
    let consumers = lane(policy, &handler).consumers();
    let world = World::new(&consumers).await;
    world.shorten_ack_wait(&consumers[0], Duration::from_secs(1)).await;
    let leases = Leases::new(world.store.clone());
    let place = leases.many(&format!("slot/{LANE}"), 1).await.unwrap().unwrap();
    send(&world, [1]).await;
    // One that began so often would be a dead letter by now.
    for nth in 1..=5 {
        let process = process(&world, lane(policy, &handler)).await;
        until("it is delivered", async || deliveries(&world).await >= nth).await;
        // As long as it takes to begin, for one that wrongly does.
        tokio::time::sleep(Duration::from_millis(150)).await;
        process.shutdown_background();
    }
    assert!(handler.calls().is_empty());
    place.free().await;
    let process = process(&world, lane(policy, &handler)).await;
    until("it runs", async || handler.calls() == [(1, 1)]).await;
    until("it is settled", async || world.unsettled(JOBS, LANE).await == 0).await;
    assert_eq!(world.count(DEAD).await, 0);
    process.shutdown_background();
}

/// At the back a job comes from another subject, where the server has never delivered it before.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_moved_to_the_back_keeps_its_attempts() {
    let policy = Policy {
        fair: true,
        retries: 2,
        first_retry: Duration::from_secs(15),
        ..Policy::QUICK
    };
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = Arc::clone(&is_mended);
    let handler = Scripted::new(move |_, _| {
        let is_mended = mended.load(Ordering::SeqCst);
        async move { if is_mended { Verdict::Done } else { failed() } }.boxed()
    });
    let lane = lane(policy, &handler);
    let world = World::new(&lane.consumers()).await;
    send(&world, [1]).await;
    let running = lane.start(&world.engine);
    until("it has failed in front", async || handler.of(1) == [1]).await;
    // Counted by then, or the back would know of nothing.
    until("that is written down", async || {
        let rows = everything(&world.store).await;
        rows.keys().any(|(table, _)| table == "attempts")
    })
    .await;
    // As a lane moves it: under the same id, which is no repeat for the server.
    let id = Uuid::from_u128(1);
    let mut moved = Outgoing::new(
        format!("late.write_story.v1.{id}"),
        &toys::envelope(id, id),
        "{}".into(),
        true,
    );
    moved.headers.retain(|(name, _)| *name != MESSAGE_ID);
    let moved = world.jobs.publish(moved).await.expect("stored");
    assert!(!moved.already);
    let since = Instant::now();
    until("it is tried at the back", async || handler.of(1).len() == 2).await;
    assert!(since.elapsed() < policy.first_retry, "this is the one in front");
    assert_eq!(handler.of(1), [1, 2]);
    is_mended.store(true, Ordering::SeqCst);
    running.stop(GRACE).await;
}

/// Whoever moved it died before it was taken off the place that it left.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_lies_in_its_new_place_is_only_taken_off_the_old_one() {
    let policy = Policy {
        fair: true,
        metered: true,
        ..Policy::QUICK
    };
    let handler = Scripted::new(|_, _| async { Verdict::Done }.boxed());
    let consumers = lane(policy, &handler).consumers();
    let world = World::new(&consumers).await;
    let [front, back] = [&consumers[0], &consumers[1]];
    // The first went to the back. The second went aside, and the third from the back; that one is let go again.
    let (member, job) = (Uuid::from_u128(77), |n: u128| Uuid::from_u128(n));
    for at in [
        format!("job.write_story.v1.{}", job(1)),
        format!("job.write_story.v1.{}", job(2)),
        format!("late.write_story.v1.{}", job(3)),
    ] {
        let number = at.rsplit('.').next().unwrap().parse::<Uuid>().unwrap().as_u128();
        let envelope = maru_schemas::envelope::Envelope {
            owner: Some(maru_schemas::ids::MemberId(member)),
            ..toys::envelope(job(number), job(number))
        };
        world
            .jobs
            .publish(Outgoing::new(at, &envelope, "{}".into(), false))
            .await
            .unwrap();
    }
    for (consumer, count) in [(front, 2), (back, 1)] {
        in_vain(&world, &consumer.name, count).await;
    }
    let aside = format!("held.write_story.{member}.v1.{}.3", job(3));
    for (at, number) in [
        (format!("late.write_story.v1.{}", job(1)), 1),
        (format!("held.write_story.{member}.v1.{}.2", job(2)), 2),
        (aside.clone(), 3),
        (format!("late.write_story.v1.{}.6", job(3)), 3),
    ] {
        let mut moved = Outgoing::new(at, &toys::envelope(job(number), job(number)), "{}".into(), false);
        moved.headers.retain(|(name, _)| *name != MESSAGE_ID);
        assert!(!world.jobs.publish(moved).await.unwrap().already);
    }
    let jobs = world.nats.jetstream().get_stream(JOBS).await.unwrap();
    jobs.purge().filter(aside).await.unwrap();
    let running = lane(policy, &handler).start(&world.engine);
    until("front and back are settled", async || {
        world.unsettled(JOBS, &front.name).await + world.unsettled(JOBS, &back.name).await == 0
    })
    .await;
    assert_eq!(handler.of(1), [1], "only at the back");
    assert!(handler.of(2).is_empty(), "it waits for a budget");
    assert_eq!(handler.of(3), [1], "only where it was let go");
    running.stop(GRACE).await;
}

/// Somebody takes messages and returns them, so that the next delivery is not the first.
#[expect(
    clippy::disallowed_methods,
    reason = "the server is there: nothing else happens meanwhile"
)]
async fn in_vain(world: &World, consumer: &str, count: usize) {
    let consumer: async_nats::jetstream::consumer::PullConsumer = world
        .nats
        .jetstream()
        .get_consumer_from_stream(consumer, JOBS)
        .await
        .unwrap();
    let mut batch = consumer.fetch().max_messages(count).messages().await.unwrap();
    let mut brought = Vec::new();
    while let Some(message) = batch.next().await {
        brought.push(message.unwrap());
    }
    assert_eq!(brought.len(), count);
    for message in brought {
        let nak = async_nats::jetstream::AckKind::Nak(None);
        message.double_ack_with(nak).await.unwrap();
    }
}
