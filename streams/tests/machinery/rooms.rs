//! A context with a database of its own: what is done once for all databases is done in each of them.

use std::time::Duration;

use maru_streams::heal::Mark;
use maru_streams::intention::Clock;
use maru_streams::leases::Leases;
use maru_streams::retention::Retention;
use maru_streams::testing::loss::{by_database, set};
use maru_streams::testing::{World, until};
use maru_streams::topology::EVENTS;
use maru_streams::write::inbox::last_word;
use maru_streams::write::transact::{pending, transact};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::toys::{self, Boxes, Command, Held};

/// How many rows of a table each database has.
async fn counts(world: &World, table: &str) -> [usize; 2] {
    let found = by_database(&world.store).await;
    ["main", "reviews"].map(|database| found[database].keys().filter(|(name, _)| name == table).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_decided_in_its_contexts_own_and_found_there_by_who_asks() {
    let world = World::divided(&["reviews"], &[]).await;
    let subject = Uuid::from_u128(2);
    let id = Uuid::from_u128(1);
    let envelope = toys::envelope(id, subject);
    let put = Command::Put { amount: 4 };
    let first = transact::<Boxes>(&world.store, &envelope, &put).await.unwrap();
    let again = transact::<Boxes>(&world.store, &envelope, &put).await.unwrap();
    assert!(!first.already && again.already);
    for (table, rows) in [("inbox", 1), ("event", 2), ("outbox", 2), ("reviews", 1)] {
        assert_eq!(counts(&world, table).await, [0, rows], "{table}");
    }
    let carried = world.outbox().publish(&first.pending).await.unwrap();
    assert!(
        last_word(&world.store, "reviews", id).await.unwrap().is_none(),
        "not before it is known where its last event lies"
    );
    world.outbox().clear(carried).await.unwrap();
    let told = last_word(&world.store, "reviews", id).await.unwrap();
    assert!(told.is_some_and(|told| json!(told.outcome)["seq"] == 2));
    assert_eq!(counts(&world, "outbox").await, [0, 0]);
    let (version, held): (u64, Held) = world.store.state("reviews", subject).await.unwrap().unwrap();
    assert_eq!((version, held.sum), (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweeper_publishes_what_was_left_in_every_database() {
    let world = World::divided(&["reviews"], &[]).await;
    let subject = Uuid::from_u128(2);
    let envelope = toys::envelope(Uuid::from_u128(1), subject);
    let put = Command::Put { amount: 4 };
    transact::<Boxes>(&world.store, &envelope, &put).await.unwrap();
    // One more, of a context that is in the main one.
    let rows = by_database(&world.store).await;
    let left = rows["reviews"].iter().find(|((table, _), _)| table == "outbox");
    let (_, row) = left.unwrap();
    let other = Uuid::from_u128(3);
    let text = row.to_string().replace("reviews", "books");
    let mut row: Value = serde_json::from_str(&text.replace(&subject.to_string(), &other.to_string())).unwrap();
    row["envelope"]["id"] = json!(Uuid::from_u128(4));
    let at = ("outbox".to_owned(), json!(["books", other, 1]).to_string());
    set(&world.store, &at, Some(&row)).await;
    assert_eq!(counts(&world, "outbox").await, [1, 2]);
    let stop = CancellationToken::new();
    let sweeper = tokio::spawn(world.outbox().sweep(Leases::new(world.store.clone()), stop.clone()));
    until("the events are in the stream", async || world.count(EVENTS).await == 3).await;
    until("both are swept", async || counts(&world, "outbox").await == [0, 0]).await;
    assert!(pending(&world.store, "reviews", subject).await.unwrap().is_empty());
    stop.cancel();
    sweeper.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_inbox_is_forgotten_in_time_and_every_mark_counts() {
    let world = World::divided(&["reviews"], &[]).await;
    let old = json!({ "at": "1970-01-01T00:00:00Z", "actor": "system", "outcome": {} });
    for context in ["books", "reviews"] {
        let at = ("inbox".to_owned(), json!([context, Uuid::from_u128(1)]).to_string());
        set(&world.store, &at, Some(&old)).await;
    }
    assert_eq!(counts(&world, "inbox").await, [1, 1]);
    let leases = Leases::new(world.store.clone());
    let hour = Duration::from_secs(3600);
    let retention = Retention::new(world.nats.clone(), world.store.clone(), leases, Clock::system(), hour);
    assert_eq!(retention.walk().await.unwrap(), 2);
    assert_eq!(counts(&world, "inbox").await, [0, 0]);

    let mark = Mark { events: 7, commands: 5 };
    mark.keep(&world.store).await.unwrap();
    assert_eq!(Mark::of(&world.store).await.unwrap(), mark);
    let at = ("heal_mark".to_owned(), json!(["whole"]).to_string());
    set(&world.store, &at, None).await;
    let of_the_oldest = Mark::of(&world.store).await.unwrap();
    assert_eq!(of_the_oldest, Mark::default(), "one that is new has nothing in it");
}
