use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use maru_schemas::outcome::Outcome;
use maru_streams::jobs::{Lane, Policy};
use maru_streams::leases::Leases;
use maru_streams::store::{Key, Part, Store};
use maru_streams::tail;
use maru_streams::testing::faults::{CrashOnce, Twice};
use maru_streams::testing::{World, until};
use maru_streams::topology::{COMMANDS, DEAD, EVENTS};
use maru_streams::write::commands::Commands;
use maru_streams::write::inbox::{handled, last_word};
use maru_streams::write::transact::{pending, transact};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::toys::{self, Boxes, Command, Held};

const POLICY: Policy = Policy {
    concurrency: 10,
    timeout: Duration::from_secs(20),
    retries: 3,
    first_retry: Duration::from_millis(50),
    ..Policy::QUICK
};

fn lane(world: &World) -> Lane {
    Lane {
        name: "cmd-reviews".into(),
        stream: COMMANDS,
        filters: vec!["cmd.reviews.>".into()],
        policy: POLICY,
        handler: Arc::new(Commands::<Boxes>::new(
            world.nats.clone(),
            world.store.clone(),
            world.outbox(),
        )),
    }
}

async fn held(store: &Store, subject: Uuid) -> (u64, u64) {
    let (version, held): (u64, Held) = store.state("reviews", subject).await.unwrap().unwrap_or_default();
    (version, held.sum)
}

/// Everything in EVENTS: for each aggregate the versions in the order of the stream.
async fn versions(world: &World) -> HashMap<Uuid, Vec<u64>> {
    let count = world.count(EVENTS).await;
    let events = tail::events(&world.nats, Some(0)).await.unwrap();
    let mut versions: HashMap<Uuid, Vec<u64>> = HashMap::new();
    let mut events = std::pin::pin!(events.take(usize::try_from(count).unwrap()));
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        versions
            .entry(event.envelope.subject)
            .or_default()
            .push(event.envelope.version.unwrap());
    }
    versions
}

/// Thirty-two commands on one box at the same moment, each of them twice.
async fn race(world: World) {
    let subject = Uuid::from_u128(7);
    let outcomes = join_all((0..64_u128).map(|n| {
        let (store, id) = (world.store.clone(), Uuid::from_u128(100 + n % 32));
        tokio::spawn(async move {
            let envelope = toys::envelope(id, subject);
            loop {
                // Sixty-four on one row collide more often than one command is patient; the lane would
                // have it delivered again, and so does this.
                if let Ok(committed) = transact::<Boxes>(&store, &envelope, &Command::Put { amount: 10 }).await {
                    return (id, committed);
                }
            }
        })
    }))
    .await;
    let mut first = 0;
    let mut versions = HashMap::new();
    for outcome in outcomes {
        let (id, committed) = outcome.unwrap();
        first += usize::from(!committed.already);
        let Outcome::Done { version, .. } = committed.outcome else {
            panic!("refused")
        };
        assert_eq!(
            *versions.entry(id).or_insert(version),
            version,
            "one command, one outcome"
        );
    }
    assert_eq!(first, 32, "each command takes effect once");
    assert_eq!(held(&world.store, subject).await, (64, 320));
    let mut versions: Vec<u64> = versions.into_values().collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=32).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(pending(&world.store, "reviews", subject).await.unwrap().len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_commands_take_effect_once_each_in_memory() {
    race(World::new(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_commands_take_effect_once_each_on_disk() {
    race(World::on_disk(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_same_when_asked_again() {
    let world = World::new(&[]).await;
    let (id, subject) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let too_much = Command::Put { amount: 20_000 };
    let first = transact::<Boxes>(&world.store, &toys::envelope(id, subject), &too_much)
        .await
        .unwrap();
    let again = transact::<Boxes>(&world.store, &toys::envelope(id, subject), &too_much)
        .await
        .unwrap();
    assert!(matches!(&first.outcome, Outcome::Refused { code, http: 409, .. } if code == "BOXES_FULL"));
    assert_eq!(first.outcome, again.outcome);
    assert!(!first.already && again.already);
    assert_eq!(held(&world.store, subject).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_something_else_is_told_apart_from_a_repeat() {
    let world = World::new(&[]).await;
    let mut envelope = toys::envelope(Uuid::from_u128(1), Uuid::from_u128(2));
    envelope.fingerprint = Some("one".into());
    transact::<Boxes>(&world.store, &envelope, &Command::Put { amount: 1 })
        .await
        .unwrap();
    envelope.fingerprint = Some("another".into());
    let mixed_up = transact::<Boxes>(&world.store, &envelope, &Command::Put { amount: 2 })
        .await
        .unwrap();
    assert!(matches!(mixed_up.outcome, Outcome::Refused { http: 422, .. }));
    assert_eq!(held(&world.store, Uuid::from_u128(2)).await.1, 1);
}

/// Sends commands to several boxes, and checks that each took effect once, in order, and is told.
async fn all_is_well(world: &World, boxes: u128, each: u128) {
    let sent = (0..boxes * each).map(|n| {
        toys::put(
            &world.commands,
            Uuid::from_u128(1000 + n),
            Uuid::from_u128(n % boxes),
            3,
        )
    });
    join_all(sent).await;
    let events = u64::try_from(boxes * each * 2).unwrap();
    until("every event is in the stream", async || {
        world.count(EVENTS).await >= events
    })
    .await;
    until("nothing is left in the outbox", async || {
        let mut left = 0;
        for n in 0..boxes {
            left += pending(&world.store, "reviews", Uuid::from_u128(n))
                .await
                .unwrap()
                .len();
        }
        left == 0
    })
    .await;
    assert_eq!(world.count(EVENTS).await, events, "no event twice");
    for (subject, versions) in versions(world).await {
        assert_eq!(
            versions,
            (1..=u64::try_from(each * 2).unwrap()).collect::<Vec<_>>(),
            "{subject}"
        );
        assert_eq!(held(&world.store, subject).await.1, u64::try_from(each * 3).unwrap());
    }
    assert_eq!(world.count(DEAD).await, 0);
    let last = handled(&world.store, "reviews", Uuid::from_u128(1000))
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(last.outcome, Outcome::Done { seq: Some(_), .. }),
        "the inbox knows the token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_twice_is_every_effect_once() {
    let world = World::new(&[]).await;
    let lane = Twice::wrap(lane(&world));
    world.apply(&lane.consumers()).await;
    let running = lane.start(&world.engine);
    all_is_well(&world, 5, 20).await;
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_survives_a_crash_at_every_step() {
    for step in 0.. {
        let world = World::new(&[]).await;
        let crashes = Arc::new(AtomicUsize::new(0));
        let lane = CrashOnce::wrap(lane(&world), step, Arc::clone(&crashes));
        world.apply(&lane.consumers()).await;
        let running = lane.start(&world.engine);
        all_is_well(&world, 3, 4).await;
        running.stop(Duration::from_secs(5)).await;
        if crashes.load(Ordering::SeqCst) == 0 {
            assert!(step >= 3, "the handler has more steps than {step}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_word_about_a_command_has_its_token() {
    let world = World::new(&[]).await;
    let (command, subject) = (Uuid::from_u128(7), Uuid::from_u128(2));
    let envelope = toys::envelope(command, subject);
    let committed = transact::<Boxes>(&world.store, &envelope, &Command::Put { amount: 4 })
        .await
        .unwrap();
    let word = async || last_word(&world.store, "reviews", command).await.unwrap();
    assert_eq!(word().await, None, "its events are on their way");
    let outbox = world.outbox();
    let carried = outbox.publish(&committed.pending).await.unwrap();
    assert_eq!(word().await, None, "where they lie is not noted yet");
    outbox.clear(carried).await.unwrap();
    let outcome = word().await.unwrap().outcome;
    assert!(matches!(outcome, Outcome::Done { seq: Some(_), .. }), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_publishes_what_a_crash_left_lying() {
    let world = World::new(&[]).await;
    let subject = Uuid::from_u128(2);
    for n in 0..3 {
        let envelope = toys::envelope(Uuid::from_u128(n), subject);
        transact::<Boxes>(&world.store, &envelope, &Command::Put { amount: 4 })
            .await
            .unwrap();
    }
    assert_eq!(world.count(EVENTS).await, 0);
    let stop = CancellationToken::new();
    let sweeper = tokio::spawn(world.outbox().sweep(Leases::new(world.store.clone()), stop.clone()));
    until("the events are in the stream", async || world.count(EVENTS).await == 6).await;
    until("the outbox is empty", async || {
        pending(&world.store, "reviews", subject).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(versions(&world).await[&subject], [1, 2, 3, 4, 5, 6]);
    stop.cancel();
    sweeper.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_forward_page_by_page() {
    let world = World::new(&[]).await;
    for n in 0..25_i64 {
        for owner in ["a", "b"] {
            let key = Key::new("book_home", [Part::from(owner), Part::Number(n)]);
            assert!(world.store.create(&key, &serde_json::json!({ "n": n })).await.unwrap());
            assert!(!world.store.create(&key, &serde_json::json!({ "n": -1 })).await.unwrap());
        }
    }
    let (mut after, mut seen) = (Vec::new(), Vec::new());
    loop {
        let page: Vec<(Vec<Part>, serde_json::Value)> = world
            .store
            .page("book_home", &[Part::from("a")], &after, 10)
            .await
            .unwrap();
        let Some((key, _)) = page.last() else { break };
        after.clone_from(key);
        seen.extend(page.iter().map(|(_, row)| row["n"].as_i64().unwrap()));
    }
    assert_eq!(seen, (0..25).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_and_not_cleared_yet_is_not_published_again() {
    let world = World::new(&[]).await;
    let mut heard = world.nats.client().subscribe("evt.>").await.unwrap();
    let outbox = world.outbox();
    let (subject, ids) = (Uuid::from_u128(1), [2, 3].map(Uuid::from_u128));
    let mut committed = Vec::new();
    for id in ids {
        let put = Command::Put { amount: 4 };
        let envelope = toys::envelope(id, subject);
        committed.push(transact::<Boxes>(&world.store, &envelope, &put).await.unwrap());
    }
    assert_eq!([committed[0].pending.len(), committed[1].pending.len()], [2, 4]);
    let first = outbox.publish(&committed[0].pending).await.unwrap();
    let second = outbox.publish(&committed[1].pending).await.unwrap();
    assert_eq!(ids.map(|id| first.last_of(id)), [Some(2), None]);
    assert_eq!(ids.map(|id| second.last_of(id)), [Some(2), Some(4)]);
    // Neither is cleared: whoever finds the rows now publishes them, and the server knows them.
    drop((first, second));
    let swept = outbox.publish(&committed[1].pending).await.unwrap();
    assert_eq!(ids.map(|id| swept.last_of(id)), [Some(2), Some(4)]);
    outbox.clear(swept).await.unwrap();
    assert!(pending(&world.store, "reviews", subject).await.unwrap().is_empty());
    assert_eq!(world.count(EVENTS).await, 4);
    let mut published = Vec::new();
    for _ in 0..8 {
        let message = heard.next().await.unwrap();
        published.push(message.headers.unwrap().get("Nats-Msg-Id").unwrap().to_string());
    }
    assert_eq!(
        published[..4],
        published[4..],
        "each once before the rows were given up, and once after"
    );
    assert!(futures_util::FutureExt::now_or_never(heard.next()).is_none());
}
