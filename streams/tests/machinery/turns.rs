//! Members take turns in a fair lane, however much one of them sends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use maru_schemas::envelope::Envelope;
use maru_schemas::ids::MemberId;
use maru_streams::jobs::{Delivery, Handler, Lane, Policy, Verdict};
use maru_streams::publish::Outgoing;
use maru_streams::subject::Subject;
use maru_streams::testing::{World, until};
use maru_streams::topology::JOBS;
use uuid::Uuid;

use crate::toys;

const POLICY: Policy = Policy {
    concurrency: 2,
    fair: true,
    ..Policy::QUICK
};

/// Writes down whose jobs were done, in order.
#[derive(Default)]
struct Diary {
    done: Mutex<Vec<(Option<MemberId>, Uuid)>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Handler for Diary {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            let entry = (delivery.envelope.owner, delivery.envelope.id);
            self.done.lock().unwrap().push(entry);
            self.running.fetch_sub(1, Ordering::SeqCst);
            Verdict::Done
        }
        .boxed()
    }
}

fn lane(diary: &Arc<Diary>) -> Lane {
    Lane {
        name: "job-paint_image".into(),
        stream: JOBS,
        filters: vec!["job.paint_image.>".into()],
        policy: POLICY,
        handler: Arc::clone(diary) as Arc<dyn Handler>,
    }
}

async fn send(world: &World, member: u128, how_many: u128) {
    let sent = (0..how_many).map(|n| {
        let id = Uuid::from_u128(member << 64 | n);
        let envelope = Envelope {
            owner: Some(MemberId(Uuid::from_u128(member))),
            ..toys::envelope(id, id)
        };
        let at = Subject::Job {
            kind: "paint_image",
            id,
        };
        world.jobs.publish(Outgoing::new(at, &envelope, "{}".into(), true))
    });
    for stored in join_all(sent).await {
        stored.expect("stored");
    }
}

impl Diary {
    fn of(&self, member: u128) -> Vec<usize> {
        let whose = Some(MemberId(Uuid::from_u128(member)));
        let done = self.done.lock().unwrap();
        let own = done.iter().enumerate().filter(|(_, (owner, _))| *owner == whose);
        own.map(|(place, _)| place).collect()
    }

    fn most_often(&self) -> usize {
        let mut often: HashMap<Uuid, usize> = HashMap::new();
        for (_, id) in self.done.lock().unwrap().iter() {
            *often.entry(*id).or_default() += 1;
        }
        often.into_values().max().unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_members_thousand_jobs_do_not_keep_anothers_ten_from_being_done() {
    let diary = Arc::new(Diary::default());
    let lane = lane(&diary);
    let world = World::new(&lane.consumers()).await;
    send(&world, 1, 1000).await;
    send(&world, 2, 10).await;
    let running = lane.start(&world.engine);
    until("the ten are done", async || diary.of(2).len() == 10).await;
    let place = diary.of(2)[9];
    assert!(place < 500, "the tenth was done as number {place} of all");
    until("all are done", async || diary.of(1).len() == 1000).await;
    assert_eq!(diary.most_often(), 1, "each is done once, wherever it waited");
    assert_eq!(
        diary.most.load(Ordering::SeqCst),
        2,
        "what waits for its turn holds no slot"
    );
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_the_back_is_done_though_the_front_is_never_empty() {
    // So many that the lane looks far ahead, and finds that one member has too many in front.
    const MANY: usize = 400;
    let diary = Arc::new(Diary::default());
    let lane = lane(&diary);
    let world = World::new(&lane.consumers()).await;
    send(&world, 1, MANY as u128).await;
    let running = lane.start(&world.engine);
    // For as long as it takes, others come with a little each, which never waits at the back.
    let (mut sent, mut newcomer) = (0, 2);
    until("all of the first are done", async || {
        let (own, all) = (diary.of(1).len(), diary.done.lock().unwrap().len());
        let others = all - own;
        assert!(
            others < 3 * MANY,
            "{own} of {MANY} were done while {others} of others were"
        );
        while sent - others < 60 {
            send(&world, newcomer, 10).await;
            (sent, newcomer) = (sent + 10, newcomer + 1);
        }
        own == MANY
    })
    .await;
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_stops_while_much_waits_for_its_turn_gives_it_back_at_once() {
    let diary = Arc::new(Diary::default());
    let world = World::new(&lane(&diary).consumers()).await;
    send(&world, 1, 300).await;
    let running = lane(&diary).start(&world.engine);
    until("some are done", async || diary.of(1).len() > 20).await;
    running.stop(Duration::from_secs(5)).await;
    let second = lane(&diary).start(&world.engine);
    until("all are done", async || diary.of(1).len() == 300).await;
    assert_eq!(diary.most_often(), 1);
    second.stop(Duration::from_secs(5)).await;
}
