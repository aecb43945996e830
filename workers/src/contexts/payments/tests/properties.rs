//! What holds of a payment whatever is reported, by whom and in which order.

use maru_schemas::envelope::Actor;
use maru_schemas::payments::{Command, Event, Payment, Status};
use proptest::prelude::*;

use super::super::Payments;
use super::{REQUEST, reports};
use crate::contexts::given::{Step, anybody, play};

/// By whom (none: by who may), and what.
type Asked = (Option<Actor>, Command);

/// Money is asked for, and everything after.
fn moves() -> impl Strategy<Value = Vec<Asked>> {
    let any = reports().into_iter().chain([REQUEST]).collect::<Vec<_>>();
    prop::collection::vec((anybody(), prop::sample::select(any)), 0..20).prop_map(|mut moves| {
        moves.insert(0, (None, REQUEST));
        moves
    })
}

fn course(moves: &[Asked]) -> Vec<Step<Payments>> {
    play::<Payments, _>(moves, |_, (actor, command)| {
        (actor.unwrap_or(Actor::System), command.clone())
    })
}

const fn given_back(event: &Event) -> Option<u32> {
    match event {
        Event::PaymentRefunded { amount, .. } | Event::PaymentCancelled { amount, .. } => Some(*amount),
        _ => None,
    }
}

fn count(steps: &[Step<Payments>], is: impl Fn(&Event) -> bool) -> usize {
    steps.iter().filter(|step| is(&step.told.event)).count()
}

proptest! {
    #[test]
    fn no_more_money_goes_back_than_was_taken(moves in moves()) {
        let (mut taken, mut returned) = (0_u32, 0_u32);
        for Step { before, told, .. } in course(&moves) {
            if let Event::PaymentApproved { amount, .. } = told.event {
                taken += amount;
            }
            let back = given_back(&told.event).unwrap_or_default();
            // A charge that nobody could confirm comes to light when it is cancelled.
            if before.status == Status::Failed {
                taken += back;
            }
            returned += back;
            prop_assert!(returned <= taken && taken <= 10, "{returned} of {taken} with {told:?}");
        }
    }

    #[test]
    fn money_is_asked_for_taken_and_given_back_at_most_once(moves in moves()) {
        let steps = course(&moves);
        let requested = count(&steps, |event| matches!(event, Event::PaymentRequested { .. }));
        let approved = count(&steps, |event| matches!(event, Event::PaymentApproved { .. }));
        let returned = count(&steps, |event| given_back(event).is_some());
        prop_assert!(requested == 1 && approved <= 1 && returned <= 1, "{requested} {approved} {returned}");
    }

    #[test]
    fn a_payment_moves_along_its_diagram(moves in moves()) {
        for Step { before, told, after } in course(&moves) {
            let from = |payment: &Payment| payment.member.map(|_| payment.status);
            let may = matches!(
                (from(&before), after.status),
                (None, Status::Requested)
                    | (Some(Status::Requested), Status::Approved | Status::Declined | Status::Failed)
                    | (Some(Status::Approved), Status::Refunded | Status::Cancelled)
                    | (Some(Status::Failed), Status::Approved | Status::Cancelled)
            );
            prop_assert!(may, "{told:?}");
            prop_assert!(before.member.is_none() || before.amount == after.amount, "{told:?}");
        }
    }
}
