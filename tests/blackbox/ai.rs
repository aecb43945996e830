//! Stories and images by an AI that has good and bad days.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, eventually};
use crate::person::Person;
use crate::provider::Answer::{Busy, Empty, Good, Hang, Held, Nonsense, OtherShape, Status};
use crate::provider::Desks::{Chat, Images};
use crate::provider::{FakeAi, STORY, gaps};

const SYNOPSIS: &str = "A whale counts the stars that fell into the sea.";

async fn house(ai: &FakeAi) -> House {
    let url = ai.url();
    House::with(&[
        ("OPENAI_BASE_URL", &url),
        ("OPENAI_API_KEY", "sk-not-to-be-logged"),
        ("MARU_AI_TIMEOUT_MS", "1500"),
    ])
    .await
}

async fn draft(author: &Person, title: &str) -> String {
    let body = json!({ "title": title, "synopsis": SYNOPSIS });
    author.post("/v1/books", body).await.is(201).id()
}

async fn wishes(author: &Person, book: &str, wish: Value) {
    author.post(&format!("/v1/books/{book}/ai-draft"), wish).await.is(202);
}

#[tokio::test]
async fn a_story_and_an_image_come_from_a_synopsis_and_stay_when_the_ai_is_gone() {
    let ai = FakeAi::new().await;
    let house = house(&ai).await;
    let mina = house.author("mina").await;
    let book = mina
        .post("/v1/books", json!({ "title": "The whale" }))
        .await
        .is(201)
        .id();
    // Without a synopsis there is nothing to tell.
    let wish = format!("/v1/books/{book}/ai-draft");
    mina.post(&wish, json!({}))
        .await
        .refused_as(422, "BOOKS_NOTHING_TO_TELL");
    let asked = mina.post(&wish, json!({ "synopsis": SYNOPSIS })).await.is(202);
    assert_eq!(asked.header("location"), Some(format!("/v1/books/{book}").as_str()));
    mina.sees_book(&book, "storyStatus", "READY").await;
    let seen = mina.sees_book(&book, "imageStatus", "READY").await;
    assert_eq!(seen["contents"], STORY);
    let contents = mina.get(&format!("/v1/books/{book}/contents")).await.is(200);
    assert_eq!(contents.str("contents"), STORY);

    // BK-12: chat, with the synopsis, for whom it is, and a measure.
    let chat = ai.asked(Chat);
    assert_eq!(chat.len(), 1);
    let told = chat[0].body["messages"].to_string();
    assert!(told.contains(SYNOPSIS) && told.contains("The whale"), "{told}");
    assert!(told.contains("seven-year-old") && told.contains("Korea"), "{told}");
    assert!(chat[0].body["max_tokens"].as_u64() >= Some(2000), "{}", chat[0].body);
    assert_eq!(chat[0].authorization, "Bearer sk-not-to-be-logged");
    let images = ai.asked(Images);
    assert_eq!(images.len(), 1);
    assert!(
        images[0].body["prompt"]
            .as_str()
            .is_some_and(|prompt| prompt.contains("작은 고래")),
        "{}",
        images[0].body
    );

    // BK-04: the image is ours.
    ai.shut_down();
    let url = seen["imageUrl"].as_str().expect("an address").to_owned();
    assert!(url.starts_with("/v1/images/"), "{url}");
    let image = house.get(&url).await.is(200);
    assert_eq!(image.header("content-type"), Some("image/png"));
    let tag = image.header("etag").expect("a tag").to_owned();
    let again = house
        .stranger()
        .send(Method::GET, &url, &[("if-none-match", &tag)], None)
        .await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    house
        .get("/v1/images/0197b9a0-0000-7000-8000-000000000000")
        .await
        .refused_as(404, "NO_SUCH_IMAGE");
    house.ends_well().await;
    let log = house.log().join("\n");
    assert!(!log.contains("sk-not-to-be-logged") && !log.contains(SYNOPSIS), "{log}");
}

#[tokio::test]
async fn a_failing_ai_is_asked_four_times_with_growing_gaps_and_then_no_more() {
    let ai = FakeAi::new().await;
    let house = house(&ai).await;
    let mina = house.author("mina").await;

    // BK-08: three failures, then a story.
    ai.then(Chat, &[Status(500), Status(502), Status(500), Good]);
    let book = draft(&mina, "Third time unlucky").await;
    wishes(&mina, &book, json!({ "image": false })).await;
    let seen = mina.sees_book(&book, "storyStatus", "READY").await;
    assert_eq!(
        (&seen["storyAttempts"], &seen["contents"], &seen["imageStatus"]),
        (&json!(4), &json!(STORY), &json!("NONE"))
    );
    let asked = ai.asked(Chat);
    let waits = gaps(&asked);
    assert_eq!(asked.len(), 4, "{waits:?}");
    assert!(waits[0] >= Duration::from_secs(1), "{waits:?}");
    assert!(waits[0] < waits[1] && waits[1] < waits[2], "{waits:?}");

    // BK-09: failures without an end become a visible one, and asking again works. BK-05: the other
    // policy goes on: the image is painted all the same.
    ai.always(Chat, Status(500));
    let book = draft(&mina, "Never").await;
    wishes(&mina, &book, json!({})).await;
    let seen = mina.sees_book(&book, "storyStatus", "FAILED").await;
    assert_eq!(
        (&seen["storyFailure"], &seen["storyAttempts"]),
        (&json!("PROVIDER_UNAVAILABLE"), &json!(4))
    );
    assert_eq!(ai.asked(Chat).len(), 8, "four for the first, four for the second");
    mina.sees_book(&book, "imageStatus", "READY").await;
    let dead = eventually("the dead letter is counted", async || {
        let dead = house
            .metric("maru_dead_letters_total", &["job-write_story", "provider_unavailable"])
            .await;
        (dead > 0.0).then_some(dead)
    });
    assert_eq!(dead.await, 1.0);
    ai.then(Chat, &[]);
    wishes(&mina, &book, json!({ "image": false })).await;
    let seen = mina.sees_book(&book, "storyStatus", "READY").await;
    assert_eq!(
        (&seen["contents"], &seen["storyFailure"]),
        (&json!(STORY), &Value::Null)
    );

    // Nothing more, and nothing of what the provider said.
    house.settles().await;
    assert_eq!(house.streams().await.messages["DEAD"], 1);
    let log = house.log().join("\n");
    assert!(log.contains("given up: it is in the dead letters"), "{log}");
    assert!(!log.contains("PROVIDER-WORDS") && !log.contains(SYNOPSIS), "{log}");
}

#[tokio::test]
async fn nonsense_emptiness_and_silence_are_tried_again_and_a_refusal_is_not() {
    let ai = FakeAi::new().await;
    let house = house(&ai).await;
    let mina = house.author("mina").await;

    ai.then(Chat, &[Nonsense, Empty, Hang, Good]);
    let book = draft(&mina, "Odd answers").await;
    wishes(&mina, &book, json!({ "image": false })).await;
    let seen = mina.sees_book(&book, "storyStatus", "READY").await;
    assert_eq!((&seen["contents"], ai.asked(Chat).len()), (&json!(STORY), 4));

    // The images have retries of their own, and oddities of their own.
    ai.then(Images, &[OtherShape, Empty, Nonsense, Good]);
    mina.post(&format!("/v1/books/{book}/ai-image"), Value::Null)
        .await
        .is(202);
    let seen = mina.sees_book(&book, "imageStatus", "READY").await;
    assert_eq!((&seen["imageAttempts"], ai.asked(Images).len()), (&json!(4), 4));

    // A provider that understood and said no is not asked again.
    ai.always(Chat, Status(400));
    let book = draft(&mina, "Refused").await;
    wishes(&mina, &book, json!({ "image": false })).await;
    let seen = mina.sees_book(&book, "storyStatus", "FAILED").await;
    assert_eq!(
        (&seen["storyFailure"], &seen["storyAttempts"]),
        (&json!("PROVIDER_REFUSED"), &json!(1))
    );
    assert_eq!(ai.asked(Chat).len(), 5);
    house.ends_well().await;
    assert!(!house.log().join("\n").contains("PROVIDER-WORDS"));
}

#[tokio::test]
async fn story_and_image_do_not_wait_for_each_other() {
    let ai = FakeAi::new().await;
    let house = house(&ai).await;
    let mina = house.author("mina").await;

    // BK-05 and NF-23: images are down; the story is there, while the image still tries.
    ai.always(Images, Status(500));
    let book = draft(&mina, "No picture").await;
    wishes(&mina, &book, json!({})).await;
    let seen = mina.sees_book(&book, "storyStatus", "READY").await;
    assert_ne!(seen["imageStatus"], "FAILED", "the story did not wait for the image");
    let seen = mina.sees_book(&book, "imageStatus", "FAILED").await;
    assert_eq!(
        (&seen["storyStatus"], &seen["contents"]),
        (&json!("READY"), &json!(STORY))
    );
    assert_eq!((&seen["storyAttempts"], &seen["imageAttempts"]), (&json!(1), &json!(4)));
    assert_eq!(seen["imageUrl"], Value::Null);

    // BK-06: chat hangs on to its requests; images go on. BK-11: one sees that it is written.
    ai.then(Images, &[]);
    ai.always(Chat, Status(500));
    let other = draft(&mina, "No words").await;
    wishes(&mina, &other, json!({ "image": false })).await;
    mina.sees_book(&other, "storyStatus", "GENERATING").await;
    mina.post(&format!("/v1/books/{other}/ai-image"), Value::Null)
        .await
        .is(202);
    let seen = mina.sees_book(&other, "imageStatus", "READY").await;
    assert_eq!(seen["storyStatus"], "GENERATING", "the story still tries: {seen}");
    mina.sees_book(&other, "storyStatus", "FAILED").await;

    // Re-request of the image of the first one.
    mina.post(&format!("/v1/books/{book}/ai-image"), Value::Null)
        .await
        .is(202);
    mina.sees_book(&book, "imageStatus", "READY").await;
    house.settles().await;
    assert_eq!(house.streams().await.messages["DEAD"], 2);
}

#[tokio::test]
async fn a_slow_story_is_seen_being_written_and_asked_for_once() {
    let ai = FakeAi::new().await;
    let url = ai.url();
    let house = House::with(&[("OPENAI_BASE_URL", &url)]).await;
    let mina = house.author("mina").await;
    let book = draft(&mina, "Slowly").await;
    ai.always(Chat, Held);
    let wish = format!("/v1/books/{book}/ai-draft");
    let key = [("idempotency-key", "the-same")];
    let first = mina.send(Method::POST, &wish, &key, Some(json!({}))).await.is(202);
    mina.sees_book(&book, "storyStatus", "GENERATING").await;
    eventually("the provider is asked", async || {
        (ai.asked(Chat).len() == 1).then_some(())
    })
    .await;

    // BK-10: the same once more is the same; another one is refused while this one runs.
    let second = mina.send(Method::POST, &wish, &key, Some(json!({}))).await.is(202);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.json["commandId"], second.json["commandId"]);
    mina.post(&wish, json!({}))
        .await
        .refused_as(409, "BOOKS_STORY_UNDER_WAY");

    // The author may go on working meanwhile.
    mina.patch(&format!("/v1/books/{book}"), json!({ "price": 700 }))
        .await
        .is(200);
    ai.release();
    let seen = mina.sees_book(&book, "storyStatus", "READY").await;
    assert_eq!((&seen["price"], &seen["contents"]), (&json!(700), &json!(STORY)));
    mina.sees_book(&book, "imageStatus", "READY").await;
    mina.send(Method::POST, &wish, &key, Some(json!({}))).await.is(202);
    house.ends_well().await;
    assert_eq!((ai.asked(Chat).len(), ai.asked(Images).len()), (1, 1));
}

#[tokio::test]
async fn an_ai_that_asks_for_time_is_given_it() {
    let ai = FakeAi::new().await;
    let house = house(&ai).await;
    let mina = house.author("mina").await;
    ai.then(Chat, &[Busy(4), Good]);
    let book = draft(&mina, "In a while").await;
    wishes(&mina, &book, json!({ "image": false })).await;
    mina.sees_book(&book, "storyStatus", "READY").await;
    let waits = gaps(&ai.asked(Chat));
    assert_eq!(waits.len(), 1);
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(10)).contains(&waits[0]),
        "{waits:?}"
    );
    house.ends_well().await;
}
