use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::envelope::Envelope;
use maru_streams::deploy::{Unreadable, check};
use maru_streams::jobs::{Delivery, Handler, Lane, Policy, Reason, Verdict};
use maru_streams::publish::{Outgoing, Publisher};
use maru_streams::testing::{World, until};
use maru_streams::topology::{COMMANDS, Consumer, DEAD, Reads, SCHEDULES, Size};
use uuid::Uuid;

use crate::toys;

/// What the build of these tests reads.
fn subjects() -> BTreeSet<String> {
    ["cmd.reviews.put.v1", "evt.reviews.added.v1"].map(str::to_owned).into()
}

/// Sends something under any subject, as another build would.
async fn plant(publisher: &Publisher, kind: &str, id: u128) {
    let envelope = toys::envelope(Uuid::from_u128(id), Uuid::from_u128(1));
    let subject = format!("{kind}.{}", Uuid::from_u128(id));
    let message = Outgoing::new(subject, &envelope, "{}".into(), true);
    publisher.publish(message).await.unwrap();
}

/// Knows nothing but one kind.
struct Picky;

impl Handler for Picky {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        let verdict = match delivery.subject.contains(".burn.") {
            true => Verdict::Poison(Reason::new("unknown_kind", "on purpose")),
            false => Verdict::Done,
        };
        async { verdict }.boxed()
    }
}

fn lane() -> Lane {
    Lane {
        name: "cmd-reviews".into(),
        stream: COMMANDS,
        filters: vec!["cmd.reviews.>".into()],
        policy: Policy {
            concurrency: 4,
            timeout: Duration::from_secs(5),
            retries: 0,
            first_retry: Duration::from_secs(1),
            ..Policy::QUICK
        },
        handler: Arc::new(Picky),
    }
}

fn unreadable(stream: &str, kind: &str, messages: u64) -> Unreadable {
    Unreadable {
        stream: stream.into(),
        kind: kind.into(),
        messages,
    }
}

/// As the world makes its streams.
const SIZE: Size = Size {
    max_bytes: 256 << 20,
    replicas: 1,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_dropped_a_kind_or_a_version_is_told_how_much_it_would_strand() {
    let lane = lane();
    let ours = lane.consumers();
    let world = World::new(&ours).await;
    for n in 1..4 {
        toys::put(&world.commands, Uuid::from_u128(n), Uuid::from_u128(1), 1).await;
    }
    let well = check(&world.nats, &subjects(), &ours, SIZE).await.unwrap();
    assert!(well.is_well() && well.topology.is_empty(), "{well:?}");

    plant(&world.commands, "cmd.reviews.shake.v1", 10).await;
    plant(&world.commands, "cmd.reviews.shake.v1", 11).await;
    plant(&world.commands, "cmd.reviews.put.v2", 12).await;
    plant(&world.events, "evt.reviews.shaken.v1", 13).await;
    plant(&world.jobs, "job.shake.v1", 14).await;
    let later = Envelope {
        kind: "maru.job.shake.v1".to_owned(),
        ..toys::envelope(Uuid::from_u128(16), Uuid::from_u128(1))
    };
    let schedules = Publisher::start(world.nats.clone(), SCHEDULES);
    let subject = format!("sched.job.shake.{}", Uuid::from_u128(16));
    schedules
        .publish(Outgoing::new(subject, &later, "{}".into(), true))
        .await
        .unwrap();
    let checked = check(&world.nats, &subjects(), &ours, SIZE).await.unwrap();
    assert!(!checked.is_well());
    let expected = [
        unreadable("COMMANDS", "cmd.reviews.put.v2", 1),
        unreadable("COMMANDS", "cmd.reviews.shake.v1", 2),
        unreadable("EVENTS", "evt.reviews.shaken.v1", 1),
        unreadable("JOBS", "job.shake.v1", 1),
        unreadable("SCHEDULES", "job.shake.v1", 1),
    ];
    assert_eq!(checked.unreadable, expected);

    // What the old build has finished, the new one need not read; what it gave up, it must.
    plant(&world.commands, "cmd.reviews.burn.v1", 15).await;
    let running = lane.start(&world.engine);
    until("the old build has done it all", async || {
        let seen = maru_streams::lanes::look(&world.nats, &[COMMANDS]).await.unwrap();
        seen[0].left() == 0 && world.count(DEAD).await == 1
    })
    .await;
    let checked = check(&world.nats, &subjects(), &ours, SIZE).await.unwrap();
    let expected = [
        unreadable("DEAD", "cmd.reviews.burn.v1", 1),
        unreadable("EVENTS", "evt.reviews.shaken.v1", 1),
        unreadable("JOBS", "job.shake.v1", 1),
        unreadable("SCHEDULES", "job.shake.v1", 1),
    ];
    assert_eq!(checked.unreadable, expected);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_with_work_left_that_the_build_does_not_know_is_an_orphan() {
    let old = Consumer {
        stream: COMMANDS,
        name: "cmd-boxes".into(),
        filters: vec!["cmd.reviews.>".into()],
        reads: Reads::Settling { max_ack_pending: 10 },
    };
    let world = World::new(&[old]).await;
    let ours = lane().consumers();
    let checked = check(&world.nats, &subjects(), &ours, SIZE).await.unwrap();
    let missing = ["+ consumer COMMANDS/cmd-reviews", "+ consumer DEAD/redo-cmd-reviews"];
    assert!(checked.is_well() && checked.topology == missing);
    toys::put(&world.commands, Uuid::from_u128(1), Uuid::from_u128(1), 1).await;
    let checked = check(&world.nats, &subjects(), &ours, SIZE).await.unwrap();
    assert!(!checked.is_well());
    assert_eq!(
        (checked.orphans[0].consumer.as_str(), checked.orphans[0].left),
        ("cmd-boxes", 1)
    );
}
