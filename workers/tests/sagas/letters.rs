use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::books::Books;
use maru_schemas::envelope::Actor;
use maru_schemas::ids::BookId;
use maru_schemas::letters::{Listing, State, Which};
use maru_schemas::payments::TestCard;
use maru_schemas::purchases::Status;
use maru_streams::jobs::{Delivery, Handler, Lane, Reason, Verdict};
use maru_streams::testing::faults::Twice;
use maru_streams::testing::until;
use maru_workers::ports::sandbox::Movement;
use uuid::Uuid;

use crate::house::{MINA, Village};

/// A lane that cannot read one kind of message, as one build may not and the next one can.
struct Unable {
    inner: Arc<dyn Handler>,
    kind: &'static str,
    is_broken: Arc<AtomicBool>,
}

impl Unable {
    fn wrap(mut lane: Lane, name: &str, kind: &'static str, is_broken: &Arc<AtomicBool>) -> Lane {
        if lane.name == name {
            lane.handler = Arc::new(Self {
                inner: lane.handler,
                kind,
                is_broken: Arc::clone(is_broken),
            });
        }
        lane
    }
}

impl Handler for Unable {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        if delivery.envelope.kind == self.kind && self.is_broken.load(Ordering::SeqCst) {
            return async { Verdict::Poison(Reason::new("undecodable", "not by this build")) }.boxed();
        }
        Arc::clone(&self.inner).handle(delivery)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_could_not_be_read_completes_its_purchase_when_it_is_replayed() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let mut village = Village::new(move |lane| {
        let lane = Twice::wrap(lane);
        Unable::wrap(lane, "flow-checkout", "maru.payments.payment_approved.v1", &broken)
    })
    .await;
    let (first, second) = (village.published(1).await, village.published(2).await);
    let (stuck, _) = village.buy(first, "buy", TestCard::Approved).await;
    let letters = &village.world.engine.letters;
    let open = async || letters.list(&Listing::default()).await.unwrap().items;
    until("the approval is given up", async || open().await.len() == 1).await;
    let letter = open().await.remove(0);
    assert_eq!((letter.lane.as_str(), letter.state), ("flow-checkout", State::Dead));
    // Other people's purchases go on: this one is declined, which the flow can read.
    let (declined, _) = village.buy(second, "buy", TestCard::InsufficientFunds).await;
    village.becomes(declined, Status::Rejected).await;
    assert_eq!(village.purchase(stuck).await.status, Status::Paying);

    is_broken.store(false, Ordering::SeqCst);
    let which = Which {
        reason: Some("undecodable".into()),
        ..Which::default()
    };
    let lanes = [letter.lane.clone()];
    let done = letters
        .replay(&which, "operator:mina", None, &lanes, |_, _, _| {})
        .await
        .unwrap();
    assert_eq!(done.replayed, [letter.number]);
    let purchase = village.becomes(stuck, Status::Completed).await;
    assert_eq!(
        village.account(&purchase).await.unwrap().log,
        [Movement::Charged],
        "charged once"
    );
    until("the letter is closed", async || open().await.is_empty()).await;
    village.rest().await;
}

/// Fields that came later have a default, so reading what was said before them is lifting it.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_in_the_words_of_an_older_build_is_read_by_the_one_of_today() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let mut village =
        Village::new(move |lane| Unable::wrap(lane, "cmd-books", "maru.books.create_book.v1", &broken)).await;
    let (book, mina) = (BookId(Uuid::from_u128(7)), Actor::Member(MINA));
    let old = br#"{"kind":"create_book","data":{"title":"The whale","price":10,"publish":false}}"#;
    let command = village
        .send::<Books>(mina, book.0, "create", "create_book", old.to_vec())
        .await;
    let letters = &village.world.engine.letters;
    let open = async || letters.list(&Listing::default()).await.unwrap().items;
    until("it is given up", async || open().await.len() == 1).await;
    let letter = open().await.remove(0);
    assert_eq!(letter.message, command);

    is_broken.store(false, Ordering::SeqCst);
    let (which, lanes) = (
        Which {
            all: true,
            ..Which::default()
        },
        [letter.lane.clone()],
    );
    let plan = letters.dry_run(&which, &lanes).await.unwrap().would_replay;
    assert!(plan[0].is_readable, "{plan:?}");
    letters
        .replay(&which, "operator:mina", None, &lanes, |_, _, _| {})
        .await
        .unwrap();
    until("the letter is closed", async || open().await.is_empty()).await;
    let begun = village.book(book).await;
    assert_eq!((begun.author, begun.price), (Some(MINA), 10));
    village.rest().await;
}
