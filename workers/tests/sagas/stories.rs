//! Stories that are cut off, called off, refused and given up: what is kept of them, what is paid for,
//! and what the ledger says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maru_schemas::books::{self, Books, WorkStatus};
use maru_schemas::envelope::Actor;
use maru_schemas::ids::{BookId, JobId};
use maru_streams::effects::{Effects, Known, Noted};
use maru_streams::partial::Partials;
use maru_streams::testing::faults::{CrashOnce, Twice};
use maru_streams::testing::until;
use maru_streams::topology::DEAD;

use crate::house::{MINA, Village};
use crate::writer::{Mood, story};

/// Long enough to be kept on the way.
fn synopsis() -> String {
    "The whale swam on and on, and asked every star. ".repeat(25)
}

/// What may have come since it was kept the last time: as much as makes it be kept, and the next piece.
const SINCE: usize = 500;

/// Has a long story written, and tells its unit of work.
async fn asks(village: &Village, n: u128) -> (BookId, JobId) {
    let book = village.draft(n).await;
    let wish = books::Command::RequestStory {
        synopsis: Some(synopsis()),
        image: false,
    };
    village.ask::<Books>(Actor::Member(MINA), book, "story", &wish).await;
    (book, village.book(book).await.story.job.unwrap())
}

async fn is(village: &Village, book: BookId, status: WorkStatus) {
    until(&format!("the story is {status:?}"), async || {
        village.book(book).await.story.status == status
    })
    .await;
}

async fn calls_off(village: &Village, book: BookId) {
    let cancel = books::Command::CancelStory {};
    village.ask::<Books>(Actor::Member(MINA), book, "cancel", &cancel).await;
    is(village, book, WorkStatus::None).await;
}

async fn ledger(village: &Village, job: JobId) -> Option<Noted> {
    let effects = Effects::new(village.world.store.clone());
    effects.status(job.0).await.unwrap().pop()
}

async fn kept(village: &Village, job: JobId) -> Option<String> {
    let partials = Partials::new(village.world.store.clone(), village.world.nats.clone());
    partials.read(job.0).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_that_is_cut_off_at_any_step_becomes_whole_and_only_what_was_not_kept_is_paid_twice() {
    let village = Village::without(&["write_story"], |lane| lane).await;
    let whole = story("The whale", &synopsis()).trim().to_owned();
    let (mut went_on, mut step) = (0, 0);
    loop {
        village.ai.bytes.store(0, Ordering::SeqCst);
        let crashes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&crashes);
        let working = village.begins("write_story", move |lane| {
            CrashOnce::wrap(lane, step, Arc::clone(&counted))
        });
        let (book, job) = asks(&village, 1 + step as u128).await;
        is(&village, book, WorkStatus::Ready).await;
        assert_eq!(village.book(book).await.contents, whole, "cut off after {step} steps");
        let paid = village.ai.bytes.load(Ordering::SeqCst);
        assert!(paid <= whole.len() + SINCE, "cut off after {step} steps: {paid} bytes");
        let line = ledger(&village, job).await.unwrap();
        assert!(matches!(line.known, Known::DoneOnce | Known::MaybeTwice), "{line:?}");
        went_on += usize::from(line.known == Known::DoneOnce && line.tries == 2);
        working.stop().await;
        assert_eq!(kept(&village, job).await, None, "cut off after {step} steps");
        if crashes.load(Ordering::SeqCst) == 0 {
            break;
        }
        step += 1;
    }
    assert!(step > 25, "every piece is a step: {step}");
    assert!(went_on > 5, "many went on where they were: {went_on}");
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_that_comes_twice_is_written_once_and_leaves_nothing_half_done() {
    let village = Village::new(Twice::wrap).await;
    let (book, job) = asks(&village, 1).await;
    is(&village, book, WorkStatus::Ready).await;
    until("nothing is half done", async || kept(&village, job).await.is_none()).await;
    let line = ledger(&village, job).await.unwrap();
    assert_eq!((line.known, line.tries), (Known::DoneOnce, 1));
    assert_eq!(village.ai.stories.load(Ordering::SeqCst), 1);
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_that_is_called_off_before_its_worker_comes_is_never_begun() {
    let mut village = Village::without(&["write_story"], |lane| lane).await;
    let (book, job) = asks(&village, 1).await;
    calls_off(&village, book).await;
    village.comes_back("write_story");
    // The next one is written, so the one before it was looked at.
    let (other, _) = asks(&village, 2).await;
    is(&village, other, WorkStatus::Ready).await;
    assert_eq!(village.ai.stories.load(Ordering::SeqCst), 1);
    assert_eq!((ledger(&village, job).await, kept(&village, job).await), (None, None));
    assert_eq!(village.book(book).await.story.status, WorkStatus::None);
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_that_is_called_off_while_it_is_written_is_broken_off_and_can_be_asked_for_anew() {
    let village = Village::new(|lane| lane).await;
    *village.ai.mood.lock().unwrap() = Mood::FallsSilent(4);
    let (book, job) = asks(&village, 1).await;
    until("some of it is kept", async || {
        kept(&village, job).await.is_some_and(|text| !text.is_empty())
    })
    .await;
    calls_off(&village, book).await;
    until("the call is broken off", async || {
        ledger(&village, job).await.unwrap().known == Known::Cancelled
    })
    .await;
    until("nothing is half done", async || kept(&village, job).await.is_none()).await;
    assert_eq!(village.book(book).await.contents, "");

    *village.ai.mood.lock().unwrap() = Mood::Writes;
    let again = books::Command::RequestStory {
        synopsis: None,
        image: false,
    };
    village.ask::<Books>(Actor::Member(MINA), book, "again", &again).await;
    is(&village, book, WorkStatus::Ready).await;
    assert_eq!(village.ai.stories.load(Ordering::SeqCst), 2);
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_given_up_leaves_nothing_half_done() {
    let village = Village::new(|lane| lane).await;
    *village.ai.mood.lock().unwrap() = Mood::Refuses(4);
    let (refused, refused_job) = asks(&village, 1).await;
    is(&village, refused, WorkStatus::Failed).await;
    assert_eq!(
        village.ai.stories.load(Ordering::SeqCst),
        1,
        "who says no is not asked again"
    );
    assert_eq!(kept(&village, refused_job).await, None);

    // Each attempt goes on behind the one before, and none gets to the end.
    *village.ai.mood.lock().unwrap() = Mood::Breaks(2);
    let (given_up, given_up_job) = asks(&village, 2).await;
    is(&village, given_up, WorkStatus::Failed).await;
    assert_eq!(village.ai.stories.load(Ordering::SeqCst), 5);
    assert_eq!(kept(&village, given_up_job).await, None);
    let line = ledger(&village, given_up_job).await.unwrap();
    assert_eq!((line.known, line.tries), (Known::NotDone, 4));
    until("the letter is there", async || village.world.count(DEAD).await == 1).await;
}
