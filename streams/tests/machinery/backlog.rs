//! What waits, waits on the server: a lane that is behind by ten thousand messages holds a few of them, and so much
//! memory.

use std::time::Duration;

use futures_util::StreamExt;
use maru_schemas::envelope::Envelope;
use maru_schemas::ids::MemberId;
use maru_streams::jobs::{Lane, Policy};
use maru_streams::publish::Outgoing;
use maru_streams::subject::Subject;
use maru_streams::testing::conformance::gated;
use maru_streams::testing::{World, until};
use maru_streams::topology::{self, JOBS};
use uuid::Uuid;

use crate::toys;

const WAITING: usize = 10_000;
/// As long as a long draft.
const BODY_BYTES: usize = 8 << 10;
/// As drafts are written: slowly, and members take turns, for which more are held than run.
const DRAFTS: Policy = Policy {
    concurrency: 4,
    fair: true,
    ..Policy::OUTSIDE
};
/// Running, as many again at hand, and a crowd among whom members can take turns.
const HELD: usize = 4 * 2 + 256;
/// What ten thousand bodies would take is more than three times as much.
const GROWN_BYTES: u64 = 24 << 20;

/// What this process holds in memory.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// Ten of each member, which is not too much for one.
async fn store(world: &World) {
    let stored = (0..WAITING as u128).map(|n| {
        let id = Uuid::from_u128(n);
        let at = Subject::Job { kind: "draft", id };
        let envelope = Envelope {
            owner: Some(MemberId(Uuid::from_u128(n / 10))),
            ..toys::envelope(id, id)
        };
        let body = vec![b'-'; BODY_BYTES].into();
        world.jobs.publish(Outgoing::new(at, &envelope, body, true))
    });
    let mut stored = futures_util::stream::iter(stored).buffer_unordered(64);
    while let Some(stored) = stored.next().await {
        stored.expect("stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_drafts_wait_on_the_server_and_not_in_memory_and_all_of_them_finish() {
    let (handler, seen, gate) = gated();
    let lane = Lane {
        name: "job-draft".into(),
        stream: JOBS,
        filters: vec!["job.draft.>".into()],
        policy: DRAFTS,
        handler,
    };
    let world = World::on_disk(&lane.consumers()).await;
    store(&world).await;
    let before = resident_bytes();
    let running = lane.start(&world.engine);
    let there = async || topology::consumer_info(&world.nats, JOBS, "job-draft").await.unwrap();
    until("as many are held as may be", async || {
        there().await.num_ack_pending >= HELD - DRAFTS.concurrency
    })
    .await;
    // Nothing more comes while the storyteller takes its time: the next heartbeat of a held message is far away.
    assert!(there().await.num_ack_pending <= HELD, "{:?}", there().await);
    until("all slots are taken", async || seen.running() == DRAFTS.concurrency).await;
    let held = resident_bytes().saturating_sub(before);
    gate.add_permits(WAITING);
    until("all are done", async || {
        there().await.num_ack_pending == 0 && there().await.num_pending == 0
    })
    .await;
    let done = resident_bytes().saturating_sub(before);
    running.stop(Duration::from_secs(5)).await;
    assert!(
        held < GROWN_BYTES && done < GROWN_BYTES,
        "it grew by {held}, and by {done}"
    );
    assert_eq!(seen.counts().len(), WAITING);
    assert_eq!((seen.total(), seen.most()), (WAITING, DRAFTS.concurrency));
}
