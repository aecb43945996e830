//! Payments: one charge and what became of it.
//!
//! ```text
//!  REQUESTED ──▶ APPROVED ──▶ REFUNDED
//!      │             └─────▶ CANCELLED   (the thing paid for did not come about)
//!      ├───────▶ DECLINED
//!      └───────▶ FAILED ──▶ CANCELLED    (undone, whether it had been charged or not)
//!                  └─────▶ APPROVED     (the provider says that it had charged after all)
//! ```
//!
//! A payment knows nothing of books: it has a `reference`, and whoever asked for it knows what that
//! means. No card number ever gets here; a test card is one of a published few.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::MemberId;
use crate::jobs::FailureCode;
use crate::message::{Contract, message};
use crate::refusal::refusals;

/// URL, subject, table, module and metric label.
pub const CONTEXT: &str = "payments";

/// The contract of payments.
#[derive(Debug)]
pub struct Payments;

impl Contract for Payments {
    const CONTEXT: &'static str = CONTEXT;
    type Command = Command;
    type Event = Event;
    type Text = ();
}

/// The published test cards of the sandbox provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestCard {
    /// 4242 4242 4242 4242: approved.
    #[default]
    Approved,
    /// 4000 0000 0000 0002: declined by the bank.
    Declined,
    /// 4000 0000 0000 9995: declined, not enough money.
    InsufficientFunds,
    /// 4000 0000 0000 0341: the first answer comes too late, the charge itself is made.
    TimesOut,
    /// 4000 0000 0000 0259: charged, and every answer is an error; ends in a cancelled charge.
    ChargedThenFails,
}

impl TestCard {
    /// Each card with the number that people type.
    pub const NUMBERS: [(&'static str, Self); 5] = [
        ("4242424242424242", Self::Approved),
        ("4000000000000002", Self::Declined),
        ("4000000000009995", Self::InsufficientFunds),
        ("4000000000000341", Self::TimesOut),
        ("4000000000000259", Self::ChargedThenFails),
    ];

    /// The card of a number; spaces and dashes do not matter. None for every number that is not a
    /// published test number, so that a real one is never taken in.
    #[must_use]
    pub fn of_number(number: &str) -> Option<Self> {
        let digits: String = number.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        Self::NUMBERS
            .iter()
            .find(|(known, _)| *known == digits)
            .map(|(_, card)| *card)
    }
}

/// Why a bank said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeclineCode {
    /// No reason given.
    CardDeclined,
    /// Not enough money.
    InsufficientFunds,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = PaymentStatus)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Asked for, not answered.
    #[default]
    Requested,
    /// The money is ours.
    Approved,
    /// The bank said no.
    Declined,
    /// No answer was to be had; if money was taken, it is being given back.
    Failed,
    /// Given back because the thing paid for did not come about.
    Cancelled,
    /// Given back because the buyer asked.
    Refunded,
}

/// What payments can be asked. The aggregate is the payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Command {
    /// Ask for money.
    RequestPayment {
        /// What it is for.
        reference: Uuid,
        /// Who pays.
        member: MemberId,
        /// In won.
        amount: u32,
        /// With what.
        card: TestCard,
    },
    /// The provider took it.
    ApprovePayment {},
    /// The bank said no.
    DeclinePayment {
        /// Why.
        code: DeclineCode,
    },
    /// No answer was to be had.
    FailPayment {
        /// Why.
        code: FailureCode,
    },
    /// The provider gave it back at the buyer's wish.
    RefundPayment {},
    /// The provider gave it back because the thing did not come about, or had never taken it.
    CancelPayment {
        /// Whether money had been taken.
        charged: bool,
    },
}

/// What happened to a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Event {
    /// Money was asked for.
    PaymentRequested {
        /// What it is for.
        reference: Uuid,
        /// Who pays.
        member: MemberId,
        /// In won.
        amount: u32,
        /// With what.
        card: TestCard,
    },
    /// The money is ours.
    PaymentApproved {
        /// What it is for.
        reference: Uuid,
        /// In won.
        amount: u32,
    },
    /// The bank said no.
    PaymentDeclined {
        /// What it was for.
        reference: Uuid,
        /// Why.
        code: DeclineCode,
    },
    /// No answer was to be had.
    PaymentFailed {
        /// What it was for.
        reference: Uuid,
        /// Why.
        code: FailureCode,
    },
    /// Given back at the buyer's wish.
    PaymentRefunded {
        /// What it was for.
        reference: Uuid,
        /// In won.
        amount: u32,
    },
    /// Given back because the thing did not come about.
    PaymentCancelled {
        /// What it was for.
        reference: Uuid,
        /// In won; nothing if nothing had been taken.
        amount: u32,
    },
}

message!(Command, Event);

refusals! {
    NoSuchPayment = "PAYMENTS_NO_SUCH_PAYMENT", 404,
        "There is no such payment; check the id, or look in your payment history.";
    NotNow = "PAYMENTS_NOT_NOW", 409,
        "The payment has moved on and this no longer applies to it; read it again.";
    NotForPeople = "PAYMENTS_NOT_FOR_PEOPLE", 403,
        "Only Maru's own workers report on payments.";
}

/// A payment's state row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Payment {
    /// None until money is asked for.
    pub member: Option<MemberId>,
    /// What it is for.
    pub reference: Uuid,
    /// In won.
    pub amount: u32,
    /// With what.
    pub card: TestCard,
    /// Where it stands.
    pub status: Status,
}

#[cfg(test)]
mod tests {
    use super::TestCard;

    #[test]
    fn a_number_that_is_not_published_is_not_a_card() {
        assert_eq!(TestCard::of_number("4242 4242-4242 4242"), Some(TestCard::Approved));
        assert_eq!(TestCard::of_number("4111111111111111"), None);
        assert_eq!(TestCard::of_number(""), None);
    }
}
