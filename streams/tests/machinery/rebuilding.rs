use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use futures_util::future::poll_fn;
use maru_streams::desk::{Desk, DeskError};
use maru_streams::publish::Outgoing;
use maru_streams::store::{Key, Part};
use maru_streams::subject::Subject;
use maru_streams::testing::{World, until};
use maru_streams::topology::EVENTS;
use maru_streams::views::{self, View};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::seeing::{Sums, caught_up, put, start, start_reading, sums, view, world};

async fn ask(world: &World, name: &str, question: Value) -> Result<Value, DeskError> {
    let desk = views::answering(Desk::default(), &world.nats, &world.store, &[view()]);
    desk.ask(name, question, |_| {}).await
}

async fn of_book_home(world: &World, name: &str) -> Value {
    ask(world, name, json!({ "view": "book_home" })).await.unwrap()
}

/// Builds the other colour and waits for it.
async fn rebuild(world: &World, swap: bool) -> Value {
    let question = json!({ "view": "book_home", "swap": swap });
    ask(world, "views.rebuild", question).await.unwrap();
    of_book_home(world, "views.wait").await
}

async fn status(world: &World) -> Value {
    of_book_home(world, "views.status").await["views"][0].take()
}

async fn events(world: &World, count: u64) {
    until("events are there", async || world.count(EVENTS).await == count).await;
    caught_up(world).await;
}

/// Everything in one colour, as the database has it.
async fn rows(world: &World, table: &'static str) -> Vec<(Vec<Part>, Value)> {
    world.store.page(table, &[], &[], 1000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_built_again_under_load_and_nobody_who_reads_notices() {
    let world = Arc::new(world().await);
    let reading = start(&world);
    put(&world, 0, 40).await;
    events(&world, 80).await;

    let is_over = Arc::new(AtomicBool::new(false));
    let put_so_far = Arc::new(AtomicU64::new(80));
    let writers = tokio::spawn({
        let (world, is_over, put_so_far) = (Arc::clone(&world), Arc::clone(&is_over), Arc::clone(&put_so_far));
        async move {
            let mut n = 40;
            while !is_over.load(Ordering::SeqCst) {
                put(&world, n, n + 8).await;
                n += 8;
                put_so_far.fetch_add(16, Ordering::SeqCst);
            }
        }
    });
    let readers = tokio::spawn({
        let (world, is_over) = (Arc::clone(&world), Arc::clone(&is_over));
        async move {
            let (mut mark, mut sum, mut reads) = (0, 0, 0_u64);
            let key = Key::of("book_home", Uuid::from_u128(1));
            while !is_over.load(Ordering::SeqCst) {
                let look = views::get::<Value>(&world.store, "book_home", &key, mark)
                    .await
                    .unwrap();
                let row = look
                    .rows
                    .expect("never behind what was read before")
                    .expect("never gone");
                let now = row["sum"].as_u64().unwrap();
                assert!(
                    look.seq >= mark && now >= sum,
                    "{now} at {} after {sum} at {mark}",
                    look.seq
                );
                (mark, sum, reads) = (look.seq, now, reads + 1);
            }
            reads
        }
    });
    for nth in 1..=3 {
        let stands = rebuild(&world, true).await;
        let compared = &stands["compared"];
        assert_eq!(
            (&compared["missing"], &compared["extra"], &compared["differing"]),
            (&json!(0), &json!(0), &json!(0))
        );
        assert_eq!(stands["read"]["colour"], ["blue", "green"][nth % 2], "{stands}");
    }
    is_over.store(true, Ordering::SeqCst);
    writers.await.unwrap();
    assert!(readers.await.unwrap() > 100, "somebody read all the time");
    events(&world, put_so_far.load(Ordering::SeqCst)).await;
    until("the other colour is there too", async || {
        status(&world).await["other"]["lag"] == 0
    })
    .await;
    assert_eq!(rows(&world, "book_home").await, rows(&world, "book_home_green").await);
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bug_in_the_next_version_is_shown_and_it_is_not_swapped_in() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    events(&world, 80).await;
    reading.stop().await;
    let has_bug: Arc<dyn View> = Arc::new(Sums {
        has_bug: true,
        ..Sums::default()
    });
    let reading = start_reading(&world, has_bug);
    let stands = rebuild(&world, true).await;
    let compared = &stands["compared"];
    assert_eq!(
        (&compared["rows"], &compared["otherRows"], &compared["differing"]),
        (&json!(4), &json!(4), &json!(4))
    );
    assert_eq!(compared["examples"][0]["fields"], json!(["sum"]));
    assert_eq!(
        (&stands["read"]["colour"], &stands["other"]["stage"]),
        (&json!("blue"), &json!("ready"))
    );
    assert_eq!(sums(&world).await, [50; 4]);
    // Who has seen the difference and wants it gets it, and may go back.
    assert_eq!(of_book_home(&world, "views.swap").await["read"]["colour"], "green");
    assert_eq!(sums(&world).await, [30; 4]);
    assert_eq!(of_book_home(&world, "views.swap").await["read"]["colour"], "blue");
    assert_eq!(sums(&world).await, [50; 4]);
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_before_is_kept_up_to_date_until_it_is_dropped() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    events(&world, 80).await;
    let refused = ask(&world, "views.swap", json!({ "view": "book_home" }))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("maru views rebuild book_home"),
        "{refused}"
    );
    rebuild(&world, true).await;
    put(&world, 40, 80).await;
    events(&world, 160).await;
    assert_eq!(of_book_home(&world, "views.swap").await["read"]["colour"], "blue");
    assert_eq!(sums(&world).await, [100; 4]);
    of_book_home(&world, "views.swap").await;
    of_book_home(&world, "views.drop").await;
    let stands = of_book_home(&world, "views.wait").await;
    assert_eq!(
        (&stands["read"]["colour"], &stands["other"]),
        (&json!("green"), &Value::Null)
    );
    assert_eq!(rows(&world, "book_home").await, []);
    assert_eq!(sums(&world).await, [100; 4]);
    put(&world, 80, 84).await;
    events(&world, 168).await;
    assert_eq!(sums(&world).await, [105; 4]);
    // And once more, back into the place that was cleared.
    assert_eq!(rebuild(&world, true).await["read"]["colour"], "blue");
    assert_eq!(sums(&world).await, [105; 4]);
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_view_is_built_again_too() {
    let world = world().await;
    let reading = start(&world);
    let stands = rebuild(&world, true).await;
    assert_eq!(
        (&stands["read"]["colour"], &stands["compared"]["rows"]),
        (&json!("green"), &json!(0))
    );
    put(&world, 0, 4).await;
    events(&world, 8).await;
    assert_eq!(sums(&world).await, [5; 4]);
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_worker_of_the_view_runs_whoever_was_asked_builds_it() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    events(&world, 80).await;
    reading.stop().await;
    let stands = rebuild(&world, true).await;
    assert_eq!(
        (&stands["read"]["colour"], &stands["read"]["mark"]),
        (&json!("green"), &json!(80))
    );
    assert_eq!(sums(&world).await, [50; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_view_loses_both_colours_and_is_built_again() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    events(&world, 80).await;
    rebuild(&world, true).await;
    views::forget(&world.store, &*view()).await.unwrap();
    // Nothing has to happen for it: who reads looks around.
    caught_up(&world).await;
    assert_eq!(sums(&world).await, [50; 4]);
    assert_eq!(status(&world).await["other"], Value::Null);
    reading.stop().await;
}

/// Reads until it has waited so many times for something outside, and is gone then, as if it were killed.
/// True if it was.
async fn read_for(world: &World, steps: usize, stop: CancellationToken) -> bool {
    let mut reading = pin!(views::read(world.nats.clone(), world.store.clone(), view(), stop));
    let mut left = steps;
    poll_fn(|cx| match reading.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(false),
        Poll::Pending if left == 0 => Poll::Ready(true),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// The server would wait ten seconds before it takes a killed reader for gone.
async fn unpin(world: &World) {
    for consumer in ["view-book_home", "view-book_home-next"] {
        let subject = format!("$JS.API.CONSUMER.UNPIN.EVENTS.{consumer}");
        let asked = world.nats.client().request(subject, r#"{"group":"reader"}"#.into());
        let _ = asked.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_is_killed_at_any_step_of_a_rebuild_and_its_swap_is_gone_on_from() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    events(&world, 80).await;
    reading.stop().await;
    let before = rows(&world, "book_home").await;
    let mut colour = "blue";
    let mut kills = 0;
    let (mut steps, mut unhurt) = (0, 0);
    // Until it is so long that a whole rebuild goes by, three times.
    while unhurt < 3 {
        let question = json!({ "view": "book_home", "swap": true });
        ask(&world, "views.rebuild", question).await.unwrap();
        let stop = CancellationToken::new();
        let watched = async {
            until("it is built", async || {
                status(&world).await["other"]["swapWhenEqual"] == false
            })
            .await;
            stop.cancel();
        };
        let killed = tokio::select! {
            killed = read_for(&world, steps, stop.clone()) => killed,
            () = watched => false,
        };
        kills += u32::from(killed);
        unpin(&world).await;
        let reading = start(&world);
        let stands = of_book_home(&world, "views.wait").await;
        colour = if colour == "blue" { "green" } else { "blue" };
        assert_eq!(stands["read"]["colour"], colour, "after {steps} steps: {stands}");
        for table in ["book_home", "book_home_green"] {
            until("both colours are whole", async || rows(&world, table).await == before).await;
        }
        reading.stop().await;
        steps += 1;
        unhurt += u32::from(!killed);
    }
    assert!(kills > 10, "only {kills} were killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_one_builds_and_the_other_takes_over() {
    let world = world().await;
    let (first, second) = (start(&world), start(&world));
    put(&world, 0, 40).await;
    events(&world, 80).await;
    rebuild(&world, true).await;
    first.stop().await;
    put(&world, 40, 80).await;
    events(&world, 160).await;
    until("the other colour is there too", async || {
        status(&world).await["other"]["lag"] == 0
    })
    .await;
    assert_eq!(rebuild(&world, true).await["read"]["colour"], "blue");
    second.stop().await;
    assert_eq!(sums(&world).await, [100; 4]);
    assert_eq!(rows(&world, "book_home").await, rows(&world, "book_home_green").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_waits_at_an_event_says_so_until_a_build_comes_that_can_read_it() {
    let world = world().await;
    let reading = start(&world);
    put(&world, 0, 40).await;
    events(&world, 80).await;
    let stranger = Uuid::from_u128(9);
    let mut envelope = crate::toys::envelope(Uuid::from_u128(7), stranger);
    envelope.version = Some(1);
    let at = Subject::Event {
        context: "reviews",
        kind: "added",
        aggregate: stranger,
    };
    let message = Outgoing::new(at, &envelope, "secret words".into(), false);
    world.events.publish(message).await.unwrap();
    put(&world, 40, 44).await;
    until("it says that it waits", async || {
        status(&world).await["read"]["waits"].is_object()
    })
    .await;
    let read = status(&world).await["read"].take();
    assert_eq!((&read["mark"], &read["waits"]["seq"]), (&json!(80), &json!(81)));
    assert_eq!(read["waits"]["why"], "event 81 cannot be read by this build");
    until("the lag is what it is", async || {
        status(&world).await["read"]["lag"] == 9
    })
    .await;
    reading.stop().await;
    let next = start_reading(
        &world,
        Arc::new(Sums {
            reads_anything: true,
            ..Sums::default()
        }),
    );
    events(&world, 89).await;
    assert_eq!(status(&world).await["read"]["waits"], Value::Null);
    assert_eq!(sums(&world).await, [55; 4]);
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_before_an_event_that_cannot_be_read_is_seen() {
    let world = world().await;
    put(&world, 0, 20).await;
    until("events are there", async || world.count(EVENTS).await == 40).await;
    let mut envelope = crate::toys::envelope(Uuid::from_u128(7), Uuid::from_u128(1));
    envelope.version = Some(24);
    let at = Subject::Event {
        context: "reviews",
        kind: "added",
        aggregate: Uuid::from_u128(1),
    };
    let body = json!({ "kind": "added", "data": { "amount": 1 } }).to_string();
    world
        .events
        .publish(Outgoing::new(at, &envelope, body.into(), false))
        .await
        .unwrap();
    // All of it comes in one batch.
    let reading = start(&world);
    until("it has read up to there", async || {
        views::mark(&world.store, "book_home").await.unwrap() == Some(40)
    })
    .await;
    assert_eq!(sums(&world).await, [25; 4]);
    until("it says that it waits", async || {
        status(&world).await["read"]["waits"].is_object()
    })
    .await;
    let why = status(&world).await["read"]["waits"]["why"].take();
    assert!(why.as_str().unwrap().contains("version 24 of"), "{why}");
    reading.stop().await;
}
