//! Purchases: which member may read which book, and which edition of it.
//!
//! ```text
//!  PAYING ──▶ COMPLETED ──▶ REFUNDING ──▶ REFUNDED
//!     │           ▲              │
//!     │           └─ not paid back ┘
//!     └─────▶ REJECTED
//! ```
//!
//! A book that costs nothing is COMPLETED at once, and REFUNDED at once. Should a refund go through after
//! it had been given up, COMPLETED goes to REFUNDED all the same.
//!
//! The aggregate is the pair of member and book, so nobody can hold a book twice. From REJECTED and
//! REFUNDED the book can be bought again; the purchase keeps its id and gets a new payment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use crate::ids::{BookId, MemberId, PaymentId};
use crate::message::{Contract, message};
use crate::payments::TestCard;
use crate::refusal::refusals;

/// URL, subject, table, module and metric label.
pub const CONTEXT: &str = "purchases";

/// The contract of purchases.
#[derive(Debug)]
pub struct Purchases;

impl Contract for Purchases {
    const CONTEXT: &'static str = CONTEXT;
    type Command = Command;
    type Event = Event;
    type Text = ();
}

/// Where a purchase stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = PurchaseStatus)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Waiting for the money.
    #[default]
    Paying,
    /// Paid; the contents are readable.
    Completed,
    /// It did not come about.
    Rejected,
    /// The money is on its way back.
    Refunding,
    /// The money is back.
    Refunded,
}

/// Why a purchase did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RejectCode {
    /// The bank said no.
    PaymentDeclined,
    /// No answer was to be had; money that was taken is given back.
    PaymentFailed,
}

/// What purchases can be asked. The aggregate is the purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Command {
    /// Buy a book. What the book costs and which edition it is are claims of the sending house,
    /// read from the book's owner when the order was taken.
    RequestPurchase {
        /// Who buys.
        member: MemberId,
        /// What.
        book: BookId,
        /// Which edition.
        edition: u32,
        /// In won, at the time of the order.
        price: u32,
        /// With what.
        card: TestCard,
    },
    /// The money came.
    CompletePurchase {
        /// The payment that came.
        payment: PaymentId,
    },
    /// The money will not come.
    RejectPurchase {
        /// The payment that failed.
        payment: PaymentId,
        /// Why.
        code: RejectCode,
    },
    /// The buyer wants the money back.
    RequestRefund {},
    /// The money is back.
    RevokePurchase {
        /// The payment that was given back.
        payment: PaymentId,
    },
    /// The money could not be given back; the buyer keeps the book and can ask again.
    KeepPurchase {
        /// The payment that stays.
        payment: PaymentId,
    },
}

/// What happened to a purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Event {
    /// Somebody ordered a book that costs something.
    PurchaseRequested {
        /// Who buys.
        member: MemberId,
        /// What.
        book: BookId,
        /// Which edition.
        edition: u32,
        /// In won.
        amount: u32,
        /// The payment to ask for.
        payment: PaymentId,
        /// With what.
        card: TestCard,
    },
    /// The contents are theirs.
    PurchaseCompleted {
        /// Who bought.
        member: MemberId,
        /// What.
        book: BookId,
        /// Which edition.
        edition: u32,
        /// In won.
        amount: u32,
    },
    /// It did not come about.
    PurchaseRejected {
        /// Who wanted it.
        member: MemberId,
        /// What.
        book: BookId,
        /// Why.
        code: RejectCode,
    },
    /// Money came for a purchase that no longer waits for it, and has to go back.
    CompletionRefused {
        /// The payment that came too late.
        payment: PaymentId,
    },
    /// The buyer wants the money back.
    RefundRequested {
        /// The payment to give back.
        payment: PaymentId,
        /// In won.
        amount: u32,
    },
    /// The money could not be given back; the purchase stands.
    RefundFailed {
        /// The payment that stays.
        payment: PaymentId,
    },
    /// The money is back, the contents are closed.
    PurchaseRefunded {
        /// Whose it was.
        member: MemberId,
        /// What.
        book: BookId,
        /// In won.
        amount: u32,
    },
}

message!(Command, Event);

refusals! {
    NoSuchPurchase = "PURCHASES_NO_SUCH_PURCHASE", 404,
        "There is no such purchase of yours; check the id, or look in your library.";
    AlreadyBought = "PURCHASES_ALREADY_BOUGHT", 409,
        "You have this book already; you find it in your library.";
    StillPaying = "PURCHASES_STILL_PAYING", 409,
        "You are already buying this book; wait for the payment to be answered.";
    RefundUnderWay = "PURCHASES_REFUND_UNDER_WAY", 409,
        "The money for this book is on its way back; wait until it is REFUNDED.";
    NothingToRefund = "PURCHASES_NOTHING_TO_REFUND", 409,
        "Only a completed purchase can be refunded, and only once.";
    NotYours = "PURCHASES_NOT_YOURS", 404,
        "There is no such purchase of yours; only who bought a book can return it.";
    NotForPeople = "PURCHASES_NOT_FOR_PEOPLE", 403,
        "Only Maru's own workers report on the course of a purchase.";
}

/// A purchase's state row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Purchase {
    /// None until the book is ordered.
    pub member: Option<MemberId>,
    /// What; always there with the member.
    pub book: Option<BookId>,
    /// Which edition.
    pub edition: u32,
    /// In won, at the time of the order.
    pub amount: u32,
    /// The payment; none for a book that costs nothing.
    pub payment: Option<PaymentId>,
    /// Where it stands.
    pub status: Status,
    /// Why it was rejected.
    pub code: Option<RejectCode>,
}

impl Purchase {
    /// Whether the contents are readable.
    #[must_use]
    pub fn entitles(&self) -> bool {
        self.member.is_some() && self.status == Status::Completed
    }
}
