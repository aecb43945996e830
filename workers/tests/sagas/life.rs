use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maru_schemas::books::{self, Books, WorkStatus};
use maru_schemas::envelope::Actor;
use maru_schemas::payments::TestCard;
use maru_schemas::purchases::{Command, Purchases, Status};
use maru_streams::jobs::Lane;
use maru_streams::testing::faults::{CrashOnce, Twice};
use maru_streams::testing::until;
use maru_workers::ports::sandbox::Movement;

use crate::house::{JUNO, MINA, Village};

/// A book is written, painted, published, bought and given back. The effects are counted where they
/// take place: at the provider and at the bank.
async fn a_life(village: &Village) {
    let book = village.published(1).await;
    let (purchase, _) = village.buy(book, "buy", TestCard::Approved).await;
    village.becomes(purchase, Status::Completed).await;
    village
        .ask::<Purchases>(Actor::Member(JUNO), purchase, "refund", &Command::RequestRefund {})
        .await;
    let purchase = village.becomes(purchase, Status::Refunded).await;
    let account = village.account(&purchase).await.unwrap();
    assert_eq!(account.log, [Movement::Charged, Movement::Refunded]);
    assert_eq!(account.amount, 10);
    let edition = village.book(book).await.edition;
    assert_eq!(edition, 3, "begun, written, painted: each made one edition");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_is_written_sold_and_given_back_though_every_message_comes_twice() {
    let village = Village::new(Twice::wrap).await;
    a_life(&village).await;
    assert_eq!(village.ai.stories.load(Ordering::SeqCst), 1);
    assert_eq!(village.ai.images.load(Ordering::SeqCst), 1);
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_is_written_sold_and_given_back_though_every_lane_crashes_at_every_step() {
    for step in 0.. {
        let crashes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&crashes);
        let wrap = move |lane: Lane| CrashOnce::wrap(lane, step, Arc::clone(&counted));
        let village = Village::new(wrap).await;
        a_life(&village).await;
        // A provider without idempotency may be asked again by who does not know whether it was asked.
        assert!(village.ai.stories.load(Ordering::SeqCst) <= 2);
        village.ends_well().await;
        if crashes.load(Ordering::SeqCst) == 0 {
            assert!(step > 5, "the longest handler has more steps than {step}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_painted_while_the_story_worker_is_away_and_the_story_comes_when_it_is_back() {
    let mut village = Village::without(&["write_story"], |lane| lane).await;
    let (book, mina) = (village.draft(1).await, Actor::Member(MINA));
    let story = books::Command::RequestStory {
        synopsis: None,
        image: false,
    };
    village.ask::<Books>(mina, book, "story", &story).await;
    village
        .ask::<Books>(mina, book, "image", &books::Command::RequestImage {})
        .await;
    until("the image is there", async || {
        village.book(book).await.painting.status == WorkStatus::Ready
    })
    .await;
    assert_eq!(village.book(book).await.story.status, WorkStatus::Requested);
    village.comes_back("write_story");
    until("the story is there", async || {
        village.book(book).await.story.status == WorkStatus::Ready
    })
    .await;
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stories_are_written_while_the_painter_is_away_and_the_image_comes_without_asking_again() {
    let mut village = Village::without(&["paint_image"], |lane| lane).await;
    let (book, mina) = (village.draft(1).await, Actor::Member(MINA));
    let story = books::Command::RequestStory {
        synopsis: None,
        image: true,
    };
    village.ask::<Books>(mina, book, "story", &story).await;
    until("the story is there", async || {
        village.book(book).await.story.status == WorkStatus::Ready
    })
    .await;
    village.comes_back("paint_image");
    until("the image is there", async || {
        village.book(book).await.painting.status == WorkStatus::Ready
    })
    .await;
    village.ends_well().await;
}
