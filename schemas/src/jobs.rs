//! Jobs: effects on the outside world, asked for by id. A job says *what* to do and about *which*
//! aggregate; the words it needs it reads from their owner when it runs, so no text lies in a queue.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ids::{BookId, JobId, PaymentId, PurchaseId};
use crate::message::message;

/// Work to do; the variant's name is the job's kind: subject, consumer, module and metric label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Job {
    /// Write a book's story from its title and synopsis.
    WriteStory {
        /// The unit of work, named in the request.
        job: JobId,
        /// For which book.
        book: BookId,
    },
    /// Paint a book's image from its story if there is one, else from its synopsis.
    PaintImage {
        /// The unit of work, named in the request.
        job: JobId,
        /// For which book.
        book: BookId,
    },
    /// Take the money of a payment.
    Charge {
        /// Which payment.
        payment: PaymentId,
    },
    /// Give the money of a payment back to a buyer who asked.
    Refund {
        /// Which payment.
        payment: PaymentId,
        /// For which purchase.
        purchase: PurchaseId,
    },
    /// Give the money back because the thing paid for did not come about.
    CancelCharge {
        /// Which payment.
        payment: PaymentId,
    },
    /// Write down for good what came of a replay of dead letters, now that all of them are settled.
    ConcludeReplay {
        /// Which replay.
        replay: Uuid,
    },
}

message!(Job);

/// Why a job was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureCode {
    /// The other side did not answer, or answered with an error, however often it was asked.
    ProviderUnavailable,
    /// The other side understood and said no; asking again will not help.
    ProviderRefused,
    /// The other side answered with something that is not a story or an image.
    UnusableAnswer,
    /// Something inside Maru went wrong; an administrator can see it in the dead letters.
    Internal,
}
