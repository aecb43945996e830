use maru_schemas::envelope::Actor;
use maru_schemas::ids::ReviewId;
use maru_schemas::payments::TestCard;
use maru_schemas::purchases::Status;
use maru_schemas::reviews::{Command, HalfStars, Reviews};
use maru_schemas::views::{BOOK_DETAIL, BookDetail, VIEWS};
use maru_streams::store::{Key, Part};
use maru_streams::testing::until;
use maru_streams::topology::EVENTS;
use maru_streams::views::{forget, mark};

use crate::house::{JUNO, Village};

type Table = Vec<(Vec<Part>, serde_json::Value)>;

async fn everything(village: &Village) -> Vec<Table> {
    let mut tables = Vec::new();
    for view in VIEWS {
        tables.push(village.world.store.page(view, &[], &[], 1000).await.unwrap());
    }
    tables
}

async fn caught_up(village: &Village) {
    until("every view is where the stream is", async || {
        let newest = village.world.count(EVENTS).await;
        for view in VIEWS {
            if mark(&village.world.store, view).await.unwrap() != Some(newest) {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_is_the_same_when_it_is_built_again() {
    let village = Village::new(|lane| lane).await;
    for n in 1..=3 {
        let book = village.published(n).await;
        let (purchase, _) = village.buy(book, "buy", TestCard::Approved).await;
        village.becomes(purchase, Status::Completed).await;
        let review = Command::WriteReview {
            member: JUNO,
            book,
            rating: HalfStars::from_stars(4.5).unwrap(),
            content: "Warm <b>and</b> funny".into(),
            bought: true,
        };
        village
            .ask::<Reviews>(Actor::Member(JUNO), ReviewId::of(JUNO, book), "review", &review)
            .await;
    }
    caught_up(&village).await;
    let before = everything(&village).await;
    assert!(
        before.iter().all(|table| table.len() == 3),
        "three rows in each of the six views"
    );
    for view in maru_workers::views::all() {
        forget(&village.world.store, &*view).await.unwrap();
    }
    // Something must happen for a reader to notice that its mark is gone.
    let book = village.published(4).await;
    caught_up(&village).await;
    let detail: BookDetail = village.row(&Key::of(BOOK_DETAIL, book)).await.unwrap();
    assert_eq!(detail.edition, 3);
    let after = everything(&village).await;
    for (before, after) in before.iter().zip(&after) {
        assert!(before.iter().all(|row| after.contains(row)), "{before:?} {after:?}");
    }
    village.ends_well().await;
}
