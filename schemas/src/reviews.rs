//! Reviews: what readers say. One a reader and book, because the aggregate is that pair; it can be
//! edited, removed, and written anew.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use crate::ids::{BookId, MemberId};
use crate::message::{Contract, message};
use crate::refusal::refusals;

/// URL, subject, table, module and metric label.
pub const CONTEXT: &str = "reviews";

/// The contract of reviews.
#[derive(Debug)]
pub struct Reviews;

impl Contract for Reviews {
    const CONTEXT: &'static str = CONTEXT;
    type Command = Command;
    type Event = Event;
    type Text = Text;
}

/// Stars in halves: 1 is half a star, 10 is five. On the wire and in tables it is that whole
/// number, so that sums are exact; people see 0.5 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(extend("minimum" = 1, "maximum" = 10))]
pub struct HalfStars(u8);

impl HalfStars {
    /// From stars as people write them: 0.5 to 5 in halves, nothing between.
    #[must_use]
    pub fn from_stars(stars: f64) -> Option<Self> {
        let halves = stars * 2.0;
        let whole = (1..=10).find(|whole| f64::from(*whole) == halves)?;
        Some(Self(whole))
    }

    /// As people read them.
    #[must_use]
    pub fn stars(self) -> f64 {
        f64::from(self.0) / 2.0
    }

    /// How many halves.
    #[must_use]
    pub const fn halves(self) -> u64 {
        self.0 as u64
    }
}

impl TryFrom<u8> for HalfStars {
    type Error = &'static str;

    fn try_from(halves: u8) -> Result<Self, Self::Error> {
        if (1..=10).contains(&halves) {
            Ok(Self(halves))
        } else {
            Err("a rating is one to ten half stars")
        }
    }
}

impl From<HalfStars> for u8 {
    fn from(rating: HalfStars) -> Self {
        rating.0
    }
}

/// What reviews can be asked. The aggregate is the review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Command {
    /// Say something of a book. That the member bought it is a claim of the sending house.
    WriteReview {
        /// Who says it.
        member: MemberId,
        /// Of what.
        book: BookId,
        /// In half stars.
        rating: HalfStars,
        /// In words.
        #[schemars(extend("x-words" = true))]
        content: String,
        /// Whether the member may read the book.
        bought: bool,
    },
    /// Change what is given, leave the rest.
    EditReview {
        /// In half stars.
        rating: Option<HalfStars>,
        /// In words.
        #[schemars(extend("x-words" = true))]
        content: Option<String>,
    },
    /// Take it back.
    RemoveReview {},
}

/// What happened to a review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Event {
    /// A reader said something.
    ReviewWritten {
        /// Who.
        member: MemberId,
        /// Of what.
        book: BookId,
        /// In half stars.
        rating: HalfStars,
    },
    /// They changed their mind.
    ReviewEdited {
        /// Of what.
        book: BookId,
        /// In half stars, before.
        before: HalfStars,
        /// In half stars, now.
        rating: HalfStars,
    },
    /// They took it back.
    ReviewRemoved {
        /// Of what.
        book: BookId,
        /// In half stars, before.
        before: HalfStars,
    },
}

message!(Command, Event);

/// The words that stay with reviews.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Text {
    /// What the reader wrote, if the event changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

refusals! {
    NoSuchReview = "REVIEWS_NO_SUCH_REVIEW", 404,
        "There is no such review; check the id, or look in the book's list of reviews.";
    BuyersOnly = "REVIEWS_BUYERS_ONLY", 403,
        "Only who bought a book can review it; buy and read it first.";
    AlreadyWritten = "REVIEWS_ALREADY_WRITTEN", 409,
        "You have reviewed this book already; edit your review instead.";
    NotYours = "REVIEWS_NOT_YOURS", 403,
        "Only who wrote a review can change it.";
}

/// A review's state row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Review {
    /// None until it is written.
    pub member: Option<MemberId>,
    /// Of what; always there with the member.
    pub book: Option<BookId>,
    /// None while it is taken back.
    pub rating: Option<HalfStars>,
    /// In words.
    pub content: String,
}

#[cfg(test)]
mod tests {
    use super::HalfStars;

    #[test]
    fn a_rating_is_half_a_star_to_five_in_halves() {
        assert_eq!(HalfStars::from_stars(4.5).map(HalfStars::stars), Some(4.5));
        for bad in [0.0, 0.4, 5.5, 6.0, -1.0, 4.25, f64::NAN, f64::INFINITY] {
            assert_eq!(HalfStars::from_stars(bad), None, "{bad}");
        }
    }
}
