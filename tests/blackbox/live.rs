//! What happens to one's own things, as it happens.

use std::time::Duration;

use maru_gateway::keys::Keys;
use maru_gateway::who::{Claims, TokenType};
use maru_schemas::members::Role;
use maru_streams::intention::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::{House, eventually};
use crate::listening::{Listening, Passing};
use crate::person::Person;

#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: u64,
    kind: String,
    data: Value,
}

struct Listener(Listening);

impl Listener {
    async fn open(person: &Person, last: Option<u64>) -> Self {
        let last = last.map(|last| last.to_string());
        let mut listening = Listening::open(person, "/v1/live", last.as_deref()).await;
        let hello = listening.next().await.expect("a first event");
        assert_eq!(hello.kind, "hello");
        if let Some(last) = last {
            assert_eq!(hello.id, last);
        }
        Self(listening)
    }

    /// The next event; None at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        let Passing { id, kind, data } = self.0.next().await?;
        let id = id.parse().expect("a sequence");
        Some(Event { id, kind, data })
    }

    async fn up_to(&mut self, kind: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.expect("the stream goes on");
            events.push(event.clone());
            if event.kind == kind {
                return events;
            }
        }
    }
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

#[tokio::test]
async fn a_live_stream_ends_with_its_token_and_nobody_has_too_many() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    let me = mina.get("/v1/members/me").await.is(200);
    // As the door would sign it, but good for a moment only.
    let keys = Keys::open(&house.data().join("keys")).expect("the house's keys");
    let (id, now) = (
        serde_json::from_value(me.json["memberId"].clone()).unwrap(),
        Clock::system().now().as_second(),
    );
    let claims = Claims {
        exp: now + 3,
        ..Claims::new(id, Role::Author, TokenType::Access, now, Uuid::from_u128(1), None)
    };
    let Ok(token) = claims.sign(&keys) else {
        panic!("it is signed")
    };
    let mut short = Listener::open(&house.stranger().with_token(&token), None).await;
    assert_eq!(short.next().await, None);
    mina.get("/v1/members/me").await.is(200);

    // Each gateway counts for itself.
    let doors = house.site.as_ref().map_or(1, |site| site.gateways.len());
    let mut open = Vec::new();
    let refused = loop {
        let answer = mina.request(Method::GET, "/v1/live").send().await.expect("an answer");
        if answer.status() != 200 {
            break answer;
        }
        open.push(answer);
        assert!(open.len() <= 16 * doors, "{} are open", open.len());
    };
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after") && open.len() >= 16);
    let juno = house.reader("juno").await;
    Listener::open(&juno, None).await;
    open.clear();
    eventually("there is room again", async || {
        let again = mina.request(Method::GET, "/v1/live").send().await.expect("an answer");
        (again.status() == 200).then_some(())
    })
    .await;
    house.ends_well().await;
}

#[tokio::test]
async fn a_story_is_followed_in_order_resumed_without_loss_and_seen_by_nobody_else() {
    let house = House::new().await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    house.get("/v1/live").await.refused_as(401, "NOT_SIGNED_IN");
    let odd = mina
        .send(Method::GET, "/v1/live", &[("last-event-id", "yesterday")], None)
        .await;
    odd.refused_as(400, "BAD_REQUEST");
    let (mut hers, mut his) = (Listener::open(&mina, None).await, Listener::open(&juno, None).await);

    let body = json!({ "title": "Followed", "synopsis": "SECRET-SYNOPSIS of a star.", "price": 5 });
    let book = mina.post("/v1/books", body).await.is(201).id();
    mina.post(&format!("/v1/books/{book}/ai-draft"), json!({}))
        .await
        .is(202);
    let events = hers.up_to("image_attached").await;
    let wanted = [
        "book_created",
        "story_requested",
        "story_started",
        "story_attached",
        "image_requested",
        "image_started",
        "image_attached",
    ];
    assert_eq!(kinds(&events), wanted);
    assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id), "{events:?}");
    for (nth, event) in events.iter().enumerate() {
        assert_eq!(
            (&event.data["id"], &event.data["version"]),
            (&json!(book), &json!(nth + 1)),
            "{event:?}"
        );
        assert_eq!(event.data["context"], "books");
        // NT-05: ids, never words.
        assert!(
            !event.data.to_string().contains("SECRET") && !event.data.to_string().contains("Followed"),
            "{event:?}"
        );
    }

    // Who was away gets exactly what they missed, and then what happens.
    let mut again = Listener::open(&mina, Some(events[1].id)).await;
    mina.post(&format!("/v1/books/{book}/publish"), Value::Null)
        .await
        .is(200);
    let missed = again.up_to("book_published").await;
    assert_eq!(missed[..5], events[2..]);
    assert_eq!(missed.len(), 6);
    assert_eq!(hers.up_to("book_published").await, missed[5..]);
    let mut now = Listener::open(&mina, Some(missed[5].id)).await;
    mina.patch(&format!("/v1/books/{book}"), json!({ "price": 6 }))
        .await
        .is(200);
    assert_eq!(kinds(&now.up_to("book_edited").await), ["book_edited"]);

    // Nothing of hers was his: the first that he sees is his own.
    juno.buys(&book, "4242 4242 4242 4242", "COMPLETED").await;
    let seen = his.up_to("purchase_completed").await;
    assert_eq!(seen[0].kind, "purchase_requested", "{seen:?}");
    assert!(seen.iter().all(|event| event.data["context"] != "books"), "{seen:?}");
    let all_of_his = Listener::open(&juno, Some(0)).await.up_to("purchase_completed").await;
    assert!(
        !all_of_his.iter().any(|event| event.data["id"] == book.as_str()),
        "{all_of_his:?}"
    );

    // And she sees nothing of his purchase: the next of hers is hers.
    hers.up_to("book_edited").await;
    mina.delete(&format!("/v1/books/{book}")).await.is(200);
    assert_eq!(kinds(&hers.up_to("book_withdrawn").await), ["book_withdrawn"]);

    // A stream in which nothing is missed over many interruptions.
    let mut last = events[0].id;
    let mut seen = Vec::new();
    for round in 0..5 {
        let mut listener = Listener::open(&mina, Some(last)).await;
        for _ in 0..2 {
            let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(5), listener.next()).await else {
                panic!("an event of round {round}")
            };
            last = event.id;
            seen.push(event.kind);
        }
        drop(listener);
        mina.post("/v1/books", json!({ "title": format!("Round {round}") }))
            .await
            .is(201);
    }
    let wanted = [
        &wanted[1..],
        &["book_published", "book_edited", "book_withdrawn", "book_created"],
    ]
    .concat();
    assert_eq!(seen, wanted);

    // It ends when the house does.
    house.ends_well().await;
    assert!(house.stop().await.success());
    assert_eq!(hers.up_to_end().await, 5);
}

impl Listener {
    /// How many events come before the stream ends.
    async fn up_to_end(&mut self) -> usize {
        let mut count = 0;
        while self.next().await.is_some() {
            count += 1;
        }
        count
    }
}

#[tokio::test]
async fn events_hold_ids_and_no_words_and_everybody_who_listens_has_a_consumer_of_their_own() {
    let house = House::new().await;
    let (mina, juno) = (house.author("minaswords").await, house.reader("junoswords").await);
    let body = json!({ "title": "TITLEWORDS", "synopsis": "SYNOPSISWORDS", "contents": "CONTENTSWORDS", "price": 5 });
    let book = mina.post("/v1/books", body).await.is(201).id();
    mina.patch(&format!("/v1/books/{book}"), json!({ "title": "OTHERTITLEWORDS" }))
        .await
        .is(200);
    juno.buys(&book, "4242 4242 4242 4242", "COMPLETED").await;
    let words = json!({ "content": "REVIEWWORDS", "rating": 3 });
    juno.post(&format!("/v1/books/{book}/reviews"), words).await.is(201);
    house.settles().await;

    // NF-06: one durable consumer for everybody who listens.
    let left = house.streams().await.left;
    for name in [
        "flow-authoring",
        "flow-checkout",
        "job-charge",
        "job-paint_image",
        "job-write_story",
        "cmd-books",
    ] {
        assert!(left.contains_key(name), "{name} is not among {left:?}");
    }
    let views = [
        "book_detail",
        "book_home",
        "book_reviews",
        "my_books",
        "my_library",
        "payment_history",
    ];
    for view in views {
        assert!(
            left.contains_key(&format!("view-{view}")),
            "{view} is not among {left:?}"
        );
    }

    // NF-32: looking changes nothing.
    let before = house.streams().await.messages;
    for path in [
        "/v1/books",
        "/v1/me/library",
        "/v1/payments",
        "/v1/members/me",
        "/v1/me/books",
    ] {
        juno.get(path).await.is(200);
    }
    juno.get(&format!("/v1/books/{book}/contents")).await.is(200);
    assert_eq!(house.streams().await.messages, before);
    house.ends_well().await;

    // NT-05: what was typed is in no event and in no job. The server writes its blocks out when it stops.
    assert!(house.stop().await.success());
    let streams = house.data().join("nats/streams/jetstream/$G/streams");
    let events = all_bytes(&streams.join("EVENTS"));
    assert!(contains(&events, &book), "the search itself finds what is there");
    for word in ["WORDS", "minaswords", "junoswords", "a long password"] {
        assert!(!contains(&events, word), "{word} is in an event");
        assert!(!contains(&all_bytes(&streams.join("JOBS")), word), "{word} is in a job");
    }
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

fn all_bytes(folder: &std::path::Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            bytes.extend(all_bytes(&path));
        } else {
            bytes.extend(std::fs::read(&path).unwrap_or_default());
        }
    }
    bytes
}
