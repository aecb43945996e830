//! May it happen?

use maru_schemas::envelope::Actor;
use maru_schemas::ids::{self, BookId, MemberId, PaymentId};
use maru_schemas::payments::TestCard;
use maru_schemas::purchases::{Command, Event, Purchase, Refusal, Status};
use maru_streams::contract::By;

type Decision = Result<Vec<Event>, Refusal>;

pub(super) fn decide(purchase: &Purchase, command: &Command, by: &By) -> Decision {
    match command {
        Command::RequestPurchase {
            member,
            book,
            edition,
            price,
            card,
        } => {
            if !by.actor.is(*member) {
                return Err(Refusal::NotYours);
            }
            request(purchase, by, (*member, *book, *edition), *price, *card)
        }
        Command::RequestRefund {} => request_refund(purchase, by),
        reported if by.actor == Actor::System => {
            let (Some(member), Some(book)) = (purchase.member, purchase.book) else {
                return Err(Refusal::NoSuchPurchase);
            };
            Ok(report(purchase, reported, member, book).into_iter().collect())
        }
        _ => Err(Refusal::NotForPeople),
    }
}

fn request(
    purchase: &Purchase,
    by: &By,
    (member, book, edition): (MemberId, BookId, u32),
    price: u32,
    card: TestCard,
) -> Decision {
    if purchase.member.is_some() {
        match purchase.status {
            Status::Paying => return Err(Refusal::StillPaying),
            Status::Completed => return Err(Refusal::AlreadyBought),
            Status::Refunding => return Err(Refusal::RefundUnderWay),
            Status::Rejected | Status::Refunded => {}
        }
    }
    if price == 0 {
        // Nothing to pay, so nobody to ask.
        return Ok(vec![Event::PurchaseCompleted {
            member,
            book,
            edition,
            amount: 0,
        }]);
    }
    Ok(vec![Event::PurchaseRequested {
        member,
        book,
        edition,
        amount: price,
        payment: PaymentId(ids::derive(by.command, "payment")),
        card,
    }])
}

fn request_refund(purchase: &Purchase, by: &By) -> Decision {
    let (Some(member), Some(book)) = (purchase.member, purchase.book) else {
        return Err(Refusal::NoSuchPurchase);
    };
    if !by.actor.is(member) {
        return Err(Refusal::NotYours);
    }
    match (purchase.status, purchase.payment) {
        (Status::Refunding, _) => Err(Refusal::RefundUnderWay),
        (Status::Completed, Some(payment)) => Ok(vec![Event::RefundRequested {
            payment,
            amount: purchase.amount,
        }]),
        (Status::Completed, None) => Ok(vec![Event::PurchaseRefunded {
            member,
            book,
            amount: 0,
        }]),
        _ => Err(Refusal::NothingToRefund),
    }
}

/// What the course of the payment means for the purchase. It may come twice, late, or about a payment
/// of an earlier order; money that comes for nothing is sent back.
fn report(purchase: &Purchase, reported: &Command, member: MemberId, book: BookId) -> Option<Event> {
    let is_current = |payment: &PaymentId| purchase.payment == Some(*payment);
    match (reported, purchase.status) {
        (Command::CompletePurchase { payment }, Status::Paying) if is_current(payment) => {
            Some(Event::PurchaseCompleted {
                member,
                book,
                edition: purchase.edition,
                amount: purchase.amount,
            })
        }
        (Command::CompletePurchase { payment }, status) => {
            let is_ours = is_current(payment) && status != Status::Rejected;
            (!is_ours).then_some(Event::CompletionRefused { payment: *payment })
        }
        (Command::RejectPurchase { payment, code }, Status::Paying) if is_current(payment) => {
            Some(Event::PurchaseRejected {
                member,
                book,
                code: *code,
            })
        }
        // After COMPLETED too: the refund had been given up, and went through after all.
        (Command::RevokePurchase { payment }, Status::Refunding | Status::Completed) if is_current(payment) => {
            Some(Event::PurchaseRefunded {
                member,
                book,
                amount: purchase.amount,
            })
        }
        (Command::KeepPurchase { payment }, Status::Refunding) if is_current(payment) => {
            Some(Event::RefundFailed { payment: *payment })
        }
        _ => None,
    }
}
