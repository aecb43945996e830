//! What holds of a purchase whatever is asked, by whom and in which order.

use std::collections::HashSet;

use maru_schemas::envelope::Actor;
use maru_schemas::purchases::{Command, Event, Purchase, Status};
use proptest::prelude::*;

use super::super::Purchases;
use super::{BUYER, EARLIER, REFUND, order, reports};
use crate::contexts::given::{Step, anybody, play};

#[derive(Debug, Clone, Copy)]
enum Move {
    Order { price: u32 },
    AskRefund,
    Report { which: usize, current: bool },
}

impl Move {
    fn command(self, purchase: &Purchase) -> Command {
        match self {
            Self::Order { price } => order(price),
            Self::AskRefund => REFUND,
            Self::Report { which, current } => {
                let payment = purchase.payment.filter(|_| current).unwrap_or(EARLIER);
                reports(payment)[which].clone()
            }
        }
    }

    /// Who may.
    const fn actor(self) -> Actor {
        match self {
            Self::Order { .. } | Self::AskRefund => BUYER,
            Self::Report { .. } => Actor::System,
        }
    }
}

/// By whom (none: by who may), and what.
type Asked = (Option<Actor>, Move);

fn moves() -> impl Strategy<Value = Vec<Asked>> {
    let one = prop_oneof![
        3 => (0..4_u32).prop_map(|price| Move::Order { price }),
        2 => Just(Move::AskRefund),
        5 => (0..4_usize, prop::bool::weighted(0.8)).prop_map(|(which, current)| Move::Report { which, current }),
    ];
    prop::collection::vec((anybody(), one), 1..60)
}

fn course(moves: &[Asked]) -> Vec<Step<Purchases>> {
    play::<Purchases, _>(moves, |purchase, (actor, next)| {
        (actor.unwrap_or(next.actor()), next.command(purchase))
    })
}

proptest! {
    #[test]
    fn nobody_holds_a_book_twice(moves in moves()) {
        let mut held = 0;
        for Step { told, after, .. } in course(&moves) {
            match told.event {
                Event::PurchaseCompleted { .. } => held += 1,
                Event::PurchaseRefunded { .. } => held -= 1,
                _ => {}
            }
            prop_assert!((0..=1).contains(&held), "{held} held with {told:?}");
            prop_assert!(held == 1 || !after.entitles(), "{told:?}");
        }
    }

    #[test]
    fn a_payment_buys_once(moves in moves()) {
        let mut used = HashSet::new();
        for Step { told, after, .. } in course(&moves) {
            if matches!(told.event, Event::PurchaseCompleted { amount: 1.., .. }) {
                prop_assert!(after.payment.is_some_and(|payment| used.insert(payment)), "{told:?}");
            }
        }
    }

    #[test]
    fn what_is_paid_is_what_was_ordered_and_what_goes_back(moves in moves()) {
        let mut ordered = 0;
        for Step { told, .. } in course(&moves) {
            match told.event {
                Event::PurchaseRequested { amount, .. } => ordered = amount,
                // Free at once, so nobody was asked for money.
                Event::PurchaseCompleted { amount: 0, .. } => ordered = 0,
                Event::PurchaseCompleted { amount, .. }
                | Event::RefundRequested { amount, .. }
                | Event::PurchaseRefunded { amount, .. } => prop_assert_eq!(amount, ordered),
                _ => {}
            }
        }
    }

    #[test]
    fn a_purchase_moves_along_its_diagram(moves in moves()) {
        for Step { before, told, after } in course(&moves) {
            if matches!(told.event, Event::CompletionRefused { .. }) {
                prop_assert_eq!(before, after);
                continue;
            }
            let is_free = after.amount == 0;
            let may = match (before.member.map(|_| before.status), after.status) {
                (None | Some(Status::Rejected | Status::Refunded), Status::Paying)
                | (Some(Status::Paying), Status::Completed | Status::Rejected)
                | (Some(Status::Completed), Status::Refunding)
                // From COMPLETED what costs nothing, or money that is back after all.
                | (Some(Status::Completed | Status::Refunding), Status::Refunded)
                | (Some(Status::Refunding), Status::Completed) => true,
                // What costs nothing has nothing to wait for.
                (None | Some(Status::Rejected | Status::Refunded), Status::Completed) => is_free,
                _ => false,
            };
            prop_assert!(may, "{told:?} in {:?}", before.status);
        }
    }
}
