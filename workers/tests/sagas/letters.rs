use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::letters::{Listing, State, Which};
use maru_schemas::payments::TestCard;
use maru_schemas::purchases::Status;
use maru_streams::jobs::{Delivery, Handler, Lane, Reason, Verdict};
use maru_streams::testing::faults::Twice;
use maru_streams::testing::until;
use maru_workers::ports::sandbox::Movement;

use crate::house::Village;

/// A flow that cannot read one kind of event, as one build may not and the next one can.
struct Unable {
    inner: Arc<dyn Handler>,
    is_broken: Arc<AtomicBool>,
}

impl Handler for Unable {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        let is_it = delivery.envelope.kind == "maru.payments.payment_approved.v1";
        if is_it && self.is_broken.load(Ordering::SeqCst) {
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
        let mut lane: Lane = Twice::wrap(lane);
        if lane.name == "flow-checkout" {
            lane.handler = Arc::new(Unable {
                inner: lane.handler,
                is_broken: Arc::clone(&broken),
            });
        }
        lane
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
