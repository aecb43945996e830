//! A view that is far behind folds batch upon batch, each prepared while the one before is committed, and comes to the
//! same as one event at a time would.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use maru_schemas::envelope::Envelope;
use maru_streams::jobs::Delivery;
use maru_streams::publish::Outgoing;
use maru_streams::store::Key;
use maru_streams::subject::Subject;
use maru_streams::testing::World;
use maru_streams::views::{self, FoldError, Rows, View};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::seeing::{caught_up, start_reading};
use crate::toys::{self, Event};

/// More boxes than a reader remembers rows, in several batches; an event about each.
const BOXES: u128 = 13_000;
/// Each box stands on one, so each batch reads what the one before has written.
const SHELVES: u128 = 4;

/// How much lies on a shelf, in all of its boxes.
struct Shelves;

fn shelf(of: Uuid) -> Key {
    Key::of("book_home", Uuid::from_u128(of.as_u128() % SHELVES))
}

impl View for Shelves {
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
            let key = shelf(event.envelope.subject);
            let sum = rows.get::<u64>(&key).await?.unwrap_or_default();
            rows.put(key, &(sum + amount))
        }
        .boxed()
    }
}

async fn add(world: &World, n: u128) {
    let about = Uuid::from_u128(n);
    let envelope = Envelope {
        version: Some(1),
        ..toys::envelope(about, about)
    };
    let at = Subject::Event {
        context: "reviews",
        kind: "added",
        aggregate: about,
    };
    let body = json!({ "kind": "added", "data": { "amount": 1 } }).to_string();
    let message = Outgoing::new(at, &envelope, body.into(), false);
    world.events.publish(message).await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_writes_is_what_the_next_one_reads_though_it_was_prepared_before() {
    let view: Arc<dyn View> = Arc::new(Shelves);
    let world = World::on_disk(&[view.consumer()]).await;
    futures_util::stream::iter(0..BOXES)
        .for_each_concurrent(256, |n| add(&world, n))
        .await;
    let reading = start_reading(&world, view);
    caught_up(&world).await;
    reading.stop().await;
    for n in 0..SHELVES {
        let look = views::get::<Value>(&world.store, "book_home", &shelf(Uuid::from_u128(n)), 0).await;
        let sum = look.expect("the view").rows.flatten();
        assert_eq!(sum, Some(json!(BOXES / SHELVES)), "shelf {n}");
    }
}
