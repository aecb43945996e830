//! Buying, paying, getting back. Whatever happens, the money adds up.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, eventually};
use crate::person::Person;

const GOOD: &str = "4242 4242 4242 4242";
const DECLINED: &str = "4000-0000-0000-0002";
const POOR: &str = "4000000000009995";
const TIMES_OUT: &str = "4000 0000 0000 0341";
const CHARGED_THEN_FAILS: &str = "4000 0000 0000 0259";

async fn payments(person: &Person) -> Vec<(String, u64)> {
    let rows = person.get("/v1/payments?limit=100").await.is(200).items();
    let read = |row: &Value| {
        (
            row["status"].as_str().unwrap_or_default().to_owned(),
            row["amount"].as_u64().unwrap_or(0),
        )
    };
    rows.iter().map(read).collect()
}

async fn has_paid(person: &Person, wanted: &[(&str, u64)]) {
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(status, amount)| ((*status).to_owned(), *amount))
        .collect();
    eventually(&format!("payments are {wanted:?}"), async || {
        (payments(person).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_paid_reads_at_once_and_who_gives_back_gets_what_was_paid() {
    let house = House::new().await;
    let (mina, juno, kim) = (
        house.author("mina").await,
        house.reader("juno").await,
        house.reader("kim").await,
    );
    let book = mina.publishes("One", 10).await;
    let contents = format!("/v1/books/{book}/contents");

    // BK-16, BK-17: closed before, open the moment the purchase says COMPLETED.
    juno.get(&contents).await.refused_as(402, "NOT_PAID");
    let bought = juno.post("/v1/purchases", json!({ "bookId": book })).await.is(201);
    let purchase = format!("/v1/purchases/{}", bought.id());
    assert_eq!(bought.header("location"), Some(purchase.as_str()));
    assert_eq!(
        (bought.str("state").as_str(), &bought.json["amount"]),
        ("COMPLETED", &json!(10)),
        "{}",
        bought.text
    );
    juno.get(&contents).await.is(200);
    juno.post("/v1/purchases", json!({ "bookId": book }))
        .await
        .refused_as(409, "PURCHASES_ALREADY_BOUGHT");
    kim.get(&contents).await.refused_as(402, "NOT_PAID");

    // BK-22: not somebody else's, and not seen by them.
    kim.post(&format!("{purchase}/refund"), Value::Null)
        .await
        .refused_as(404, "PURCHASES_NO_SUCH_PURCHASE");
    kim.get(&purchase).await.refused_as(404, "PURCHASES_NO_SUCH_PURCHASE");
    mina.get(&purchase).await.is(404);

    // BK-31: the price may change, the refund is what was paid. BK-19: and the contents close.
    mina.patch(&format!("/v1/books/{book}"), json!({ "price": 20 }))
        .await
        .is(200);
    juno.post(&format!("{purchase}/refund"), Value::Null).await.is(202);
    let refunded = juno.sees_purchase(&bought.id(), "REFUNDED").await;
    assert_eq!(refunded["amount"], 10);
    juno.get(&contents).await.refused_as(402, "NOT_PAID");
    juno.post(&format!("{purchase}/refund"), Value::Null)
        .await
        .refused_as(409, "PURCHASES_NOTHING_TO_REFUND");
    has_paid(&juno, &[("REFUNDED", 10)]).await;
    eventually("the library is empty", async || {
        juno.get("/v1/me/library")
            .await
            .is(200)
            .items()
            .is_empty()
            .then_some(())
    })
    .await;

    // Bought again, at today's price, under the same purchase and a new payment.
    let again = juno.buys(&book, GOOD, "COMPLETED").await;
    assert_eq!((&again["id"], &again["amount"]), (&bought.json["id"], &json!(20)));
    assert_ne!(again["paymentId"], bought.json["paymentId"]);
    has_paid(&juno, &[("APPROVED", 20), ("REFUNDED", 10)]).await;

    // A free book needs no payment, and its refund neither.
    let free = mina.publishes("Free", 0).await;
    let got = kim.post("/v1/purchases", json!({ "bookId": free })).await.is(201);
    assert_eq!(
        (got.str("state").as_str(), &got.json["paymentId"]),
        ("COMPLETED", &Value::Null)
    );
    kim.get(&format!("/v1/books/{free}/contents")).await.is(200);
    kim.post(&format!("/v1/purchases/{}/refund", got.id()), Value::Null)
        .await
        .is(202);
    kim.sees_purchase(&got.id(), "REFUNDED").await;
    // BK-32: everybody's own payments, nobody else's.
    assert!(payments(&kim).await.is_empty() && payments(&mina).await.is_empty());
    house.get("/v1/payments").await.is(401);

    // No number that is not a published test number gets in, and none is in the log.
    for card in ["4111 1111 1111 1111", "", "4242", "💳"] {
        let body = json!({ "bookId": free, "card": card });
        let refused = kim.post("/v1/purchases", body).await.refused_as(422, "NOT_A_TEST_CARD");
        assert!(
            card.is_empty() || card == "4242" || !refused.text.contains(card),
            "{}",
            refused.text
        );
    }
    house.ends_well().await;
    let log = house.log().join("\n");
    assert!(
        !log.contains("4111") && !log.contains("4242"),
        "a card number is in the log"
    );
}

#[tokio::test]
async fn a_declined_card_leaves_nothing_to_read() {
    let house = House::new().await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    let book = mina.publishes("One", 500).await;
    for (card, nth) in [(DECLINED, 1), (POOR, 2)] {
        let rejected = juno.buys(&book, card, "REJECTED").await;
        assert_eq!(rejected["code"], "PAYMENT_DECLINED");
        juno.get(&format!("/v1/books/{book}/contents"))
            .await
            .refused_as(402, "NOT_PAID");
        assert!(juno.get("/v1/me/library").await.is(200).items().is_empty());
        has_paid(&juno, &[("DECLINED", 500)].repeat(nth)).await;
    }
    juno.buys(&book, GOOD, "COMPLETED").await;
    has_paid(&juno, &[("APPROVED", 500), ("DECLINED", 500), ("DECLINED", 500)]).await;
    house.ends_well().await;
}

#[tokio::test]
async fn a_bank_that_does_not_answer_is_asked_again_and_one_that_fails_after_charging_is_undone() {
    let house = House::with(&[("MARU_PAYMENT_TIMEOUT_MS", "400")]).await;
    let (mina, juno, kim) = (
        house.author("mina").await,
        house.reader("juno").await,
        house.reader("kim").await,
    );
    let book = mina.publishes("One", 500).await;

    // The charge was made, its answer never came: asked again, charged once.
    juno.buys(&book, TIMES_OUT, "COMPLETED").await;
    has_paid(&juno, &[("APPROVED", 500)]).await;

    // BK-20: charged, and never a good answer: rejected, and the money goes back.
    let rejected = kim.buys(&book, CHARGED_THEN_FAILS, "REJECTED").await;
    assert_eq!(rejected["code"], "PAYMENT_FAILED");
    kim.get(&format!("/v1/books/{book}/contents"))
        .await
        .refused_as(402, "NOT_PAID");
    has_paid(&kim, &[("CANCELLED", 500)]).await;
    assert!(kim.get("/v1/me/library").await.is(200).items().is_empty());
    kim.buys(&book, GOOD, "COMPLETED").await;
    has_paid(&kim, &[("APPROVED", 500), ("CANCELLED", 500)]).await;
    house.settles().await;
    let dead = house.metric("maru_dead_letters_total", &["job-charge"]).await;
    assert_eq!(
        (dead, house.metric("maru_dead_letters_total", &[]).await),
        (1.0, 1.0),
        "only the charge was given up"
    );
}

#[tokio::test]
async fn a_double_click_charges_once_and_a_double_refund_pays_back_once() {
    let house = House::new().await;
    let (mina, juno) = (house.author("mina").await, house.reader("juno").await);
    for round in 0..4 {
        let book = mina.publishes(&format!("Book {round}"), 100).await;
        let click = || juno.post("/v1/purchases", json!({ "bookId": book }));
        let clicks = join_all((0..6).map(|_| click())).await;
        let won: Vec<_> = clicks.iter().filter(|reply| reply.status == 201).collect();
        assert_eq!(
            won.len(),
            1,
            "{:?}",
            clicks.iter().map(|reply| reply.status).collect::<Vec<_>>()
        );
        for lost in clicks.iter().filter(|reply| reply.status != 201) {
            let code = lost.str("code");
            assert_eq!(lost.status, 409, "{}", lost.text);
            assert!(
                ["PURCHASES_STILL_PAYING", "PURCHASES_ALREADY_BOUGHT"].contains(&code.as_str()),
                "{code}"
            );
        }
        juno.sees_purchase(&won[0].id(), "COMPLETED").await;
        // The same click sent twice, by its key, is one.
        let refund = format!("/v1/purchases/{}/refund", won[0].id());
        let refunds = join_all((0..6).map(|_| juno.post(&refund, Value::Null))).await;
        assert_eq!(refunds.iter().filter(|reply| reply.status == 202).count(), 1);
        juno.sees_purchase(&won[0].id(), "REFUNDED").await;
        let key = format!("again-{round}");
        let headers = [("idempotency-key", key.as_str())];
        let repeat = || juno.send(Method::POST, "/v1/purchases", &headers, Some(json!({ "bookId": book })));
        for repeat in join_all((0..6).map(|_| repeat())).await {
            let repeat = repeat.is(201);
            assert_eq!(repeat.str("state"), "COMPLETED", "{}", repeat.text);
        }
    }
    house.settles().await;
    let wanted = [
        vec![("APPROVED".to_owned(), 100); 4],
        vec![("REFUNDED".to_owned(), 100); 4],
    ]
    .concat();
    // The queues are empty, and the view may be about to fold the last of it.
    eventually("the history has all of it and no more", async || {
        let mut paid = payments(&juno).await;
        paid.sort();
        (paid == wanted).then_some(())
    })
    .await;
    house.ends_well().await;
}

#[tokio::test]
async fn two_hundred_members_buy_the_same_book_at_once_and_each_has_it_once() {
    const CROWD: usize = 200;
    let house = House::new().await;
    let mina = house.author("mina").await;
    let book = mina.publishes("Everybody's", 1200).await;
    let members = stream::iter(0..CROWD).map(|nth| {
        let house = &house;
        async move { house.reader(&format!("reader-{nth}")).await }
    });
    let members: Vec<Person> = members.buffer_unordered(16).collect().await;

    let orders = join_all(
        members
            .iter()
            .map(|member| member.post("/v1/purchases", json!({ "bookId": book }))),
    )
    .await;
    let mut ids = BTreeSet::new();
    for order in orders {
        assert!([201, 202].contains(&order.status), "{}", order.text);
        ids.insert(order.id());
    }
    assert_eq!(ids.len(), CROWD);
    house.settles().await;
    let mut taken = 0;
    for member in &members {
        let library = member.get("/v1/me/library").await.is(200).items();
        assert_eq!((library.len(), &library[0]["bookId"]), (1, &json!(book)));
        let paid = payments(member).await;
        assert_eq!(paid, [("APPROVED".to_owned(), 1200)]);
        taken += paid[0].1;
        let purchase = library[0]["purchaseId"].as_str().expect("an id");
        assert!(ids.contains(purchase));
        assert_eq!(
            member
                .get(&format!("/v1/purchases/{purchase}"))
                .await
                .is(200)
                .str("state"),
            "COMPLETED"
        );
    }
    assert_eq!(taken, 1200 * CROWD as u64);
    house.ends_well().await;
}
