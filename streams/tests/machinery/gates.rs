//! What a run has to pass: places in the cluster, rates, budgets, the breaker.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use maru_schemas::envelope::Envelope;
use maru_schemas::ids::MemberId;
use maru_streams::budgets::Budgets;
use maru_streams::jobs::{Delivery, Engine, Handler, Lane, Policy, Rate, Reason, Running, Trip, Verdict};
use maru_streams::publish::Outgoing;
use maru_streams::subject::Subject;
use maru_streams::testing::conformance::{self, Backend, Process, Servers};
use maru_streams::testing::{World, until};
use maru_streams::topology::{self, DEAD, JOBS};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::toys;

/// Counts calls, and how many were at once; each waits until it is let go.
struct Outside {
    calls: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
    let_go: Semaphore,
    fails: AtomicUsize,
}

impl Outside {
    fn new(let_go: usize) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            let_go: Semaphore::new(let_go),
            fails: AtomicUsize::new(0),
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Handler for Outside {
    fn handle(self: Arc<Self>, _: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.let_go.acquire().await.expect("open").forget();
            self.running.fetch_sub(1, Ordering::SeqCst);
            let fails = self
                .fails
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            match fails {
                Ok(_) => Verdict::Retry {
                    reason: Reason::new("provider_unavailable", "on purpose"),
                    at_least: None,
                },
                Err(_) => Verdict::Done,
            }
        }
        .boxed()
    }
}

fn lane(policy: Policy, outside: &Arc<Outside>) -> Lane {
    Lane {
        name: "job-write_story".into(),
        stream: JOBS,
        filters: vec!["job.write_story.>".into()],
        policy,
        handler: Arc::clone(outside) as Arc<dyn Handler>,
    }
}

const WHO: Uuid = Uuid::from_u128(77);

async fn send(world: &World, member: Uuid, ids: std::ops::Range<u128>) {
    let sent = ids.map(|n| {
        let id = Uuid::from_u128(n);
        let envelope = Envelope {
            owner: Some(MemberId(member)),
            ..toys::envelope(id, id)
        };
        let at = Subject::Job {
            kind: "write_story",
            id,
        };
        world.jobs.publish(Outgoing::new(at, &envelope, "{}".into(), true))
    });
    for stored in join_all(sent).await {
        stored.expect("stored");
    }
}

/// A process of its own: it shares server and database, and nothing else.
fn process(world: &World, lane: Lane) -> Running {
    let engine = Engine::new(
        world.nats.clone(),
        world.store.clone(),
        world.jobs.clone(),
        world.engine.letters.clone(),
        world.clock.clock(),
    );
    lane.start(&engine)
}

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_together_run_no_more_than_the_cluster_may() {
    let policy = Policy {
        concurrency: 4,
        across: Some(3),
        ..Policy::QUICK
    };
    let outside = Outside::new(0);
    let world = World::new(&lane(policy, &outside).consumers()).await;
    send(&world, WHO, 0..24).await;
    let processes: Vec<Running> = (0..4).map(|_| process(&world, lane(policy, &outside))).collect();
    until("three run", async || outside.running.load(Ordering::SeqCst) == 3).await;
    outside.let_go.add_permits(24);
    until("all are done", async || {
        outside.calls() == 24 && outside.running.load(Ordering::SeqCst) == 0
    })
    .await;
    assert_eq!(outside.most.load(Ordering::SeqCst), 3);
    join_all(processes.into_iter().map(|one| one.stop(GRACE))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_of_a_process_that_died_are_free_again_by_themselves() {
    let policy = Policy {
        concurrency: 2,
        across: Some(2),
        ..conformance::POLICY
    };
    let backend = Servers::make().await;
    backend.be_impatient().await;
    let (stuck, begun) = conformance::scripted(|_| std::future::pending());
    let dying = backend.start(policy, stuck).await;
    conformance::publish(&backend, 0..2).await;
    until("it holds both places", async || begun.running() == 2).await;
    dying.end();
    let (handler, seen) = conformance::scripted(|_| async { Verdict::Done });
    let other = backend.start(policy, handler).await;
    until("the other has both", async || backend.unsettled().await == 0).await;
    assert_eq!(seen.counts(), (0..2).map(|n| (n, 1)).collect());
    other.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_told_to_stop_waits_for_no_place() {
    let policy = Policy {
        concurrency: 1,
        across: Some(1),
        ..Policy::QUICK
    };
    let outside = Outside::new(0);
    let world = World::new(&lane(policy, &outside).consumers()).await;
    send(&world, WHO, 0..2).await;
    let holder = process(&world, lane(policy, &outside));
    until("the place is taken", async || outside.calls() == 1).await;
    let waiting = process(&world, lane(policy, &outside));
    until("the other waits for it", async || {
        let consumer = topology::consumer_info(&world.nats, JOBS, "job-write_story")
            .await
            .unwrap();
        consumer.num_ack_pending == 2
    })
    .await;
    // Less than it would wait for a place; more than it takes to hand one message back.
    let stopped = tokio::time::timeout(Duration::from_secs(10), waiting.stop(Duration::from_secs(60))).await;
    assert!(stopped.is_ok(), "it went on waiting for a place");
    assert_eq!(outside.calls(), 1);
    outside.let_go.add_permits(2);
    until("the one that stayed does both", async || outside.calls() == 2).await;
    holder.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_begins_no_more_often_than_its_rate() {
    let policy = Policy {
        rate: Some(Rate {
            per_second: NonZeroU16::new(10).unwrap(),
            each_per_minute: NonZeroU16::new(6000).unwrap(),
        }),
        ..Policy::QUICK
    };
    let outside = Outside::new(1000);
    let world = World::new(&lane(policy, &outside).consumers()).await;
    send(&world, WHO, 0..30).await;
    let begun = Instant::now();
    let processes: Vec<Running> = (0..2).map(|_| process(&world, lane(policy, &outside))).collect();
    until("all are done", async || outside.calls() == 30).await;
    // A burst of ten at once, the other twenty at ten a second. Waiting longer is allowed, less is not.
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
    join_all(processes.into_iter().map(|one| one.stop(GRACE))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_members_rate_does_not_slow_another() {
    let policy = Policy {
        rate: Some(Rate {
            per_second: NonZeroU16::new(1000).unwrap(),
            each_per_minute: NonZeroU16::new(2).unwrap(),
        }),
        ..Policy::QUICK
    };
    let outside = Outside::new(1000);
    let world = World::new(&lane(policy, &outside).consumers()).await;
    send(&world, WHO, 0..10).await;
    let running = process(&world, lane(policy, &outside));
    until("the first two ran", async || outside.calls() == 2).await;
    for member in 100..105 {
        send(&world, Uuid::from_u128(member), member..member + 1).await;
    }
    until("everybody else's ran", async || outside.calls() == 7).await;
    running.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_budget_sets_jobs_aside_and_a_top_up_lets_them_go() {
    let policy = Policy {
        metered: true,
        ..Policy::QUICK
    };
    let outside = Outside::new(1000);
    let world = World::new(&lane(policy, &outside).consumers()).await;
    let budgets = Budgets::new(world.nats.clone(), world.store.clone(), world.jobs.clone());
    let other = Uuid::from_u128(78);
    assert_eq!(budgets.set("write_story", WHO, 3, false).await.unwrap(), 0);
    send(&world, WHO, 0..10).await;
    let running = process(&world, lane(policy, &outside));
    let waiting = async || budgets.list().await.unwrap()[0].waiting;
    until("seven lie aside", async || waiting().await == 7).await;
    assert_eq!(outside.calls(), 3);
    send(&world, other, 20..25).await;
    until("who has no budget is not limited", async || outside.calls() == 8).await;

    assert_eq!(budgets.set("write_story", WHO, 2, true).await.unwrap(), 2);
    until("two more went on", async || outside.calls() == 10).await;
    assert_eq!(waiting().await, 5);
    budgets.set("write_story", WHO, 100, false).await.unwrap();
    until("all went on", async || outside.calls() == 15).await;
    let budget = budgets.list().await.unwrap().remove(0);
    assert_eq!((budget.spent, budget.waiting), (10, 0));
    assert_eq!(world.count(DEAD).await, 0, "nothing fails for want of a budget");
    running.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_failures_in_a_row_the_other_side_is_left_alone_and_probed_once() {
    const REST: Duration = Duration::from_secs(2);
    let policy = Policy {
        concurrency: 1,
        retries: 50,
        first_retry: Duration::from_millis(10),
        breaker: Some(Trip {
            failures: 5,
            rest: REST,
        }),
        ..Policy::QUICK
    };
    let outside = Outside::new(1000);
    outside.fails.store(6, Ordering::SeqCst);
    let world = World::new(&lane(policy, &outside).consumers()).await;
    send(&world, WHO, 0..20).await;
    let running = process(&world, lane(policy, &outside));
    until("five calls failed", async || outside.calls() == 5).await;
    let opened = Instant::now();
    let delivered = async || {
        let consumer = topology::consumer_info(&world.nats, JOBS, "job-write_story")
            .await
            .unwrap();
        consumer.delivered.consumer_sequence
    };
    let before = delivered().await;
    until("it is probed", async || outside.calls() == 6).await;
    assert!(opened.elapsed() >= REST.mul_f64(0.9), "{:?}", opened.elapsed());
    let came = delivered().await - before;
    assert!(came <= 3, "the lane took {came} messages in while it rested");
    let failed = Instant::now();
    until("the second probe goes well, and all is done", async || {
        outside.calls() == 26
    })
    .await;
    assert!(failed.elapsed() >= REST.mul_f64(0.9), "{:?}", failed.elapsed());
    running.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_let_go_and_is_set_aside_again_is_not_lost() {
    let policy = Policy {
        metered: true,
        ..Policy::QUICK
    };
    let outside = Outside::new(1000);
    let world = World::new(&lane(policy, &outside).consumers()).await;
    let budgets = Budgets::new(world.nats.clone(), world.store.clone(), world.jobs.clone());
    budgets.set("write_story", WHO, 3, false).await.unwrap();
    send(&world, WHO, 0..10).await;
    let running = process(&world, lane(policy, &outside));
    let waiting = async || budgets.list().await.unwrap()[0].waiting;
    until("seven lie aside", async || waiting().await == 7).await;
    running.stop(GRACE).await;

    // While nobody works five are let go, and then there is nothing to spend after all.
    assert_eq!(budgets.set("write_story", WHO, 5, true).await.unwrap(), 5);
    budgets.set("write_story", WHO, 3, false).await.unwrap();
    let running = process(&world, lane(policy, &outside));
    until("all seven lie aside again", async || waiting().await == 7).await;
    assert_eq!(outside.calls(), 3);
    budgets.set("write_story", WHO, 100, false).await.unwrap();
    until("all went on", async || outside.calls() == 10).await;
    assert_eq!(waiting().await, 0);
    running.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_breaker_closes_the_back_goes_on_as_the_front_does() {
    let policy = Policy {
        concurrency: 2,
        fair: true,
        retries: 50,
        first_retry: Duration::from_millis(10),
        breaker: Some(Trip {
            failures: 5,
            rest: Duration::from_secs(1),
        }),
        ..Policy::QUICK
    };
    let outside = Outside::new(1000);
    outside.fails.store(5, Ordering::SeqCst);
    let world = World::new(&lane(policy, &outside).consumers()).await;
    send(&world, WHO, 0..10).await;
    for n in 100..110 {
        let id = Uuid::from_u128(n);
        let envelope = toys::envelope(id, id);
        let at = format!("late.write_story.v1.{id}");
        let message = Outgoing::new(at, &envelope, "{}".into(), true);
        world.jobs.publish(message).await.expect("stored");
    }
    let running = process(&world, lane(policy, &outside));
    until("front and back are done", async || outside.calls() == 25).await;
    running.stop(GRACE).await;
}
