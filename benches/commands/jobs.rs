//! Jobs that do nothing: what a lane does in a second, beside the least that a reliable consumer must do. Both
//! read the same stored jobs, by turns, and the middle of the rounds' ratios counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use maru_schemas::envelope::Envelope;
use maru_streams::jobs::{Delivery, Handler, Lane, Policy, Verdict};
use maru_streams::publish::Outgoing;
use maru_streams::subject::Subject;
use maru_streams::testing::{World, raw_loop};
use maru_streams::topology::{self, Consumer, JOBS, Reads};
use tokio::sync::Notify;

use crate::new_id;
use crate::sheet::{Sheet, Speed, middle};

/// How many jobs are stored, and read with more than one slot: for a few seconds, so that what it takes to begin
/// counts for little.
const JOBS_STORED: usize = 50_000;
/// How many of them are read with one slot.
const FEW: usize = 5_000;
const ROUNDS: usize = 5;

/// What lanes reach of the raw loop.
pub struct Loops {
    pub eight: f64,
    pub sixty_four: f64,
}

const fn jobs(slots: usize) -> usize {
    if slots == 1 { FEW } else { JOBS_STORED }
}

/// Does nothing, and says when that was done often enough.
struct Idle {
    wanted: usize,
    done: AtomicUsize,
    enough: Notify,
}

impl Handler for Idle {
    fn handle(self: Arc<Self>, _: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted {
            self.enough.notify_one();
        }
        std::future::ready(Verdict::Done).boxed()
    }
}

async fn store(world: &World) {
    let stored = (0..JOBS_STORED).map(|_| {
        let id = new_id();
        let envelope = Envelope::of_the_house(id, "maru.jobs.idle.v1".to_owned(), world.clock.clock().now());
        let body = format!("{{\"idle\":{{\"note\":\"{}\"}}}}", "-".repeat(140));
        let message = Outgoing::new(Subject::Job { kind: "idle", id }, &envelope, body.into(), true);
        world.jobs.publish(message)
    });
    for stored in join_all(stored).await {
        stored.expect("stored");
    }
}

async fn raw(world: &World, slots: usize, round: usize) -> Duration {
    let consumer = Consumer {
        stream: JOBS,
        name: format!("raw-{slots}-{round}"),
        filters: vec!["job.idle.>".to_owned()],
        reads: Reads::Settling {
            max_ack_pending: Policy::QUICK.max_ack_pending(),
        },
    };
    world.apply(std::slice::from_ref(&consumer)).await;
    let begun = Instant::now();
    raw_loop(&world.nats, &consumer, slots, jobs(slots)).await;
    begun.elapsed()
}

async fn lane(world: &World, slots: usize, round: usize) -> Duration {
    let idle = Arc::new(Idle {
        wanted: jobs(slots),
        done: AtomicUsize::new(0),
        enough: Notify::new(),
    });
    let name = format!("job-idle-{slots}-{round}");
    let lane = Lane {
        name: name.clone(),
        stream: JOBS,
        filters: vec!["job.idle.>".to_owned()],
        policy: Policy {
            concurrency: slots,
            ..Policy::QUICK
        },
        handler: Arc::clone(&idle) as Arc<dyn Handler>,
    };
    world.apply(&lane.consumers()).await;
    let begun = Instant::now();
    let running = lane.start(&world.engine);
    idle.enough.notified().await;
    // As in the raw loop: each acknowledgement is confirmed before it counts.
    let settled = async || {
        let info = topology::consumer_info(&world.nats, JOBS, &name).await;
        info.expect("the consumer").ack_floor.stream_sequence
    };
    while settled().await < jobs(slots) as u64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = begun.elapsed();
    running.stop(Duration::from_secs(10)).await;
    took
}

pub async fn loops(sheet: &mut Sheet, world: &World) -> Loops {
    store(world).await;
    let mut shares = Vec::new();
    for slots in [1, 8, 64] {
        let (mut raws, mut lanes) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            raws.push(raw(world, slots, round).await);
            lanes.push(lane(world, slots, round).await);
        }
        let ratios = raws.iter().zip(&lanes);
        shares.push(middle(
            ratios
                .map(|(raw, lane)| raw.as_secs_f64() / lane.as_secs_f64())
                .collect(),
        ));
        let [raw, lane] = [raws, lanes].map(|each| Speed::whole(jobs(slots) * ROUNDS, each.iter().sum()));
        sheet.speed("consume and confirm, raw loop", slots, &raw);
        sheet.speed("no-op job in a lane", slots, &lane);
    }
    Loops {
        eight: shares[1],
        sixty_four: shares[2],
    }
}
