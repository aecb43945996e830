//! Holds every payment against its purchase. Each context keeps its own books; that they agree is nobody's
//! decision, so somebody has to look. What was changed a moment ago is left alone: the word about it is under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use maru_schemas::payments::{self, Payment};
use maru_schemas::purchases::{self, Purchase};
use maru_streams::store::{Store, StoreError};
use maru_streams::write::states::{changed_at, many, page};
use maru_streams::{metrics, tracing};
use uuid::Uuid;

use super::{Clockwork, MINUTE, Outcome, reason};

/// How often it is looked at.
pub(super) const EVERY: Duration = MINUTE.saturating_mul(5);
/// So long after the last change two books may differ.
const UNDER_WAY: SignedDuration = SignedDuration::from_mins(15);
/// So long anybody may wait for the bank, or for money to come back.
const UNSETTLED: SignedDuration = SignedDuration::from_hours(1);
/// How many are read at a time, and how long others may use the database in between.
const PAGE: usize = 500;
const PAUSE: Duration = Duration::from_millis(20);
/// How many are told one by one.
const TOLD: u64 = 20;

/// How two books contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mismatch {
    /// The money is ours, and nobody has the book for it.
    PaidNotDelivered,
    /// Somebody has the book, and the money is not ours.
    DeliveredNotPaid,
    /// What was to be paid is not what was paid.
    AmountDiffers,
    /// Somebody still waits.
    Unsettled,
}

const ALL: [Mismatch; 4] = [
    Mismatch::PaidNotDelivered,
    Mismatch::DeliveredNotPaid,
    Mismatch::AmountDiffers,
    Mismatch::Unsettled,
];

impl Mismatch {
    const fn label(self) -> &'static str {
        match self {
            Self::PaidNotDelivered => "paid_not_delivered",
            Self::DeliveredNotPaid => "delivered_not_paid",
            Self::AmountDiffers => "amount_differs",
            Self::Unsettled => "unsettled",
        }
    }

    const fn after(self) -> SignedDuration {
        match self {
            Self::Unsettled => UNSETTLED,
            Self::PaidNotDelivered | Self::DeliveredNotPaid | Self::AmountDiffers => UNDER_WAY,
        }
    }
}

/// What a payment says that its purchase does not.
fn of_payment(id: Uuid, payment: &Payment, purchase: Option<&Purchase>) -> Option<Mismatch> {
    match payment.status {
        payments::Status::Requested => Some(Mismatch::Unsettled),
        payments::Status::Approved => match purchase.filter(|it| it.payment.is_some_and(|own| own.0 == id)) {
            Some(it) if !matches!(it.status, purchases::Status::Completed | purchases::Status::Refunding) => {
                Some(Mismatch::PaidNotDelivered)
            }
            Some(it) if it.amount != payment.amount => Some(Mismatch::AmountDiffers),
            Some(_) => None,
            None => Some(Mismatch::PaidNotDelivered),
        },
        payments::Status::Declined
        | payments::Status::Failed
        | payments::Status::Cancelled
        | payments::Status::Refunded => None,
    }
}

/// What a purchase says that its payment does not.
fn of_purchase(purchase: &Purchase, payment: Option<&Payment>) -> Option<Mismatch> {
    match purchase.status {
        purchases::Status::Paying | purchases::Status::Refunding => Some(Mismatch::Unsettled),
        purchases::Status::Completed if purchase.amount == 0 => None,
        purchases::Status::Completed => match payment.map(|payment| payment.status) {
            Some(payments::Status::Approved) => None,
            _ => Some(Mismatch::DeliveredNotPaid),
        },
        purchases::Status::Rejected | purchases::Status::Refunded => None,
    }
}

/// An aggregate and its version.
type Which = (&'static str, Uuid, u64);

/// What was found so far.
struct Search<'a> {
    store: &'a Store,
    now: Timestamp,
    found: HashMap<&'static str, u64>,
    told: u64,
}

impl Search<'_> {
    /// Counts it, unless one of the two was changed too short a time ago.
    async fn found(&mut self, what: Mismatch, one: Which, other: Option<Which>) -> Result<(), StoreError> {
        for (context, id, version) in [Some(one), other].into_iter().flatten() {
            let changed = changed_at(self.store, context, id, version).await?;
            if changed.is_none_or(|at| self.now.duration_since(at) < what.after()) {
                return Ok(());
            }
        }
        *self.found.entry(what.label()).or_default() += 1;
        self.told += 1;
        if self.told <= TOLD {
            let (context, id, _) = one;
            tracing::warn!(kind = what.label(), context, %id, other = ?other.map(|(_, id, _)| id), "money does not add up");
        }
        Ok(())
    }

    async fn payments(&mut self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let some = page::<Payment>(self.store, payments::CONTEXT, after, PAGE).await?;
            let references: Vec<Uuid> = some.iter().map(|(_, _, payment)| payment.reference).collect();
            let purchases = many::<Purchase>(self.store, purchases::CONTEXT, &references).await?;
            for (id, version, payment) in &some {
                let purchase = purchases.get(&payment.reference);
                if let Some(what) = of_payment(*id, payment, purchase.map(|(_, state)| state)) {
                    let other = purchase.map(|(version, _)| (purchases::CONTEXT, payment.reference, *version));
                    // Whoever still waits, waits for this payment alone.
                    let other = other.filter(|_| what != Mismatch::Unsettled);
                    self.found(what, (payments::CONTEXT, *id, *version), other).await?;
                }
            }
            after = some.last().map(|(id, ..)| *id);
            if some.len() < PAGE {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn purchases(&mut self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let some = page::<Purchase>(self.store, purchases::CONTEXT, after, PAGE).await?;
            let paid: Vec<Uuid> = some.iter().filter_map(|(_, _, it)| Some(it.payment?.0)).collect();
            let payments = many::<Payment>(self.store, payments::CONTEXT, &paid).await?;
            for (id, version, purchase) in &some {
                let payment = purchase.payment.and_then(|id| Some((id.0, payments.get(&id.0)?)));
                if let Some(what) = of_purchase(purchase, payment.map(|(_, (_, state))| state)) {
                    let other = payment.map(|(id, (version, _))| (payments::CONTEXT, id, *version));
                    let other = other.filter(|_| what != Mismatch::Unsettled);
                    self.found(what, (purchases::CONTEXT, *id, *version), other).await?;
                }
            }
            after = some.last().map(|(id, ..)| *id);
            if some.len() < PAGE {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Which look of this process was the last.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// Compares, exports what was found, and returns how much that is.
pub(super) async fn compare(clockwork: &Clockwork) -> Outcome {
    let now = clockwork.clock.now();
    let mut search = Search {
        store: &clockwork.store,
        now,
        found: HashMap::new(),
        told: 0,
    };
    search.payments().await.map_err(|error| reason(&error))?;
    search.purchases().await.map_err(|error| reason(&error))?;
    export(&search.found);
    metrics::gauge!("maru_money_checked_timestamp_seconds").set(now.as_second() as f64);
    // The next look may be another process', and what this one found must not be told for ever.
    let this = LOOKS.fetch_add(1, Ordering::AcqRel) + 1;
    tokio::spawn(async move {
        tokio::time::sleep(EVERY + MINUTE).await;
        if LOOKS.load(Ordering::Acquire) == this {
            export(&HashMap::new());
        }
    });
    Ok(search.told)
}

fn export(found: &HashMap<&'static str, u64>) {
    for kind in ALL.map(Mismatch::label) {
        let count = found.get(kind).copied().unwrap_or_default();
        metrics::gauge!("maru_money_mismatches", "kind" => kind).set(count as f64);
    }
}

#[cfg(test)]
mod tests {
    use maru_schemas::ids::PaymentId;

    use super::*;

    const OWN: Uuid = Uuid::from_u128(1);

    fn payment(status: payments::Status) -> Payment {
        Payment {
            amount: 10,
            status,
            ..Payment::default()
        }
    }

    fn purchase(status: purchases::Status, payment: Option<Uuid>) -> Purchase {
        Purchase {
            amount: 10,
            payment: payment.map(PaymentId),
            status,
            ..Purchase::default()
        }
    }

    #[test]
    fn money_that_is_ours_has_brought_somebody_a_book() {
        let of = |status, payment_of| {
            let purchase = purchase(status, payment_of);
            of_payment(OWN, &payment(payments::Status::Approved), Some(&purchase))
        };
        assert_eq!(of(purchases::Status::Completed, Some(OWN)), None);
        assert_eq!(of(purchases::Status::Refunding, Some(OWN)), None);
        for (status, payment_of) in [
            (purchases::Status::Rejected, Some(OWN)),
            (purchases::Status::Refunded, Some(OWN)),
            (purchases::Status::Completed, Some(Uuid::from_u128(2))),
            (purchases::Status::Completed, None),
        ] {
            assert_eq!(
                of(status, payment_of),
                Some(Mismatch::PaidNotDelivered),
                "{status:?} {payment_of:?}"
            );
        }
        let approved = payment(payments::Status::Approved);
        assert_eq!(of_payment(OWN, &approved, None), Some(Mismatch::PaidNotDelivered));
        let dearer = Purchase {
            amount: 11,
            ..purchase(purchases::Status::Completed, Some(OWN))
        };
        assert_eq!(of_payment(OWN, &approved, Some(&dearer)), Some(Mismatch::AmountDiffers));
    }

    #[test]
    fn a_book_that_somebody_has_was_paid_for_if_it_costs_anything() {
        let bought = purchase(purchases::Status::Completed, Some(OWN));
        assert_eq!(of_purchase(&bought, Some(&payment(payments::Status::Approved))), None);
        for other in [
            payments::Status::Cancelled,
            payments::Status::Refunded,
            payments::Status::Requested,
        ] {
            assert_eq!(
                of_purchase(&bought, Some(&payment(other))),
                Some(Mismatch::DeliveredNotPaid)
            );
        }
        assert_eq!(of_purchase(&bought, None), Some(Mismatch::DeliveredNotPaid));
        let free = Purchase {
            amount: 0,
            ..purchase(purchases::Status::Completed, None)
        };
        assert_eq!(of_purchase(&free, None), None);
        assert_eq!(
            of_purchase(&purchase(purchases::Status::Rejected, Some(OWN)), None),
            None
        );
    }

    #[test]
    fn whoever_waits_is_counted_until_there_is_an_answer() {
        assert_eq!(
            of_payment(OWN, &payment(payments::Status::Requested), None),
            Some(Mismatch::Unsettled)
        );
        for status in [purchases::Status::Paying, purchases::Status::Refunding] {
            assert_eq!(
                of_purchase(&purchase(status, Some(OWN)), None),
                Some(Mismatch::Unsettled)
            );
        }
        assert_eq!(of_payment(OWN, &payment(payments::Status::Declined), None), None);
    }
}
