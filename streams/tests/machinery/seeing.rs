use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use maru_streams::jobs::{Delivery, Lane, Policy};
use maru_streams::store::Key;
use maru_streams::testing::{World, until};
use maru_streams::topology::{COMMANDS, EVENTS};
use maru_streams::views::{self, FoldError, Rows, View};
use maru_streams::write::commands::Commands;
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::toys::{self, Boxes, Event};

/// Keeps the sum of each box, as an event at a time adds up to it.
struct Sums;

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
                return Err(FoldError::Unreadable { seq: event.seq });
            };
            let key = Key::of("book_home", event.envelope.subject);
            let sum: Option<serde_json::Value> = rows.get(&key).await?;
            let sum = sum.map_or(0, |row| row["sum"].as_u64().unwrap());
            rows.put(key, &serde_json::json!({ "sum": sum + amount }))
        }
        .boxed()
    }
}

fn view() -> Arc<dyn View> {
    Arc::new(Sums)
}

struct Reading(CancellationToken, tokio::task::JoinHandle<()>);

fn start(world: &World) -> Reading {
    let stop = CancellationToken::new();
    let task = tokio::spawn(views::read(
        world.nats.clone(),
        world.store.clone(),
        view(),
        stop.clone(),
    ));
    Reading(stop, task)
}

impl Reading {
    async fn stop(self) {
        self.0.cancel();
        self.1.await.unwrap();
    }
}

async fn world() -> World {
    let world = World::new(&[view().consumer()]).await;
    let lane = lane(&world);
    world.apply(&[lane.consumer()]).await;
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
        },
        handler: Arc::new(Commands::<Boxes>::new(
            world.nats.clone(),
            world.store.clone(),
            world.outbox(),
        )),
    }
}

async fn put(world: &World, from: u128, to: u128) {
    join_all((from..to).map(|n| toys::put(&world.commands, Uuid::from_u128(1000 + n), Uuid::from_u128(n % 4), 5)))
        .await;
}

async fn sums(world: &World) -> Vec<u64> {
    let mut sums = Vec::new();
    for n in 0..4 {
        let row: Option<serde_json::Value> = world
            .store
            .get(&Key::of("book_home", Uuid::from_u128(n)))
            .await
            .unwrap();
        sums.push(row.map_or(0, |row| row["sum"].as_u64().unwrap()));
    }
    sums
}

async fn caught_up(world: &World) {
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
    until("events are there", async || world.count(EVENTS).await == 80).await;
    caught_up(&world).await;
    first.stop().await;
    put(&world, 40, 80).await;
    until("events are there", async || world.count(EVENTS).await == 160).await;
    caught_up(&world).await;
    second.stop().await;
    let third = start(&world);
    put(&world, 80, 120).await;
    until("events are there", async || world.count(EVENTS).await == 240).await;
    caught_up(&world).await;
    third.stop().await;
    assert_eq!(sums(&world).await, [150; 4]);
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
    until("events are there", async || world.count(EVENTS).await == 120).await;
    caught_up(&world).await;
    assert_eq!(sums(&world).await, [75; 4]);
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_view_is_built_again_and_is_the_same() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    until("events are there", async || world.count(EVENTS).await == 80).await;
    caught_up(&world).await;
    let before = sums(&world).await;
    views::forget(&world.store, &*view()).await.unwrap();
    put(&world, 40, 41).await;
    until("events are there", async || world.count(EVENTS).await == 82).await;
    caught_up(&world).await;
    let after = sums(&world).await;
    assert_eq!(after.iter().sum::<u64>(), before.iter().sum::<u64>() + 5);
    assert_eq!(after[1..], before[1..]);
    reading.stop().await;
}
