//! A request that is sent again has one effect and one answer.

use futures_util::future::join_all;
use maru_streams::nats::Nats;
use maru_streams::topology::COMMANDS;
use reqwest::Method;
use serde_json::{Value, json};

use crate::door::NOBODY;
use crate::house::{House, eventually};
use crate::person::Reply;

fn key(key: &str) -> [(&str, &str); 1] {
    [("idempotency-key", key)]
}

#[tokio::test]
async fn the_same_key_has_one_effect_and_one_answer() {
    let house = House::new().await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let stranger = house.stranger();
    let draft = mina
        .post("/v1/books", json!({ "title": "Draft", "synopsis": "A star." }))
        .await
        .is(201)
        .id();
    let (sold, other) = (mina.publishes("Sold", 5).await, mina.publishes("Other", 5).await);
    juno.buys(&other, "4242424242424242", "COMPLETED").await;
    let signup = json!({ "username": "kim", "password": "a long password", "nickname": "Kim" });
    let purchase = juno.post("/v1/purchases", json!({ "bookId": sold })).await.is(201).id();
    juno.sees_purchase(&purchase, "COMPLETED").await;
    let mut review = String::new();
    let at = |path: &str| path.replace("{draft}", &draft).replace("{sold}", &sold);
    let new_book = json!({ "title": "New" });
    let third = mina.publishes("Third", 5).await;
    for (who, method, path, body) in [
        (&stranger, Method::POST, "/v1/auth/signup".to_owned(), signup),
        (&mina, Method::POST, "/v1/books".to_owned(), new_book),
        (
            &mina,
            Method::POST,
            at("/v1/books/{draft}/ai-draft"),
            json!({ "image": false }),
        ),
        (&mina, Method::POST, at("/v1/books/{draft}/ai-image"), Value::Null),
        (&mina, Method::PATCH, at("/v1/books/{sold}"), json!({ "price": 6 })),
        (
            &juno,
            Method::POST,
            "/v1/purchases".to_owned(),
            json!({ "bookId": third }),
        ),
        (
            &juno,
            Method::POST,
            at("/v1/books/{sold}/reviews"),
            json!({ "content": "Good.", "rating": 3 }),
        ),
        (&juno, Method::PATCH, "{review}".to_owned(), json!({ "rating": 4 })),
        (&juno, Method::DELETE, "{review}".to_owned(), Value::Null),
        (
            &juno,
            Method::POST,
            format!("/v1/purchases/{purchase}/refund"),
            Value::Null,
        ),
        (&mina, Method::DELETE, at("/v1/books/{sold}"), Value::Null),
        (&mina, Method::POST, at("/v1/books/{draft}/publish"), Value::Null),
    ] {
        if path.ends_with("/publish") {
            mina.sees_book(&draft, "storyStatus", "READY").await;
        }
        let path = path.replace("{review}", &review);
        let sends = (0..4).map(|_| who.send(method.clone(), &path, &[("idempotency-key", "k-1")], Some(body.clone())));
        let mut replies = join_all(sends).await;
        replies.push(
            who.send(
                method.clone(),
                &path,
                &[("idempotency-key", "\"k-1\"")],
                Some(body.clone()),
            )
            .await,
        );
        let facts = |reply: &Reply| {
            let json = &reply.json;
            (
                reply.status,
                json["commandId"].clone(),
                json["id"].clone(),
                json["version"].clone(),
            )
        };
        let first = facts(&replies[0]);
        assert!((200..300).contains(&first.0), "{method} {path}: {}", replies[0].text);
        for reply in &replies {
            assert_eq!(facts(reply), first, "{method} {path}: {}", reply.text);
        }
        let fresh = replies
            .iter()
            .filter(|reply| reply.header("idempotency-replayed").is_none())
            .count();
        assert_eq!(fresh, 1, "{method} {path}: exactly one was not a repeat");
        if path.ends_with("/reviews") {
            review = format!("/v1/reviews/{}", replies[0].id());
        }
    }
    let own = mina.get("/v1/me/books").await.is(200).items();
    assert_eq!(own.iter().filter(|row| row["title"] == "New").count(), 1, "{own:?}");

    // NF-20: another body under the same key is refused, for whoever waits.
    let other_body = json!({ "title": "Another" });
    mina.send(Method::POST, "/v1/books", &key("k-1"), Some(other_body.clone()))
        .await
        .refused_as(422, "IDEMPOTENCY_KEY_REUSED");
    // Another person's same key is another key, and so is the same key at another address.
    house
        .author("bea")
        .await
        .send(Method::POST, "/v1/books", &key("k-1"), Some(other_body))
        .await
        .is(201);
    for bad in ["", "two words", &"x".repeat(201)] {
        let refused = mina
            .send(Method::POST, "/v1/books", &key(bad), Some(json!({ "title": "t" })))
            .await;
        refused.refused_as(400, "BAD_IDEMPOTENCY_KEY");
    }
    // A refusal is repeated as well.
    let publish = format!("/v1/books/{other}/publish");
    for _ in 0..2 {
        mina.send(Method::POST, &publish, &key("k-2"), None)
            .await
            .refused_as(409, "BOOKS_ALREADY_PUBLISHED");
    }
    house.ends_well().await;
}

#[tokio::test]
async fn another_body_under_a_used_key_is_refused_to_who_does_not_wait_too() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    mina.send(Method::POST, "/v1/books", &key("k"), Some(json!({ "title": "One" })))
        .await
        .is(201);
    let headers = [("idempotency-key", "k"), ("prefer", "respond-async")];
    let other = mina
        .send(Method::POST, "/v1/books", &headers, Some(json!({ "title": "Two" })))
        .await;
    other.refused_as(422, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_repeated_order_is_answered_the_same_though_the_book_is_gone_meanwhile() {
    let house = House::new().await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let book = mina.publishes("Soon gone", 5).await;
    let order = || {
        juno.send(
            Method::POST,
            "/v1/purchases",
            &[("idempotency-key", "k")],
            Some(json!({ "bookId": book })),
        )
    };
    let first = order().await.is(201);
    mina.delete(&format!("/v1/books/{book}")).await.is(200);
    let again = order().await.is(201);
    assert_eq!(
        (again.id(), &again.json["commandId"]),
        (first.id(), &first.json["commandId"])
    );
}

#[tokio::test]
async fn who_does_not_wait_is_told_where_to_ask() {
    let house = House::new().await;
    let (mina, bea) = (house.author("mina").await, house.author("bea").await);
    let prefer = [("prefer", "respond-async")];
    let taken = mina
        .send(Method::POST, "/v1/books", &prefer, Some(json!({ "title": "Later" })))
        .await
        .is(202);
    assert_eq!(
        (taken.str("status").as_str(), taken.header("preference-applied")),
        ("pending", Some("respond-async"))
    );
    let at = taken.header("location").expect("where to ask").to_owned();
    assert_eq!(at, format!("/v1/commands/{}", taken.str("commandId")));
    let done = eventually("the command is done", async || {
        let told = mina.get(&at).await.is(200);
        assert!(
            ["pending", "done"].contains(&told.str("status").as_str()),
            "{}",
            told.text
        );
        (told.str("status") == "done").then_some(told)
    })
    .await;
    assert_eq!((done.id(), &done.json["version"]), (taken.id(), &json!(1)));
    let token = eventually("the token is known", async || {
        let told = mina.get(&at).await.is(200);
        told.json["seq"].is_u64().then_some(told)
    })
    .await;
    mina.get_after(&token, &format!("/v1/books/{}", taken.id()))
        .await
        .is(200);
    bea.get(&at).await.refused_as(404, "NO_SUCH_COMMAND");
    house.get(&at).await.refused_as(401, "NOT_SIGNED_IN");
    mina.get(&format!("/v1/commands/{NOBODY}"))
        .await
        .refused_as(404, "NO_SUCH_COMMAND");

    let publish = format!("/v1/books/{}/publish", taken.id());
    let taken = mina.send(Method::POST, &publish, &prefer, None).await.is(202);
    let at = taken.header("location").expect("where to ask").to_owned();
    let refused = eventually("the command is refused", async || {
        let told = mina.get(&at).await.is(200);
        (told.str("status") == "refused").then_some(told)
    });
    assert_eq!(refused.await.str("code"), "BOOKS_NOTHING_TO_PUBLISH");

    // Both words together: within so long, and asynchronously if it takes longer.
    let both = [("prefer", "respond-async, wait=10")];
    let waited = mina
        .send(Method::POST, "/v1/books", &both, Some(json!({ "title": "Now" })))
        .await
        .is(201);
    assert_eq!(waited.header("preference-applied"), Some("wait=10"));
    house.ends_well().await;
}

/// A day later the stream has forgotten the command, and only the database knows what was asked.
#[tokio::test]
async fn another_body_under_a_key_that_only_the_database_remembers_is_refused_too() {
    let house = House::new().await;
    let mina = house.author("mina").await;
    let one = json!({ "title": "One" });
    mina.send(Method::POST, "/v1/books", &key("k"), Some(one.clone()))
        .await
        .is(201);
    let url = maru_streams::server::running(&house.data().join("nats")).expect("ports");
    let nats = Nats::connect(&url.expect("it runs"), "test")
        .await
        .expect("a connection");
    let commands = nats.jetstream().get_stream(COMMANDS).await.expect("a stream");
    commands.purge().filter("cmd.books.>").await.expect("it is purged");

    let asked = async |headers: &[(&str, &str)], body: &Value| {
        mina.send(Method::POST, "/v1/books", headers, Some(body.clone())).await
    };
    let two = json!({ "title": "Two" });
    for headers in [&key("k")[..], &[("idempotency-key", "k"), ("prefer", "respond-async")]] {
        asked(headers, &two).await.refused_as(422, "IDEMPOTENCY_KEY_REUSED");
    }
    asked(&key("k"), &one).await.is(201);
}
