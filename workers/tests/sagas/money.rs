use std::time::Duration;

use maru_schemas::envelope::Actor;
use maru_schemas::ids::{PaymentId, PurchaseId};
use maru_schemas::outcome::Outcome;
use maru_schemas::payments::{self, Payment, Payments, TestCard};
use maru_schemas::purchases::{RejectCode, Status};
use maru_streams::testing::until;
use maru_workers::ports::bank::{Answer, Bank, Charge};
use maru_workers::ports::sandbox::Movement;
use uuid::Uuid;

use crate::house::Village;

async fn quiet() -> Village {
    Village::new(|lane| lane).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_leaves_no_purchase_and_no_money_moved() {
    let village = quiet().await;
    let book = village.published(1).await;
    let (id, _) = village.buy(book, "buy", TestCard::InsufficientFunds).await;
    let purchase = village.becomes(id, Status::Rejected).await;
    assert_eq!(purchase.code, Some(RejectCode::PaymentDeclined));
    assert_eq!(village.account(&purchase).await.unwrap().log, [Movement::Declined]);
    // And with another card it is bought, under the same purchase.
    let (again, _) = village.buy(book, "again", TestCard::Approved).await;
    assert_eq!(again, id);
    village.becomes(id, Status::Completed).await;
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_too_late_is_asked_for_again_and_charges_once() {
    let village = quiet().await;
    let book = village.published(1).await;
    let (id, _) = village.buy(book, "buy", TestCard::TimesOut).await;
    let purchase = village.becomes(id, Status::Completed).await;
    assert_eq!(village.account(&purchase).await.unwrap().log, [Movement::Charged]);
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_without_an_answer_is_undone_and_the_purchase_rejected() {
    let village = quiet().await;
    let book = village.published(1).await;
    let (id, _) = village.buy(book, "buy", TestCard::ChargedThenFails).await;
    let purchase = village.becomes(id, Status::Rejected).await;
    assert_eq!(purchase.code, Some(RejectCode::PaymentFailed));
    until("the charge is cancelled", async || {
        village.account(&purchase).await.unwrap().log == [Movement::Charged, Movement::Cancelled]
    })
    .await;
    let payment: Payment = village
        .world
        .store
        .state(payments::CONTEXT, purchase.payment.unwrap())
        .await
        .unwrap()
        .unwrap()
        .1;
    until("the payment says so", async || {
        let found: Option<(u64, Payment)> = village
            .world
            .store
            .state(payments::CONTEXT, purchase.payment.unwrap())
            .await
            .unwrap();
        found.unwrap().1.status == payments::Status::Cancelled
    })
    .await;
    assert_eq!(payment.amount, 10);
    // The charge itself lies in the dead letters: a provider that fails for good is somebody's business.
    assert_eq!(village.world.count(maru_streams::topology::DEAD).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_for_a_rejected_purchase_goes_back() {
    let village = quiet().await;
    let book = village.published(1).await;
    let (id, _) = village.buy(book, "buy", TestCard::ChargedThenFails).await;
    let purchase = village.becomes(id, Status::Rejected).await;
    // The purchase is bought with another card meanwhile; then the old payment is approved after all.
    village.buy(book, "again", TestCard::Approved).await;
    village.becomes(id, Status::Completed).await;
    let old = purchase.payment.unwrap();
    village
        .ask::<Payments>(Actor::System, old, "late", &payments::Command::ApprovePayment {})
        .await;
    until("the old charge went back", async || {
        village.bank.account(old.0).await.unwrap().unwrap().log == [Movement::Charged, Movement::Cancelled]
    })
    .await;
    assert_eq!(
        village.purchase(id).await.status,
        Status::Completed,
        "the new one stands"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orders_at_once_are_one_purchase_and_one_charge() {
    let village = quiet().await;
    let book = village.published(1).await;
    let ((id, first), (_, second)) = tokio::join!(
        village.buy(book, "one", TestCard::Approved),
        village.buy(book, "two", TestCard::Approved)
    );
    let done = [&first, &second]
        .into_iter()
        .filter(|outcome| matches!(outcome, Outcome::Done { .. }))
        .count();
    assert_eq!(done, 1, "{first:?} {second:?}");
    village.becomes(id, Status::Completed).await;
    assert_eq!(village.count("sandbox_charge").await, 1);
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_charges_a_key_once_and_a_voided_one_never() {
    let village = quiet().await;
    let charge = |n, card| Charge {
        key: Uuid::from_u128(n),
        amount: 5,
        card,
    };
    let bank = &village.bank;
    for _ in 0..3 {
        assert_eq!(bank.charge(charge(1, TestCard::Approved)).await, Ok(Answer::Approved));
    }
    assert_eq!(
        bank.account(Uuid::from_u128(1)).await.unwrap().unwrap().log,
        [Movement::Charged]
    );
    assert_eq!(bank.cancel(Uuid::from_u128(2)).await, Ok(false));
    assert!(matches!(
        bank.charge(charge(2, TestCard::Approved)).await,
        Ok(Answer::Declined(_))
    ));
    assert!(bank.refund(Uuid::from_u128(3)).await.is_err(), "nothing to give back");
    let late = tokio::time::timeout(Duration::from_millis(200), bank.charge(charge(4, TestCard::TimesOut))).await;
    assert!(late.is_err(), "the first answer never comes");
    assert_eq!(bank.charge(charge(4, TestCard::TimesOut)).await, Ok(Answer::Approved));
    village.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_of_nobody_is_refused_and_leaves_nothing() {
    let village = quiet().await;
    let unknown = PurchaseId(Uuid::from_u128(404));
    let complete = maru_schemas::purchases::Command::CompletePurchase {
        payment: PaymentId(Uuid::nil()),
    };
    let outcome = village
        .ask::<maru_schemas::purchases::Purchases>(Actor::System, unknown, "complete", &complete)
        .await;
    assert!(matches!(outcome, Outcome::Refused { http: 404, .. }), "{outcome:?}");
    village.ends_well().await;
}
