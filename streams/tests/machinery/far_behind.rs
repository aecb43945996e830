//! A view that is far behind folds batch upon batch, each prepared while the one before is committed, and comes to the
//! same as one event at a time would.

use std::sync::Arc;

use futures_util::StreamExt;
use maru_schemas::envelope::Envelope;
use maru_streams::publish::Outgoing;
use maru_streams::subject::Subject;
use maru_streams::testing::World;
use maru_streams::views::View;
use serde_json::json;
use uuid::Uuid;

use crate::seeing::{Sums, caught_up, start_reading, sums};
use crate::toys;

/// More boxes than a reader remembers rows, in several batches; an event about each.
const BOXES: u64 = 13_000;
/// Each box stands on one, so each batch reads what the one before has written.
const SHELVES: u64 = 4;

async fn add(world: &World, n: u64) {
    let about = Uuid::from_u128(n.into());
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
    let view: Arc<dyn View> = Arc::new(Sums {
        shelves: Some(SHELVES.into()),
        ..Sums::default()
    });
    let world = World::on_disk(&[view.consumer()]).await;
    futures_util::stream::iter(0..BOXES)
        .for_each_concurrent(256, |n| add(&world, n))
        .await;
    let reading = start_reading(&world, view);
    caught_up(&world).await;
    reading.stop().await;
    assert_eq!(sums(&world).await, [BOXES / SHELVES; SHELVES as usize]);
}
