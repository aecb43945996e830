use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use maru_streams::jobs::{Delivery, Lane, Next, Policy, Session};
use maru_streams::publish::Outgoing;
use maru_streams::store::Key;
use maru_streams::subject::Subject;
use maru_streams::testing::{World, until};
use maru_streams::topology::{COMMANDS, EVENTS, READER_GROUP, dismiss};
use maru_streams::views::{self, FoldError, Rows, View};
use maru_streams::write::commands::Commands;
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::toys::{self, Boxes, Event};

/// Keeps the sum of each box, as an event at a time adds up to it; in a build with a bug, only of what is
/// not two.
#[derive(Default)]
pub struct Sums {
    /// The boxes stand on so many shelves, and it is the sum of a shelf that is kept.
    pub shelves: Option<u128>,
    pub has_bug: bool,
    pub reads_anything: bool,
}

impl View for Sums {
    fn name(&self) -> &'static str {
        "book_home"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["book_home"]
    }

    fn contexts(&self) -> &'static [&'static str] {
        &["reviews"]
    }

    fn fold<'a>(&'a self, event: &'a Delivery, rows: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>> {
        async move {
            let Ok(Event::Added { amount }) = event.decode() else {
                if self.reads_anything {
                    return Ok(());
                }
                return Err(FoldError::Unreadable { seq: event.seq });
            };
            let about = event.envelope.subject.as_u128();
            let of = self.shelves.map_or(about, |shelves| about % shelves);
            let key = Key::of("book_home", Uuid::from_u128(of));
            let sum: Option<serde_json::Value> = rows.get(&key).await?;
            let sum = sum.map_or(0, |row| row["sum"].as_u64().unwrap());
            if self.has_bug && amount == 2 {
                return Ok(());
            }
            rows.put(key, &serde_json::json!({ "sum": sum + amount }))
        }
        .boxed()
    }
}

pub fn view() -> Arc<dyn View> {
    Arc::new(Sums::default())
}

pub struct Reading(CancellationToken, tokio::task::JoinHandle<()>);

pub fn start(world: &World) -> Reading {
    start_reading(world, view())
}

pub fn start_reading(world: &World, view: Arc<dyn View>) -> Reading {
    let stop = CancellationToken::new();
    let task = tokio::spawn(views::read(world.nats.clone(), world.store.clone(), view, stop.clone()));
    Reading(stop, task)
}

impl Reading {
    pub async fn stop(self) {
        self.0.cancel();
        self.1.await.unwrap();
    }
}

pub async fn world() -> World {
    let world = World::new(&[view().consumer()]).await;
    let lane = lane(&world);
    world.apply(&lane.consumers()).await;
    // Runs until the world ends.
    let _ = lane.start(&world.engine);
    world
}

fn lane(world: &World) -> Lane {
    Lane {
        name: "cmd-reviews".into(),
        stream: COMMANDS,
        filters: vec!["cmd.reviews.>".into()],
        policy: Policy {
            concurrency: 10,
            timeout: Duration::from_secs(20),
            retries: 3,
            first_retry: Duration::from_millis(50),
            ..Policy::QUICK
        },
        handler: Arc::new(Commands::<Boxes>::new(
            world.nats.clone(),
            world.store.clone(),
            world.outbox(),
        )),
    }
}

pub async fn put(world: &World, from: u128, to: u128) {
    join_all((from..to).map(|n| toys::put(&world.commands, Uuid::from_u128(1000 + n), Uuid::from_u128(n % 4), 5)))
        .await;
}

pub async fn sums(world: &World) -> Vec<u64> {
    let mut sums = Vec::new();
    for n in 0..4 {
        let key = Key::of("book_home", Uuid::from_u128(n));
        let look = views::get::<serde_json::Value>(&world.store, "book_home", &key, 0).await;
        let row = look.unwrap().rows.unwrap();
        sums.push(row.map_or(0, |row| row["sum"].as_u64().unwrap()));
    }
    sums
}

async fn caught_up_with(world: &World, events: u64) {
    until("events are there", async || world.count(EVENTS).await == events).await;
    caught_up(world).await;
}

pub async fn caught_up(world: &World) {
    until("the view is where the stream is", async || {
        let newest = world.count(EVENTS).await;
        views::mark(&world.store, "book_home").await.unwrap() == Some(newest)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_counts_every_event_once_whoever_reads_and_however_often_it_begins() {
    let world = world().await;
    // Two readers at once: one is served, the other stands by.
    let (first, second) = (start(&world), start(&world));
    put(&world, 0, 40).await;
    caught_up_with(&world, 80).await;
    first.stop().await;
    put(&world, 40, 80).await;
    caught_up_with(&world, 160).await;
    second.stop().await;
    let third = start(&world);
    put(&world, 80, 120).await;
    caught_up_with(&world, 240).await;
    third.stop().await;
    assert_eq!(sums(&world).await, [150; 4]);
}

/// Whom the server serves.
async fn served(world: &World) -> Option<String> {
    let stream = world.nats.jetstream().get_stream_no_info(EVENTS).await.unwrap();
    let info = stream.consumer_info(&view().consumer().name).await.unwrap();
    info.priority_groups
        .into_iter()
        .find_map(|group| group.pinned_client_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_event_comes_now_and_then_the_same_reader_is_served() {
    let world = world().await;
    let (first, second) = (start(&world), start(&world));
    put(&world, 0, 1).await;
    caught_up_with(&world, 2).await;
    let before = served(&world).await;
    assert!(before.is_some());
    // Longer than the server's patience with a reader that asks for nothing.
    let begun = Instant::now();
    for n in 1.. {
        put(&world, n, n + 1).await;
        caught_up_with(&world, 2 * u64::try_from(n + 1).unwrap()).await;
        assert_eq!(served(&world).await, before, "after {:?}", begun.elapsed());
        if begun.elapsed() > Duration::from_secs(12) {
            break;
        }
    }
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_gives_back_what_is_not_folded_yet() {
    let world = world().await;
    let first = start(&world);
    put(&world, 0, 40).await;
    caught_up_with(&world, 80).await;
    // They come to the first reader, who is about to rest.
    put(&world, 40, 80).await;
    until("events are there", async || world.count(EVENTS).await == 160).await;
    first.stop().await;
    let stream = world.nats.jetstream().get_stream_no_info(EVENTS).await.unwrap();
    let info = stream.consumer_info(&view().consumer().name).await.unwrap();
    let mark = views::mark(&world.store, "book_home").await.unwrap();
    assert_eq!(Some(info.delivered.stream_sequence), mark);
    assert_eq!(served(&world).await, None);
    let second = start(&world);
    caught_up(&world).await;
    second.stop().await;
    assert_eq!(sums(&world).await, [100; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_was_not_given_the_beginning_asks_for_it() {
    let world = world().await;
    let consumer = view().consumer().name;
    let gone = Session::open(&world.nats, EVENTS, &consumer, Some(READER_GROUP)).await;
    let mut gone = gone.unwrap();
    gone.request(100).await.unwrap();
    put(&world, 0, 4).await;
    for _ in 0..8 {
        assert!(matches!(gone.next().await.unwrap(), Next::Message(_)));
    }
    // Another one stands by, and is served when this one is gone, from the ninth event on.
    let reading = start(&world);
    let stream = world.nats.jetstream().get_stream_no_info(EVENTS).await.unwrap();
    until("two stand there", async || {
        stream.consumer_info(&consumer).await.unwrap().num_waiting > 1
    })
    .await;
    gone.leave().await;
    gone.hand_over(EVENTS, &consumer).await;
    put(&world, 4, 8).await;
    caught_up_with(&world, 16).await;
    reading.stop().await;
    assert_eq!(sums(&world).await, [10; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_view_does_not_listen_to_is_passed_in_company() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 1).await;
    caught_up_with(&world, 2).await;
    let (begun, mut marks) = (Instant::now(), BTreeSet::new());
    for n in 0..200 {
        let id = Uuid::from_u128(n);
        let at = Subject::Event {
            context: "payments",
            kind: "payment_requested",
            aggregate: id,
        };
        let message = Outgoing::new(at, &toys::envelope(id, id), "{}".into(), false);
        world.events.publish(message).await.unwrap();
        marks.insert(views::mark(&world.store, "book_home").await.unwrap());
    }
    // However slow the machine is, two moves of the mark are a tenth of a second apart.
    let most = begun.elapsed().as_millis() / 100 + 2;
    assert!(
        marks.len() as u128 <= most,
        "the mark stood at {} places, not {most}",
        marks.len()
    );
    caught_up(&world).await;
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_goes_on_after_the_server_was_killed() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    world.server.signal(Signal::KILL);
    until("the server is back", async || world.nats.is_connected()).await;
    until("events are there", async || {
        world.nats.is_connected() && world.count(EVENTS).await == 80
    })
    .await;
    put(&world, 40, 60).await;
    caught_up_with(&world, 120).await;
    assert_eq!(sums(&world).await, [75; 4]);
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_whose_consumer_was_deleted_goes_on_by_itself() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    caught_up_with(&world, 80).await;
    dismiss(&world.nats, &view().consumer()).await.unwrap();
    put(&world, 40, 60).await;
    caught_up_with(&world, 120).await;
    assert_eq!(sums(&world).await, [75; 4]);
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_view_is_built_again_and_is_the_same() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    caught_up_with(&world, 80).await;
    let before = sums(&world).await;
    views::forget(&world.store, &*view()).await.unwrap();
    put(&world, 40, 41).await;
    caught_up_with(&world, 82).await;
    let after = sums(&world).await;
    assert_eq!(after.iter().sum::<u64>(), before.iter().sum::<u64>() + 5);
    assert_eq!(after[1..], before[1..]);
    reading.stop().await;
}

/// Puts copies of the first events into EVENTS once more, in this order, past the server's own dedupe.
async fn again(world: &World, sequences: impl IntoIterator<Item = u64>) {
    let events = world.nats.jetstream().get_stream(EVENTS).await.unwrap();
    for seq in sequences {
        let event = events.get_raw_message(seq).await.unwrap();
        let mut headers = async_nats::HeaderMap::new();
        for (name, values) in event
            .headers
            .iter()
            .filter(|(name, _)| name.to_string() != "Nats-Msg-Id")
        {
            headers.insert(name.clone(), values[0].clone());
        }
        let published = world.nats.jetstream();
        let published = published.publish_with_headers(event.subject.to_string(), headers, event.payload);
        published.await.unwrap().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_again_late_and_in_another_order_change_nothing() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 12).await;
    caught_up_with(&world, 24).await;
    let before = sums(&world).await;
    again(&world, (1..=24).rev()).await;
    assert_eq!(world.count(EVENTS).await, 48);
    caught_up(&world).await;
    assert_eq!(sums(&world).await, before);
    // What comes after them is counted as ever.
    put(&world, 12, 16).await;
    caught_up_with(&world, 56).await;
    assert_eq!(sums(&world).await.iter().sum::<u64>(), before.iter().sum::<u64>() + 20);
    reading.stop().await;
}

/// Keeps where the last event of each box lies, and does not look what it kept before.
struct Newest;

impl View for Newest {
    fn name(&self) -> &'static str {
        "book_home"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["book_home"]
    }

    fn contexts(&self) -> &'static [&'static str] {
        &["reviews"]
    }

    fn fold<'a>(&'a self, event: &'a Delivery, rows: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>> {
        let key = Key::of("book_home", event.envelope.subject);
        std::future::ready(rows.put(key, &serde_json::json!({ "sum": event.seq }))).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_written_unread_replaces_the_one_that_another_reader_wrote() {
    let world = world().await;
    for (from, to) in [(0, 40), (40, 80)] {
        let reading = start_reading(&world, Arc::new(Newest));
        put(&world, from, to).await;
        let events = 2 * u64::try_from(to).unwrap();
        until("events are there", async || world.count(EVENTS).await == events).await;
        caught_up(&world).await;
        assert_eq!(sums(&world).await.into_iter().max(), Some(events));
        reading.stop().await;
    }
}
