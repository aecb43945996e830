//! The split form, in every run of the tests: gateways, workers, database and nats-server are processes of
//! their own, and each of them goes away while people go on.
//!
//! `make test-split` runs all other tests in this form too.

use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::house::{House, within};
use crate::kill::Siege;
use crate::person::{Person, Reply};

/// "A few seconds": long enough to notice that somebody is frozen, and for a machine with other work.
const SOON: Duration = Duration::from_secs(9);
/// What was left unsettled comes again after half a minute.
const LONG: Duration = Duration::from_secs(100);

/// What processes say while a part that they need is away.
pub fn allow_outages(house: &House) {
    for words in [
        "the database is away",
        "the connection to nats-server is lost",
        "a command was not taken in",
        "an outcome could not be looked up",
        "a part is away",
        "waiting until the house is in order",
        "cannot pull",
        "the view waits",
        "published events stay in the outbox",
        "the outbox could not be swept",
        "somebody else may sweep the outbox now",
        "a lease",
        "the lease",
        "could not be",
        "cannot be",
        "does not answer",
        "away",
    ] {
        house.allow(words);
    }
}

/// An answer that must come soon, though what it needs may be away.
pub async fn soon(who: &Person, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Reply {
    let asked = Instant::now();
    let reply = who.send(method, path, headers, body).await;
    assert!(
        asked.elapsed() < SOON,
        "{path} took {:?}: {}",
        asked.elapsed(),
        reply.text
    );
    reply
}

/// Reads a path again and again until it answers 200.
pub async fn comes_back(who: &Person, path: &str) {
    within(LONG, &format!("{path} is served again"), async || {
        let reply = who.try_send(Method::GET, path, &[], None).await.ok()?;
        (reply.status == 200).then_some(())
    })
    .await;
}

/// Waits until a command has taken effect.
pub async fn is_done(who: &Person, taken: &Reply) {
    let path = format!("/v1/commands/{}", taken.str("commandId"));
    within(LONG, "what was taken in is done", async || {
        let reply = who.try_send(Method::GET, &path, &[], None).await.ok()?;
        (reply.status == 200 && reply.json["status"] == "done").then_some(())
    })
    .await;
}

/// A house whose doors and workers say so, or do not.
pub async fn takes_work(house: &House) -> bool {
    for process in house.processes.iter().filter(|process| process.metrics.is_some()) {
        let port = process.metrics.unwrap_or_default();
        for probe in ["livez", "readyz"] {
            let asked = house.http.get(format!("http://127.0.0.1:{port}/{probe}")).send().await;
            if !asked.is_ok_and(|answer| answer.status() == 200) {
                return false;
            }
        }
    }
    true
}

#[tokio::test]
#[cfg_attr(
    not(feature = "database"),
    ignore = "without the database server's library there is nothing to split off"
)]
async fn a_book_goes_from_sign_up_to_refund_through_two_doors_and_two_of_each_worker() {
    let house = House::split(&[]).await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let draft = json!({ "title": "The whale", "synopsis": "A whale that wanted to fly.", "price": 10 });
    let book = mina.post("/v1/books", draft).await.is(201).id();
    mina.post(&format!("/v1/books/{book}/ai-draft"), json!({}))
        .await
        .is(202);
    mina.sees_book(&book, "storyStatus", "READY").await;
    mina.sees_book(&book, "imageStatus", "READY").await;
    let sold = mina.publishes("Sold", 10).await;
    let bought = juno.buys(&sold, "4242 4242 4242 4242", "COMPLETED").await;
    juno.get(&format!("/v1/books/{sold}/contents")).await.is(200);
    let purchase = bought["id"].as_str().expect("an id").to_owned();
    juno.post(&format!("/v1/purchases/{purchase}/refund"), Value::Null)
        .await
        .is(202);
    juno.sees_purchase(&purchase, "REFUNDED").await;
    juno.get(&format!("/v1/books/{sold}/contents"))
        .await
        .refused_as(402, "NOT_PAID");
    house.ends_well().await;
    assert!(house.stop().await.success());
}

#[tokio::test]
#[cfg_attr(
    not(feature = "database"),
    ignore = "without the database server's library there is nothing to split off"
)]
async fn while_the_database_is_away_the_door_takes_in_and_says_so_and_all_is_done_when_it_is_back() {
    let house = House::split(&[]).await;
    allow_outages(&house);
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let book = mina.publishes("Before", 10).await;
    let database = house.process("database");
    let mut taken = Vec::new();
    for how in ["frozen", "killed"] {
        match how {
            "frozen" => database.signal(Signal::STOP),
            _ => database.kill(),
        }
        for round in 0..2 {
            // What reads is told to come again.
            for path in [
                "/v1/books".to_owned(),
                format!("/v1/books/{book}"),
                "/v1/me/books".to_owned(),
            ] {
                let reply = soon(&mina, Method::GET, &path, &[], None).await;
                reply.refused_as(503, "UNAVAILABLE");
            }
            let order = json!({ "bookId": book });
            let reply = soon(&juno, Method::POST, "/v1/purchases", &[], Some(order)).await;
            reply.refused_as(503, "UNAVAILABLE");
            let login = json!({ "username": "mina", "password": crate::house::PASSWORD });
            let reply = soon(&mina, Method::POST, "/v1/auth/login", &[], Some(login)).await;
            reply.refused_as(503, "UNAVAILABLE");
            // A command needs the stream alone: it is taken in, and waits.
            let headers = [("prefer", "wait=1")];
            let new = json!({ "title": format!("{how} {round}"), "price": 10 });
            let reply = soon(&mina, Method::POST, "/v1/books", &headers, Some(new))
                .await
                .is(202);
            assert!(
                reply.header("location").is_some() && reply.str("status") == "pending",
                "{reply:?}"
            );
            taken.push(reply);
        }
        assert!(takes_work(&house).await, "a database that is away takes no process out");
        soon(&mina, Method::GET, "/readyz", &[], None)
            .await
            .refused_as(503, "UNAVAILABLE");
        match how {
            "frozen" => database.signal(Signal::CONT),
            _ => house.start_one("database"),
        }
        comes_back(&mina, "/v1/me/books").await;
        for reply in &taken {
            is_done(&mina, reply).await;
        }
    }
    within(LONG, "the author's list has them all", async || {
        let mine = mina.get("/v1/me/books?limit=100").await;
        (mine.status == 200 && mine.items().len() == 1 + taken.len()).then_some(())
    })
    .await;
    juno.buys(&book, "4242 4242 4242 4242", "COMPLETED").await;
    assert_eq!(house.metric("maru_lane_breaker", &[]).await, 0.0, "no breaker opened");
    assert!(house.metric("maru_database_reconnects_total", &[]).await >= 2.0);
    house.ends_well().await;
}

#[tokio::test]
#[cfg_attr(
    not(feature = "database"),
    ignore = "without the database server's library there is nothing to split off"
)]
async fn while_nats_is_away_people_read_and_nothing_is_taken_in() {
    let house = House::split(&[]).await;
    allow_outages(&house);
    let mina = house.author("mina").await;
    let book = mina.publishes("Before", 10).await;
    mina.sees_book(&book, "status", "PUBLISHED").await;
    let frozen = house.nats_pid().expect("a nats-server");
    crate::process::signal(frozen, Signal::STOP);
    for _ in 0..2 {
        let headers = [("idempotency-key", "while-away")];
        let new = json!({ "title": "While away" });
        let reply = soon(&mina, Method::POST, "/v1/books", &headers, Some(new))
            .await
            .is(503);
        assert!(
            ["UNAVAILABLE", "OUTCOME_UNKNOWN"].contains(&reply.str("code").as_str()),
            "{reply:?}"
        );
        soon(&mina, Method::GET, &format!("/v1/books/{book}"), &[], None)
            .await
            .is(200);
        soon(&mina, Method::GET, "/v1/books", &[], None).await.is(200);
    }
    assert!(
        takes_work(&house).await,
        "a nats-server that is away takes no process out"
    );
    crate::process::signal(frozen, Signal::CONT);
    // The same request again, until it has a last word; whatever became of the earlier ones, it is one book.
    let made = within(LONG, "the book is taken in", async || {
        let headers = [("idempotency-key", "while-away")];
        let new = json!({ "title": "While away" });
        let reply = mina
            .try_send(Method::POST, "/v1/books", &headers, Some(new))
            .await
            .ok()?;
        (reply.status == 201).then_some(reply)
    })
    .await;
    mina.get_after(&made, &format!("/v1/books/{}", made.id())).await.is(200);
    assert_eq!(mina.get_after(&made, "/v1/me/books").await.is(200).items().len(), 2);
    house.ends_well().await;
}

#[tokio::test]
#[cfg_attr(
    not(feature = "database"),
    ignore = "without the database server's library there is nothing to split off"
)]
async fn each_process_is_lost_under_load_and_nothing_is_lost_or_done_twice() {
    let mut siege = Siege::on(House::split(&[]).await, 6).await;
    allow_outages(&siege.house);
    for part in [
        "gateway 1",
        "workers 1",
        "database",
        "gateway 2",
        "nats",
        "frozen database",
    ] {
        siege.wave().await;
        let house = &siege.house;
        match part {
            "nats" => house.kill_nats(),
            "frozen database" => {
                let noticed = || {
                    house
                        .log()
                        .iter()
                        .filter(|line| line.contains("the database is away"))
                        .count()
                };
                let (database, before) = (house.process("database"), noticed());
                database.signal(Signal::STOP);
                within(LONG, "somebody notices", async || (noticed() > before).then_some(())).await;
                database.signal(Signal::CONT);
            }
            part => {
                house.process(part).kill();
                if part.starts_with("gateway") {
                    // The other one serves.
                    comes_back(&siege.author, "/v1/books").await;
                }
                house.start_one(part);
            }
        }
    }
    let house = siege.counts().await;
    house.ends_well().await;
    assert!(house.stop().await.success());
}

#[tokio::test]
#[cfg_attr(
    not(feature = "database"),
    ignore = "without the database server's library there is nothing to split off"
)]
async fn a_cluster_loses_each_of_its_three_servers_under_load_and_nothing_with_them() {
    let mut siege = Siege::on(House::clustered().await, 3).await;
    allow_outages(&siege.house);
    assert!(siege.author.get("/readyz").await.is(200).text.contains("fsynced"));
    for nth in 0..3 {
        siege.wave().await;
        let crate::form::Servers::Three(cluster) = &siege.house.servers else {
            panic!("this house has a cluster");
        };
        cluster.kill_one(nth);
        // Two of three go on.
        let new = json!({ "title": format!("Without {nth}") });
        let key = format!("without-{nth}");
        within(LONG, "two of three take in", async || {
            let headers = [("idempotency-key", key.as_str())];
            let sent = siege
                .author
                .try_send(Method::POST, "/v1/books", &headers, Some(new.clone()));
            sent.await.is_ok_and(|reply| reply.status == 201).then_some(())
        })
        .await;
        cluster.start_one(nth);
        cluster.is_whole().await;
    }
    siege.also(3);
    let house = siege.counts().await;
    house.ends_well().await;
}
