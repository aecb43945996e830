//! What lanes do beyond what every lane promises (see `conformance`): leases, canaries, pauses, drains.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use maru_schemas::envelope::Envelope;
use maru_schemas::ids::PaymentId;
use maru_schemas::jobs::Job;
use maru_streams::intention::Intention;
use maru_streams::jobs::canary::{self, Canary, Way};
use maru_streams::jobs::{Lane, Policy, Verdict};
use maru_streams::testing::conformance::{
    Backend, GRACE, LANE, POLICY, Process, Servers, consumer, envelope, gated, id, lane, message, publish, scripted,
    settled, soon,
};
use maru_streams::testing::{World, until};
use maru_streams::topology::{self, JOBS};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_longer_than_the_servers_patience_runs_once() {
    let backend = Servers::make().await;
    backend.0.shorten_ack_wait(&consumer(), Duration::from_secs(15)).await;
    let (handler, seen) = scripted(|_| async {
        tokio::time::sleep(Duration::from_secs(18)).await;
        Verdict::Done
    });
    let policy = Policy {
        timeout: Duration::from_secs(30),
        ..POLICY
    };
    let one = backend.start(policy, handler.clone()).await;
    let other = backend.start(policy, handler).await;
    publish(&backend, 0..4).await;
    until("all are settled", async || backend.unsettled().await == 0).await;
    assert_eq!(seen.total(), 4);
    one.stop(GRACE).await;
    other.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_hangs_where_nothing_can_stop_it_goes_on_elsewhere_when_its_lease_is_over() {
    let backend = Servers::make().await;
    backend.0.shorten_ack_wait(&consumer(), Duration::from_secs(12)).await;
    let (release, hold) = mpsc::channel::<()>();
    let hold = Arc::new(Mutex::new(hold));
    let (handler, seen) = scripted(move |call| {
        let hold = Arc::clone(&hold);
        async move {
            if call.nth == 1 {
                // No await: no timeout and no abort gets through to it.
                let _ = hold.lock().unwrap().recv();
            }
            Verdict::Done
        }
    });
    let policy = Policy {
        timeout: Duration::from_millis(100),
        ..POLICY
    };
    let stuck = backend.start(policy, handler.clone()).await;
    publish(&backend, [1]).await;
    soon("it hangs", async || seen.running() == 1).await;
    let other = backend.start(policy, handler).await;
    until("somebody else did it", async || backend.unsettled().await == 0).await;
    assert_eq!(seen.total(), 2);
    assert!(
        seen.waits(1)[0] > Duration::from_secs(15),
        "it was taken away too early"
    );
    drop(release);
    other.stop(GRACE).await;
    stuck.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_that_stop_under_load_leave_nothing_on_the_way() {
    const MANY: u128 = 4000;
    let backend = Servers::make().await;
    let (handler, seen) = scripted(|_| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Verdict::Done
    });
    let policy = Policy {
        concurrency: 16,
        ..POLICY
    };
    publish(&backend, 0..MANY).await;
    for _ in 0..12 {
        let before = seen.total();
        let process = backend.start(policy, handler.clone()).await;
        soon("it is busy", async || seen.total() > before + 100).await;
        process.stop(GRACE).await;
        assert_eq!(seen.running(), 0);
        let consumer = topology::consumer_info(&backend.0.nats, JOBS, LANE).await.unwrap();
        assert_eq!(
            consumer.num_ack_pending, 0,
            "these would wait for the server's patience"
        );
    }
    let process = backend.start(policy, handler).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..MANY).map(|n| (n, 1)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopping_lane_holds_for_its_turn_is_begun_by_others_and_not_by_it() {
    let backend = Servers::make().await;
    let policy = Policy { fair: true, ..POLICY };
    let (handler, seen, gate) = gated();
    backend.0.apply(&lane(policy, handler.clone()).consumers()).await;
    let slots = policy.concurrency as u128;
    let one = backend.start(policy, handler.clone()).await;
    publish(&backend, 0..slots * 2).await;
    soon("it holds twice what it runs", async || {
        let consumer = topology::consumer_info(&backend.0.nats, JOBS, LANE).await.unwrap();
        seen.running() == policy.concurrency && consumer.num_ack_pending == policy.concurrency * 2
    })
    .await;
    let stopping = tokio::spawn(one.stop(Duration::from_secs(60)));
    let other = backend.start(policy, handler).await;
    soon("the other has begun the rest", async || {
        seen.running() == policy.concurrency * 2
    })
    .await;
    gate.add_permits(1000);
    stopping.await.unwrap();
    settled(&backend).await;
    other.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..slots * 2).map(|n| (n, 1)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_lane_finishes_what_it_has_and_goes_on_when_it_is_resumed() {
    let backend = Servers::make().await;
    let (handler, seen, gate) = gated();
    let process = backend.start(POLICY, handler).await;
    publish(&backend, 0..10).await;
    soon("all slots are taken", async || seen.running() == POLICY.concurrency).await;
    let pause = async |until: &'static str| {
        let subject = format!("$JS.API.CONSUMER.PAUSE.{JOBS}.{LANE}");
        let request = format!(r#"{{"pause_until":"{until}"}}"#);
        backend.0.nats.client().request(subject, request.into()).await.unwrap();
    };
    pause("2099-01-01T00:00:00Z").await;
    gate.add_permits(1000);
    let info = async || topology::consumer_info(&backend.0.nats, JOBS, LANE).await.unwrap();
    soon("what it had is settled", async || info().await.num_ack_pending == 0).await;
    assert!(info().await.paused);
    let ran = seen.total();
    assert!(ran < 10, "the rest was not delivered");
    publish(&backend, 10..20).await;
    let paused = info().await;
    assert_eq!((paused.num_pending, paused.num_ack_pending), (20 - ran as u64, 0));
    assert_eq!(seen.total(), ran);
    pause("0001-01-01T00:00:00Z").await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), (0..20).map(|n| (n, 1)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_goes_the_whole_way_without_the_handler() {
    let backend = Servers::make().await;
    let (handler, seen) = scripted(|_| async { Verdict::Done });
    let process = backend.start(POLICY, handler).await;
    let canaries = [Canary {
        into: backend.0.jobs.clone(),
        way: Way::Job("charge"),
    }];
    let clock = backend.0.clock.clock();
    canary::send(&canaries, &clock).await;
    canary::send(&canaries, &clock).await;
    assert_eq!(backend.0.count(JOBS).await, 1, "every process sends it, one is stored");
    settled(&backend).await;
    backend.0.clock.advance(Duration::from_secs(60));
    canary::send(&canaries, &clock).await;
    assert_eq!(backend.0.count(JOBS).await, 2);
    publish(&backend, [1]).await;
    settled(&backend).await;
    process.stop(GRACE).await;
    assert_eq!(seen.counts(), [(1, 1)].into());
    assert!(backend.letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_intends_hangs_on_the_same_chain() {
    let sent = Envelope {
        correlation: id(41),
        causation: Some(id(42)),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..envelope(1)
    };
    let backend = Servers::make().await;
    let intend = backend.0.intend();
    let (handler, seen) = scripted(move |call| {
        let intend = intend.clone();
        async move {
            if call.n != 1 {
                return Verdict::Done;
            }
            let job = Job::Charge {
                payment: PaymentId(id(2)),
            };
            let next = vec![Intention::job(id(2), &job, id(2))];
            match intend.send(&call.delivery.envelope, next).await {
                Ok(()) => Verdict::Done,
                Err(error) => Verdict::later(error),
            }
        }
    });
    let process = backend.start(POLICY, handler).await;
    let mut first = message(1);
    first.headers = sent.headers();
    backend.publish(first).await;
    soon("what it intended ran too", async || !seen.of(2).is_empty()).await;
    process.stop(GRACE).await;
    let stream = backend.0.nats.jetstream().get_stream(JOBS).await.unwrap();
    let next = stream.direct_get_last_for_subject(message(2).subject).await.unwrap();
    let read = Envelope::read(|name| next.headers.get(name).map(|value| value.as_str())).unwrap();
    assert_eq!(read.correlation, sent.correlation);
    assert_eq!(read.causation, Some(sent.id));
    assert_eq!(read.traceparent, sent.traceparent);
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_lanes_that_wait_for_work_stop_in_under_a_second() {
    let world = World::new(&[]).await;
    let lanes: Vec<Lane> = (0..40)
        .map(|n| Lane {
            name: format!("job-idle{n}"),
            filters: vec![format!("job.idle{n}.>")],
            ..lane(POLICY, scripted(|_| async { Verdict::Done }).0)
        })
        .collect();
    world
        .apply(&lanes.iter().flat_map(Lane::consumers).collect::<Vec<_>>())
        .await;
    let running: Vec<_> = lanes.into_iter().map(|lane| lane.start(&world.engine)).collect();
    until("all of them ask", async || {
        let asks = (0..40).map(async |n| {
            let lane = format!("job-idle{n}");
            let consumer = topology::consumer_info(&world.nats, JOBS, &lane).await.unwrap();
            consumer.num_waiting > 0
        });
        join_all(asks).await.into_iter().all(|asks| asks)
    })
    .await;
    let begun = Instant::now();
    join_all(running.into_iter().map(|lane| lane.stop(GRACE))).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
