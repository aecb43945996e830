use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use maru_schemas::envelope::Envelope;
use maru_streams::effects::{Begun, Effects};
use maru_streams::intention::Clock;
use maru_streams::janitor::{HORIZON, Janitor};
use maru_streams::jobs::{Delivery, Handler, Lane, Policy, Reason, Verdict};
use maru_streams::leases::Leases;
use maru_streams::publish::{Outgoing, PublishError};
use maru_streams::retention::Retention;
use maru_streams::schedule::{Schedules, mover};
use maru_streams::store::{Key, Part};
use maru_streams::subject::Subject;
use maru_streams::testing::{World, until};
use maru_streams::topology::{COMMANDS, Consumer, JOBS, SCHEDULES};
use maru_streams::write::commands::Commands;
use uuid::Uuid;

use crate::toys::{self, Boxes};

mod ticks;

/// The machine's clock, so much ahead of its time.
fn ahead(by: SignedDuration) -> Clock {
    let machine = Clock::system();
    Clock::from_fn(move || machine.now() + by)
}

async fn messages(world: &World, filter: &str) -> u64 {
    let stream = world.nats.jetstream().get_stream(SCHEDULES).await.unwrap();
    let consumer = stream
        .create_consumer(async_nats::jetstream::consumer::pull::OrderedConfig {
            filter_subject: filter.to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    consumer.cached_info().num_pending
}

/// Fails twice, and notes under which subject and as which attempt it was asked.
#[derive(Default)]
struct Failing {
    asked: Mutex<Vec<(String, u32)>>,
}

impl Handler for Failing {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        self.asked
            .lock()
            .unwrap()
            .push((delivery.subject.clone(), delivery.attempt));
        let verdict = if delivery.attempt <= 2 {
            Verdict::Retry {
                reason: Reason::new("no_luck", "again"),
                at_least: None,
            }
        } else {
            Verdict::Done
        };
        async { verdict }.boxed()
    }
}

fn patient(handler: Arc<dyn Handler>) -> Lane {
    Lane {
        name: "job-charge".into(),
        stream: JOBS,
        filters: vec!["job.charge.>".into()],
        policy: Policy {
            concurrency: 2,
            timeout: Duration::from_secs(5),
            retries: 5,
            first_retry: Duration::from_secs(60),
            longest_retry: Duration::from_secs(60),
            ..Policy::QUICK
        },
        handler,
    }
}

fn job(id: Uuid) -> Envelope {
    Envelope {
        kind: "maru.job.charge.v1".into(),
        ..toys::envelope(id, id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_wait_goes_through_a_schedule_and_the_count_of_attempts_goes_on() {
    let handler = Arc::new(Failing::default());
    let lane = patient(Arc::clone(&handler) as Arc<dyn Handler>);
    let mut consumers = lane.consumers();
    let world = World::new(&[]).await;
    let moving = mover(world.jobs.clone());
    consumers.extend(moving.consumers());
    world.apply(&consumers).await;
    // The schedules' clock is behind, so that a minute is over at once.
    let mut engine = world.engine.clone();
    engine.schedules = Schedules::by(world.nats.clone(), ahead(SignedDuration::from_secs(-75)));
    let running = [lane.start(&engine), moving.start(&engine)];
    let id = Uuid::from_u128(7);
    let at = Subject::Job { kind: "charge", id };
    let sent = Outgoing::new(at, &job(id), "{}".into(), true);
    world.jobs.publish(sent.clone()).await.unwrap();
    until("it was tried three times", async || {
        handler.asked.lock().unwrap().len() == 3
    })
    .await;
    assert_eq!(
        *handler.asked.lock().unwrap(),
        [
            (format!("job.charge.v1.{id}"), 1),
            (format!("job.charge.v1.{id}.1"), 2),
            (format!("job.charge.v1.{id}.2"), 3)
        ]
    );
    assert!(
        world.jobs.publish(sent).await.unwrap().already,
        "the job is still known"
    );
    for lane in running {
        lane.stop(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_is_not_run_again_when_its_acknowledgement_was_lost() {
    let handler = Arc::new(Failing::default());
    let lane = patient(Arc::clone(&handler) as Arc<dyn Handler>);
    let consumers = lane.consumers();
    let consumer = consumers[0].clone();
    let world = World::new(&consumers).await;
    let id = Uuid::from_u128(8);
    let at = Subject::Job { kind: "charge", id };
    let sent = Outgoing::new(at, &job(id), "{}".into(), true);
    let running = lane.start(&world.engine);
    world.jobs.publish(sent).await.unwrap();
    until("it waits", async || messages(&world, "sched.job.charge.*").await == 1).await;
    running.stop(Duration::from_secs(5)).await;
    // Forgotten acknowledgements come down to this: the consumer begins anew, and brings the message as for the
    // first time.
    let stream = world.nats.jetstream().get_stream(JOBS).await.unwrap();
    stream.delete_consumer(&consumer.name).await.unwrap();
    world.apply(&[consumer]).await;
    let again = patient(Arc::clone(&handler) as Arc<dyn Handler>).start(&world.engine);
    until("it is settled", async || {
        let mut consumer: async_nats::jetstream::consumer::PullConsumer = world
            .nats
            .jetstream()
            .get_consumer_from_stream("job-charge", JOBS)
            .await
            .unwrap();
        consumer.info().await.unwrap().ack_floor.stream_sequence == 1
    })
    .await;
    assert_eq!(
        handler.asked.lock().unwrap().len(),
        1,
        "it comes back by its schedule, not by this"
    );
    again.stop(Duration::from_secs(5)).await;
}

fn janitor(world: &World, clock: Clock, consumers: &[Consumer]) -> Janitor {
    Janitor::new(world.nats.clone(), clock, consumers.to_vec(), HORIZON)
}

fn boxes(world: &World) -> Lane {
    Lane {
        name: "cmd-reviews".into(),
        stream: COMMANDS,
        filters: vec!["cmd.reviews.>".into()],
        policy: Policy {
            concurrency: 8,
            timeout: Duration::from_secs(5),
            retries: 2,
            first_retry: Duration::from_millis(200),
            longest_retry: Duration::from_secs(30),
            ..Policy::QUICK
        },
        handler: Arc::new(Commands::<Boxes>::new(
            world.nats.clone(),
            world.store.clone(),
            world.outbox(),
        )),
    }
}

async fn settled(world: &World, messages: u64) {
    until("all is settled", async || {
        let mut consumer: async_nats::jetstream::consumer::PullConsumer = world
            .nats
            .jetstream()
            .get_consumer_from_stream("cmd-reviews", COMMANDS)
            .await
            .unwrap();
        let info = consumer.info().await.unwrap();
        info.num_pending == 0 && info.num_ack_pending == 0 && info.ack_floor.stream_sequence >= messages
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_takes_commands_again_after_the_janitor_but_nothing_unsettled_or_new_goes() {
    let world = World::new(&[]).await;
    let lane = boxes(&world);
    let consumers = lane.consumers();
    world.apply(&consumers).await;
    // COMMANDS alone is small: what it holds is settled only when its events find room.
    let js = world.nats.jetstream();
    let mut small = js.get_stream(COMMANDS).await.unwrap().cached_info().config.clone();
    small.max_bytes = 32 << 10;
    js.update_stream(small).await.unwrap();
    let mut count = 0_u128;
    let full = async |from: u128| {
        for n in from.. {
            let (id, at) = (Uuid::from_u128(n), "cmd.reviews.put.v1");
            let body = serde_json::to_vec(&toys::Command::Put { amount: 1 }).unwrap();
            let message = Outgoing::new(format!("{at}.{id}"), &toys::envelope(id, id), body.into(), true);
            match world.commands.publish(message).await {
                Ok(_) => {}
                Err(PublishError::Full) => return n,
                Err(other) => panic!("{other}"),
            }
        }
        from
    };
    count = full(count).await;
    assert!(count > 10);
    let later = || ahead(SignedDuration::from_hours(25));
    assert_eq!(
        janitor(&world, later(), &consumers).sweep().await.unwrap(),
        0,
        "nobody has settled any"
    );
    let running = lane.start(&world.engine);
    settled(&world, u64::try_from(count).unwrap()).await;
    assert_eq!(
        janitor(&world, Clock::system(), &consumers).sweep().await.unwrap(),
        0,
        "all are new"
    );
    let with_unknown = [
        consumers[0].clone(),
        Consumer {
            name: "cmd-away".into(),
            ..consumers[0].clone()
        },
    ];
    let held = janitor(&world, later(), &with_unknown).sweep().await.unwrap();
    assert_eq!(held, 0, "one of those who hear it is not there");
    let purged = janitor(&world, later(), &consumers).sweep().await.unwrap();
    assert_eq!(u128::from(purged), count);
    assert!(full(count).await > count + 10, "there is room again");
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_forgets_commands_that_have_left_the_stream_and_calls_that_are_done() {
    let world = World::new(&[]).await;
    let lane = boxes(&world);
    let consumers = lane.consumers();
    world.apply(&consumers).await;
    let running = lane.start(&world.engine);
    // More than a page, so that a walk goes on where it was.
    futures_util::future::join_all((0..700_u128).map(|n| {
        let id = Uuid::from_u128(n);
        toys::put(&world.commands, id, id, 1)
    }))
    .await;
    settled(&world, 700).await;
    let effects = Effects::new(world.store.clone());
    for (n, is_done) in [(1, true), (2, false)] {
        let Begun::Now(effect) = effects.begin::<()>(Uuid::from_u128(n), "charge").await.unwrap() else {
            panic!("begun before");
        };
        if is_done {
            effects.done(&effect, &()).await.unwrap();
        }
    }
    let ids = async |table: &'static str| -> HashSet<Vec<Part>> {
        let mut all = HashSet::new();
        let mut after = Vec::new();
        loop {
            let page: Vec<(Vec<Part>, serde_json::Value)> = world.store.page(table, &[], &after, 500).await.unwrap();
            let Some((last, _)) = page.last() else { return all };
            after.clone_from(last);
            all.extend(page.into_iter().map(|(key, _)| key));
        }
    };
    let retention = |clock| {
        let (nats, store) = (world.nats.clone(), world.store.clone());
        let leases = Leases::new(store.clone());
        Retention::new(nats, store, leases, clock, Duration::from_secs(24 * 3600))
    };
    // The commands of these boxes are from 1970, so all are old; but they are in the stream yet.
    retention(Clock::system()).walk().await.unwrap();
    assert_eq!(ids("inbox").await.len(), 700);
    assert_eq!(ids("effect").await.len(), 2);
    let later = || ahead(SignedDuration::from_hours(24 * 40));
    assert_eq!(janitor(&world, later(), &consumers).sweep().await.unwrap(), 700);
    // A message that came a second time, because the machine is busy, has left a count of its tries.
    let tried = ids("attempts").await.len() as u64;
    let met = retention(later()).walk().await.unwrap();
    assert_eq!(met, 702 + tried, "each row once");
    assert_eq!(ids("inbox").await.len(), 0);
    let left = ids("effect").await;
    let maybe = Key::new("effect", [Part::from(Uuid::from_u128(2)), Part::from("charge")]);
    assert_eq!(
        left,
        HashSet::from([maybe.parts]),
        "what may have been made is not forgotten"
    );
    running.stop(Duration::from_secs(5)).await;
}
