use std::time::Duration;

use maru_schemas::envelope::Actor;
use maru_schemas::ids::{MemberId, PaymentId};
use maru_schemas::members::Login;
use maru_schemas::payments::{self, Payment, Payments, TestCard};
use maru_schemas::purchases;
use maru_streams::desk::Desk;
use maru_streams::janitor::HORIZON;
use maru_streams::objects::Images;
use maru_streams::store::Key;
use maru_streams::testing::until;
use maru_workers::clock::Clockwork;
use serde_json::json;
use uuid::Uuid;

use crate::house::Village;

async fn run(village: &Village, name: &str) -> u64 {
    let clockwork = Clockwork {
        nats: village.world.nats.clone(),
        store: village.world.store.clone(),
        clock: village.world.clock.clock(),
        consumers: Vec::new(),
        horizon: HORIZON,
    };
    let desk = clockwork.answers(Desk::default());
    let answer = desk.ask("clock.run", json!({ "name": name }), |_| {}).await.unwrap();
    answer["done"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_no_edition_names_is_taken_away_and_every_other_stays() {
    let village = Village::new(|lane| lane).await;
    let book = village.published(1).await;
    let shown = village.book(book).await.image.unwrap().to_string();
    let images = Images::new(village.world.nats.clone());
    let (orphan, stranger) = (Uuid::from_u128(99).to_string(), Uuid::from_u128(98).to_string());
    images.put(&orphan, book.0, b"painted in vain").await.unwrap();
    images
        .put(&stranger, Uuid::from_u128(97), b"of a book that is not there")
        .await
        .unwrap();
    // The test's clock is ahead of the server's, so all of them are old.
    assert_eq!(run(&village, "images").await, 1);
    assert_eq!(images.get(&orphan).await.unwrap(), None);
    assert!(images.get(&shown).await.unwrap().is_some());
    assert!(images.get(&stranger).await.unwrap().is_some());
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_brought_nobody_a_book_is_found_once_the_word_about_it_is_not_under_way_any_more() {
    let village = Village::new(|lane| lane).await;
    let (sold, _) = village.buy(village.published(1).await, "buy", TestCard::Approved).await;
    village.becomes(sold, purchases::Status::Completed).await;
    let (id, nothing) = (PaymentId(Uuid::from_u128(50)), Uuid::from_u128(51));
    let ask = payments::Command::RequestPayment {
        reference: nothing,
        member: MemberId(Uuid::from_u128(52)),
        amount: 10,
        card: TestCard::Approved,
    };
    village.ask::<Payments>(Actor::System, id, "ask", &ask).await;
    until("the money is taken", async || {
        let payment: Option<(u64, Payment)> = village.world.store.state(payments::CONTEXT, id).await.unwrap();
        payment.is_some_and(|(_, payment)| payment.status == payments::Status::Approved)
    })
    .await;
    assert_eq!(run(&village, "money").await, 0, "it was changed just now");
    village.world.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(run(&village, "money").await, 1);
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_nobody_can_refresh_is_taken_away() {
    let village = Village::new(|lane| lane).await;
    let now = village.world.clock.clock().now().as_second().unsigned_abs();
    let minted = |second: u64| Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, second, 0));
    let login = |current| Login {
        member: MemberId(Uuid::nil()),
        current,
    };
    let month = Duration::from_secs(30 * 24 * 3600).as_secs();
    let (old, used, young) = (minted(now - month), minted(now - month + 1), minted(now - 60));
    for (family, current) in [(old, old), (used, minted(now - 100)), (young, young)] {
        let key = Key::of("members_refresh", family);
        village.world.store.create(&key, &login(Some(current))).await.unwrap();
    }
    assert_eq!(run(&village, "refresh_tokens").await, 1);
    assert_eq!(village.row::<Login>(&Key::of("members_refresh", old)).await, None);
    assert!(village.row::<Login>(&Key::of("members_refresh", used)).await.is_some());
    village.ends_well().await;
}
