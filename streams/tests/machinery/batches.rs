//! Batches: each message counts once, and the callback comes once, whatever happens in between.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::jobs::Job;
use maru_streams::batches::{Batch, Begin, Callback, Item};
use maru_streams::budgets::Budgets;
use maru_streams::jobs::{Delivery, Handler, Lane, Policy, Reason, Running, Verdict};
use maru_streams::letters::Letters;
use maru_streams::publish::Outgoing;
use maru_streams::schedule::{Schedules, mover};
use maru_streams::subject::Subject;
use maru_streams::testing::faults::Twice;
use maru_streams::testing::{World, until};
use maru_streams::topology::{JOBS, SCHEDULES};
use uuid::Uuid;

use crate::toys;

const BATCH: Uuid = Uuid::from_u128(77);
const KIND: &str = "paint_image";
const LANE: &str = "job-paint_image";
const GRACE: Duration = Duration::from_secs(5);

/// What is to become of a message is told by its number.
struct ByNumber;

impl Handler for ByNumber {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        let reason = || Reason::new("as_the_test_wants_it", "");
        let verdict = match (delivery.envelope.id.as_u128(), delivery.attempt) {
            (1..100, _) => Verdict::Done,
            (100..200, _) => Verdict::Refuse(reason()),
            (200..300, _) => Verdict::Poison(reason()),
            (_, 1) => Verdict::Retry {
                reason: reason(),
                at_least: None,
            },
            _ => Verdict::Done,
        };
        async { verdict }.boxed()
    }
}

fn lane(policy: Policy) -> Lane {
    Lane {
        name: LANE.into(),
        stream: JOBS,
        filters: vec![format!("job.{KIND}.>")],
        policy,
        handler: Arc::new(ByNumber),
    }
}

const POLICY: Policy = Policy {
    first_retry: Duration::from_millis(50),
    ..Policy::QUICK
};

fn letters(world: &World) -> &Letters {
    &world.engine.letters
}

async fn begin(world: &World, numbers: &[u128]) {
    let item = |number: &u128| Item {
        lane: LANE.into(),
        message: Uuid::from_u128(*number),
        number: u64::try_from(*number).unwrap(),
    };
    let items: Vec<Item> = numbers.iter().map(item).collect();
    let begin = Begin {
        id: BATCH,
        what: "test",
        by: "operator:mina".into(),
        about: serde_json::json!({}),
        callback: Callback::job(&Job::ConcludeReplay { replay: BATCH }).unwrap(),
    };
    letters(world).batches().begin(&begin, &items).await.unwrap();
}

async fn publish(world: &World, numbers: &[u128], batch: Option<Uuid>) {
    for number in numbers {
        let id = Uuid::from_u128(*number);
        let at = Subject::Job { kind: KIND, id };
        let mut envelope = toys::envelope(id, id);
        envelope.owner = Some(maru_schemas::ids::MemberId(Uuid::from_u128(5)));
        let message = Outgoing::new(at, &envelope, "{}".into(), true).in_batch(batch);
        world.jobs.publish(message).await.unwrap();
    }
}

async fn start(world: &World, lane: Lane) -> Running {
    world.apply(&lane.consumers()).await;
    lane.start(&world.engine)
}

async fn batch(world: &World) -> Batch {
    letters(world).batches().get(BATCH).await.unwrap().unwrap()
}

/// How often the callback lies in JOBS.
async fn callbacks(world: &World) -> usize {
    let stream = world.nats.jetstream().get_stream_no_info(JOBS).await.unwrap();
    let subjects = stream.info_with_subjects("job.conclude_replay.>").await.unwrap();
    futures_util::TryStreamExt::try_collect::<Vec<(String, usize)>>(subjects)
        .await
        .unwrap()
        .iter()
        .map(|(_, count)| count)
        .sum()
}

async fn finished(world: &World) {
    until("the batch is finished", async || batch(world).await.finished.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_of_a_batch_counts_once_whatever_it_came_to() {
    let world = World::new(&[]).await;
    let numbers = [1, 2, 3, 100, 101, 200, 300];
    begin(&world, &numbers).await;
    begin(&world, &numbers).await;
    publish(&world, &numbers[..6], Some(BATCH)).await;
    // What belongs to no batch counts in none, nor does what the batch does not know.
    publish(&world, &[50], None).await;
    publish(&world, &[51], Some(BATCH)).await;
    let running = start(&world, Twice::wrap(lane(POLICY))).await;
    until("six are settled", async || batch(&world).await.settled() == 6).await;
    until("so are the others", async || world.unsettled(JOBS, LANE).await == 0).await;
    assert_eq!(batch(&world).await.counts, [3, 2, 1, 0]);
    assert_eq!((batch(&world).await.finished, callbacks(&world).await), (None, 0));
    running.stop(GRACE).await;

    // A consumer made anew brings everything a second time.
    let stream = world.nats.jetstream().get_stream_no_info(JOBS).await.unwrap();
    stream.delete_consumer(LANE).await.unwrap();
    publish(&world, &numbers[6..], Some(BATCH)).await;
    let running = start(&world, lane(POLICY)).await;
    finished(&world).await;
    until("all came again", async || world.unsettled(JOBS, LANE).await == 0).await;
    assert_eq!(batch(&world).await.counts, [4, 2, 1, 0]);
    until("it is told", async || callbacks(&world).await == 1).await;
    running.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_end_could_not_be_told_is_told_later_and_once() {
    let world = World::new(&[]).await;
    begin(&world, &[1, 2]).await;
    publish(&world, &[1, 2], Some(BATCH)).await;
    let room = async |bytes: i64| {
        let stream = world.nats.jetstream().get_stream(JOBS).await.unwrap();
        let config = async_nats::jetstream::stream::Config {
            max_bytes: bytes,
            ..stream.cached_info().config.clone()
        };
        world.nats.jetstream().update_stream(config).await.unwrap();
    };
    world.apply(&lane(POLICY).consumers()).await;
    room(1).await;
    let running = lane(POLICY).start(&world.engine);
    finished(&world).await;
    until("the messages are settled all the same", async || {
        world.unsettled(JOBS, LANE).await == 0
    })
    .await;
    let look_after = async || {
        let looked = letters(&world).batches().look_after(letters(&world), &[]).await;
        looked.unwrap();
    };
    look_after().await;
    assert_eq!(callbacks(&world).await, 0);
    room(256 << 20).await;
    until("somebody looks after it", async || {
        look_after().await;
        callbacks(&world).await == 1
    })
    .await;
    for _ in 0..3 {
        look_after().await;
    }
    assert_eq!(callbacks(&world).await, 1);
    running.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stays_in_its_batch_wherever_it_waits() {
    let world = World::new(&[]).await;
    // One fails once, and waits for longer than a place is held for.
    let policy = Policy {
        metered: true,
        first_retry: Duration::from_secs(60),
        longest_retry: Duration::from_secs(60),
        ..Policy::QUICK
    };
    begin(&world, &[1, 300]).await;
    let moving = mover(world.jobs.clone());
    world.apply(&moving.consumers()).await;
    let mut engine = world.engine.clone();
    let machine = maru_streams::intention::Clock::system();
    let behind = maru_streams::intention::Clock::from_fn(move || machine.now() - jiff::SignedDuration::from_secs(75));
    engine.schedules = Schedules::by(world.nats.clone(), behind);
    let budgets = Budgets::new(world.nats.clone(), world.store.clone(), world.jobs.clone());
    let member = Uuid::from_u128(5);
    budgets.set(KIND, member, 0, false).await.unwrap();
    world.apply(&lane(policy).consumers()).await;
    let running = [lane(policy).start(&engine), moving.start(&engine)];
    publish(&world, &[1, 300], Some(BATCH)).await;
    until("both lie aside", async || budgets.list().await.unwrap()[0].waiting == 2).await;
    assert_eq!(batch(&world).await.settled(), 0);
    budgets.set(KIND, member, 3, true).await.unwrap();
    finished(&world).await;
    assert!(world.count(SCHEDULES).await > 0, "one of them waited for its time");
    assert_eq!(batch(&world).await.counts, [2, 0, 0, 0]);
    for lane in running {
        lane.stop(GRACE).await;
    }
}
