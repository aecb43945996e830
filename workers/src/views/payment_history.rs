//! What a member paid and got back, newest first.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::ids::{MemberId, PaymentId};
use maru_schemas::payments::{self, Event, Status};
use maru_schemas::views::{PAYMENT_HISTORY, PaymentEntry};
use maru_streams::jobs::Delivery;
use maru_streams::store::{Key, Part};
use maru_streams::views::{FoldError, Rows, View};
use uuid::Uuid;

use super::fact;
use crate::facts::Fact;

/// `payment_history:[member, newest first, payment]`.
pub(super) struct PaymentHistoryView;

impl View for PaymentHistoryView {
    fn name(&self) -> &'static str {
        PAYMENT_HISTORY
    }

    fn tables(&self) -> &'static [&'static str] {
        &[PAYMENT_HISTORY]
    }

    fn contexts(&self) -> &'static [&'static str] {
        &[payments::CONTEXT]
    }

    fn fold<'a>(&'a self, event: &'a Delivery, rows: &'a mut Rows) -> BoxFuture<'a, Result<(), FoldError>> {
        async move {
            match fact(event)? {
                Fact::Payments(told) => about_payment(event, &told, rows).await,
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

fn key(member: MemberId, place: i64, payment: Uuid) -> Key {
    Key::new(
        PAYMENT_HISTORY,
        [Part::from(member.0), Part::Number(place), Part::from(payment)],
    )
}

async fn about_payment(event: &Delivery, told: &Event, rows: &mut Rows) -> Result<(), FoldError> {
    let (id, at) = (event.envelope.subject, event.envelope.time);
    let status = match told {
        Event::PaymentRequested {
            reference,
            member,
            amount,
            ..
        } => {
            let place = rows.give_place(id, at)?;
            let row = PaymentEntry {
                payment_id: PaymentId(id),
                reference: *reference,
                amount: *amount,
                status: Status::Requested,
                requested_at: at,
                changed_at: at,
            };
            return rows.put(key(*member, place, id), &row);
        }
        Event::PaymentApproved { .. } => Status::Approved,
        Event::PaymentDeclined { .. } => Status::Declined,
        Event::PaymentFailed { .. } => Status::Failed,
        Event::PaymentRefunded { .. } => Status::Refunded,
        Event::PaymentCancelled { .. } => Status::Cancelled,
    };
    let member = event.envelope.owner.ok_or(FoldError::NotThere("owner"))?;
    let place = rows.place(id).await?.ok_or(FoldError::NotThere("place"))?;
    let key = key(member, place, id);
    let mut row: PaymentEntry = rows.get(&key).await?.ok_or(FoldError::NotThere(PAYMENT_HISTORY))?;
    row.status = status;
    row.changed_at = at;
    rows.put(key, &row)
}
