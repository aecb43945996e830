//! What a letter holds, and that none is lost: hidden words, long lists, a full stream.

use std::collections::BTreeMap;

use maru_streams::janitor::{HORIZON, Janitor};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_people_typed_is_in_no_letter_and_is_forgotten_with_it() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1]);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    let at = Subject::Command {
        context: "reviews",
        kind: "create_book",
        id: id(1),
    };
    let mut envelope = toys::envelope(id(1), id(7));
    envelope.kind = "maru.books.create_book.v1".into();
    let body = r#"{"kind":"create_book","data":{"title":"My diary","price":9000,"publish":false}}"#;
    world
        .commands
        .publish(Outgoing::new(at, &envelope, body.into(), true))
        .await
        .unwrap();
    let dead = becomes(&world, 1, State::Dead).await;
    assert!(
        dead.is_redacted && dead.body.contains("9000") && !dead.body.contains("diary"),
        "{}",
        dead.body
    );
    let raw = world
        .nats
        .jetstream()
        .get_stream(DEAD)
        .await
        .unwrap()
        .direct_get(dead.number)
        .await
        .unwrap();
    assert!(!String::from_utf8_lossy(&raw.payload).contains("diary"));
    assert_eq!(kept_body(&world, 1).await.as_deref(), Some(body));
    let plan = letters(&world).dry_run(&everything(), &[CMD.to_owned()]).await.unwrap();
    assert!(plan.would_replay[0].is_readable, "{plan:?}");
    let because = Because::new("asked to be forgotten").unwrap();
    letters(&world)
        .discard(&everything(), "operator:mina", &because)
        .await
        .unwrap();
    until("its body is forgotten", async || kept_body(&world, 1).await.is_none()).await;
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_letters_are_read_page_by_page() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons(0..1000);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    futures_util::future::join_all((0..1000).map(|n| toys::put(&world.commands, id(n), id(n), 5))).await;
    until("all are dead", async || world.count(DEAD).await == 1000).await;
    let mut sizes = BTreeMap::new();
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let listing = Listing {
            limit: Some(300),
            cursor,
            kind: Some("put".into()),
            ..Listing::default()
        };
        let page = letters(&world).list(&listing).await.unwrap();
        sizes.insert(seen.len(), page.items.len());
        seen.extend(page.items.iter().map(|line| line.number));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(sizes.into_values().collect::<Vec<_>>(), [300, 300, 300, 100]);
    assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
    let none = Listing {
        reason: Some("other".into()),
        ..Listing::default()
    };
    assert!(letters(&world).list(&none).await.unwrap().items.is_empty());
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_dead_letters_are_full_nothing_is_lost() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1, 2]);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    toys::put(&world.commands, id(1), id(1), 5).await;
    becomes(&world, 1, State::Dead).await;
    let room = async |bytes: i64| {
        let stream = world.nats.jetstream().get_stream(DEAD).await.unwrap();
        let config = async_nats::jetstream::stream::Config {
            max_bytes: bytes,
            ..stream.cached_info().config.clone()
        };
        world.nats.jetstream().update_stream(config).await.unwrap();
    };
    room(1).await;
    toys::put(&world.commands, id(2), id(2), 5).await;
    until("it came again and again", async || {
        broken
            .attempts
            .lock()
            .unwrap()
            .iter()
            .filter(|(who, _)| *who == id(2))
            .count()
            > 2
    })
    .await;
    let lanes = [CMD.to_owned()];
    let refused = letters(&world)
        .replay(&everything(), "operator:mina", None, &lanes, |_, _, _| {})
        .await;
    assert!(refused.is_err(), "a replay that cannot be written down does not happen");
    assert_eq!(letter(&world, 1).await.unwrap().state, State::Dead);
    room(256 << 20).await;
    becomes(&world, 2, State::Dead).await;
    broken.mends();
    replay(&world, &everything()).await;
    for n in [1, 2] {
        becomes(&world, n, State::Resolved).await;
        assert_eq!(sum(&world, n).await, 5);
    }
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_letters_go_with_their_pointers_when_they_are_old_and_their_message_is_gone() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1, 2, 3]);
    let lane = faulty(deciding(&world), &broken);
    let consumers = lane.consumers();
    let running = start(&world, lane).await;
    for n in [1, 2, 3] {
        toys::put(&world.commands, id(n), id(n), 5).await;
        becomes(&world, n, State::Dead).await;
    }
    let (first, second) = (number(&world, 1).await, number(&world, 2).await);
    broken.mends();
    replay(&world, &these([first])).await;
    becomes(&world, 1, State::Resolved).await;
    let because = Because::new("nobody wants it").unwrap();
    letters(&world)
        .discard(&these([second]), "operator:mina", &because)
        .await
        .unwrap();
    until("its lane knows", async || kept_body(&world, 2).await.is_none()).await;
    until("and has said so", async || {
        world.unsettled(DEAD, &format!("redo-{CMD}")).await == 0
    })
    .await;
    let day = Duration::from_secs(24 * 3600);
    let by = |clock| Letters::new(world.nats.clone(), world.store.clone(), clock);
    let today = maru_streams::intention::Clock::system();
    let tomorrow = maru_streams::intention::Clock::from_fn({
        let today = today.clone();
        move || today.now() + jiff::SignedDuration::from_hours(25)
    });
    // Eight messages: three states and a pointer of the first, two and a pointer of the second, and the third.
    assert_eq!(world.count(DEAD).await, 8);
    assert_eq!(by(today).purge_closed(day).await.unwrap(), 0, "all are new");
    let held = by(tomorrow.clone()).purge_closed(day).await.unwrap();
    assert_eq!(held, 0, "their commands can be asked about yet");
    let janitor = Janitor::new(world.nats.clone(), tomorrow.clone(), consumers, HORIZON);
    assert_eq!(janitor.sweep().await.unwrap(), 3);
    assert_eq!(by(tomorrow.clone()).purge_closed(day).await.unwrap(), 7);
    assert_eq!(world.count(DEAD).await, 1);
    assert!(letters(&world).numbered(first).await.unwrap().is_none());
    assert_eq!(
        letter(&world, 3).await.unwrap().state,
        State::Dead,
        "what is open stays"
    );
    assert_eq!(by(tomorrow).purge_closed(day).await.unwrap(), 0);
    replay(&world, &everything()).await;
    becomes(&world, 3, State::Resolved).await;
    running.stop(Duration::from_secs(5)).await;
}
