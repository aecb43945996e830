//! A row in the order of a key that means nothing any more: the database lost the commit that took it away. It
//! must not hold its key up for ever.

use maru_streams::testing::loss::{self, Rows};

use super::*;

async fn parked(world: &World) -> Rows {
    let mut rows = loss::everything(&world.store).await;
    rows.retain(|(table, _), _| table == "parked");
    rows
}

async fn put_back(world: &World, rows: &Rows) {
    for (at, row) in rows {
        loss::set(&world.store, at, Some(row)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_a_letter_that_is_closed_holds_nobody_up() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([11, 31]);
    let running = start(&world, faulty(flow(&diary), &broken)).await;
    tell(&world, 11, 1).await;
    tell(&world, 31, 3).await;
    for n in [11, 31] {
        becomes(&world, n, State::Dead).await;
    }
    let rows = parked(&world).await;
    assert_eq!(rows.len(), 2);
    broken.mends();
    replay(&world, &everything()).await;
    until("both are through", async || parked(&world).await.is_empty()).await;

    // A new event finds itself behind it.
    put_back(&world, &rows).await;
    tell(&world, 12, 1).await;
    until("it is through", async || diary.of([12]) == [12]).await;
    // So does a letter that was behind it all the time: an operator's word is enough.
    running.stop(Duration::from_secs(5)).await;
    put_back(&world, &rows).await;
    let behind = Letter {
        state: State::Behind,
        seq: 99,
        message: id(32),
        ..letter(&world, 31).await.unwrap()
    };
    let behind = Outgoing {
        subject: format!("dead.{FLOW}.{}", id(32)),
        headers: vec![("maru-letter-state", "behind".to_owned())],
        body: serde_json::to_vec(&Letter {
            number: 0,
            history: Vec::new(),
            ..behind
        })
        .unwrap()
        .into(),
        expects: None,
    };
    world.events.publish(behind).await.unwrap();
    let done = replay(&world, &these([number(&world, 32).await])).await;
    assert_eq!(done.replayed.len(), 1, "{done:?}");
}

/// The copy of a dead event, published a second time, is put behind the event itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_event_that_was_published_twice_holds_nobody_up_when_it_is_settled() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([11]);
    let running = start(&world, faulty(flow(&diary), &broken)).await;
    tell(&world, 11, 1).await;
    becomes(&world, 11, State::Dead).await;
    // As after the dedupe window: under the same id, which is no repeat for the server.
    let at = Subject::Event {
        context: "reviews",
        kind: "added",
        aggregate: id(1),
    };
    let body = r#"{"kind":"added","data":{"amount":1}}"#;
    let mut copy = Outgoing::new(at, &toys::envelope(id(11), id(1)), body.into(), false);
    copy.headers
        .retain(|(name, _)| *name != maru_schemas::envelope::MESSAGE_ID);
    assert!(!world.events.publish(copy).await.unwrap().already);
    until("the copy waits behind it", async || parked(&world).await.len() == 2).await;
    broken.mends();
    replay(&world, &everything()).await;
    becomes(&world, 11, State::Resolved).await;
    tell(&world, 12, 1).await;
    until("the key goes on", async || diary.of([12]) == [12]).await;
    assert_eq!(diary.of([11, 12]), [11, 12]);
    until("nothing waits", async || parked(&world).await.is_empty()).await;
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_a_retrying_event_that_was_settled_goes_when_the_lane_looks_round() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.flaky.lock().unwrap().insert(id(1));
    let patient = || Lane {
        policy: Policy { retries: 20, ..POLICY },
        ..flow(&diary)
    };
    let running = start(&world, faulty(patient(), &broken)).await;
    tell(&world, 1, 1).await;
    until("it waits", async || parked(&world).await.len() == 1).await;
    let rows = parked(&world).await;
    broken.mends();
    until("it is through", async || diary.of([1]) == [1]).await;
    until("and settled", async || world.unsettled(EVENTS, FLOW).await == 0).await;
    running.stop(Duration::from_secs(5)).await;
    put_back(&world, &rows).await;
    tell(&world, 2, 1).await;
    let running = start(&world, faulty(patient(), &broken)).await;
    until("the key goes on", async || diary.of([2]) == [2]).await;
    running.stop(Duration::from_secs(5)).await;
}
