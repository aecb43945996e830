//! Books: what authors make.
//!
//! ```text
//!  DRAFT ──publish──▶ PUBLISHED ──withdraw──▶ WITHDRAWN      (a draft can be withdrawn too)
//!
//!  story, image, each on its own:
//!  NONE ──request──▶ REQUESTED ──start──▶ GENERATING ──attach──▶ READY
//!                                              └────fail────▶ FAILED ──request──▶ REQUESTED
//! REQUESTED, GENERATING ──cancel──▶ NONE
//! ```
//!
//! What a book says is kept as immutable **editions**: every change of title, contents or image
//! makes the next one, and a purchase points at the edition that was bought. So "mine for ever" and
//! the author's later edits never meet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use crate::ids::{ImageId, JobId, MemberId};
use crate::jobs::FailureCode;
use crate::message::{Contract, message};
use crate::refusal::refusals;

/// URL, subject, table, module and metric label.
pub const CONTEXT: &str = "books";

/// The contract of books.
#[derive(Debug)]
pub struct Books;

impl Contract for Books {
    const CONTEXT: &'static str = CONTEXT;
    type Command = Command;
    type Event = Event;
    type Text = Text;
}

/// Where a book stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[schema(as = BookStatus)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Seen by its author alone.
    #[default]
    Draft,
    /// In the catalogue, for sale.
    Published,
    /// Out of the catalogue; who bought it keeps it.
    Withdrawn,
}

/// Where the writing of a story, or the painting of an image, stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkStatus {
    /// Nobody asked, or whoever asked called it off.
    #[default]
    None,
    /// Asked for, waiting for a worker.
    Requested,
    /// A worker is on it.
    Generating,
    /// It is there.
    Ready,
    /// Given up; ask again.
    Failed,
}

/// What books can be asked. The aggregate is the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Command {
    /// Begin a book; with contents it may be published at once.
    CreateBook {
        /// What it is called.
        #[schemars(extend("x-words" = true))]
        title: String,
        /// What it is about, in a few sentences; empty if not said.
        #[serde(default)]
        #[schemars(extend("x-words" = true))]
        synopsis: String,
        /// The story, if the author wrote it.
        #[serde(default)]
        #[schemars(extend("x-words" = true))]
        contents: String,
        /// In won.
        price: u32,
        /// Publish right away.
        publish: bool,
    },
    /// Change what is given, leave the rest.
    EditBook {
        /// The new title.
        #[schemars(extend("x-words" = true))]
        title: Option<String>,
        /// The new synopsis.
        #[schemars(extend("x-words" = true))]
        synopsis: Option<String>,
        /// The new story.
        #[schemars(extend("x-words" = true))]
        contents: Option<String>,
        /// The new price, in won.
        price: Option<u32>,
        /// The version the author was looking at, from `If-Match`.
        expected: Option<u64>,
    },
    /// Put it in the catalogue.
    PublishBook {},
    /// Take it out of the catalogue.
    WithdrawBook {},
    /// Have the story written.
    RequestStory {
        /// Replaces the book's synopsis, if given.
        #[schemars(extend("x-words" = true))]
        synopsis: Option<String>,
        /// Have the image painted after it.
        image: bool,
    },
    /// A worker has begun (again).
    StartStory {
        /// The unit of work.
        job: JobId,
        /// Counted from one.
        attempt: u32,
    },
    /// The story is written.
    AttachStory {
        /// The unit of work.
        job: JobId,
        /// The story.
        #[schemars(extend("x-words" = true))]
        contents: String,
    },
    /// The story was given up.
    MarkStoryFailed {
        /// The unit of work.
        job: JobId,
        /// Why.
        code: FailureCode,
        /// How often it was tried.
        attempts: u32,
    },
    /// Have the writing of the story called off.
    CancelStory {},
    /// Have the image painted.
    RequestImage {},
    /// A worker has begun (again).
    StartImage {
        /// The unit of work.
        job: JobId,
        /// Counted from one.
        attempt: u32,
    },
    /// The image is painted and stored.
    AttachImage {
        /// The unit of work.
        job: JobId,
        /// Where it is in our object store.
        image: ImageId,
    },
    /// The image was given up.
    MarkImageFailed {
        /// The unit of work.
        job: JobId,
        /// Why.
        code: FailureCode,
        /// How often it was tried.
        attempts: u32,
    },
    /// Have the painting of the image called off.
    CancelImage {},
}

/// What happened to a book. `edition` is the number of the edition that the event made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantNames)]
#[serde(
    tag = "kind",
    content = "data",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[strum(serialize_all = "snake_case")]
pub enum Event {
    /// An author began it.
    BookCreated {
        /// Who writes it.
        author: MemberId,
        /// In won.
        price: u32,
        /// Always 1.
        edition: u32,
    },
    /// Its author changed it.
    BookEdited {
        /// The price after the change, in won.
        price: u32,
        /// The edition after the change; the old number if only the price or synopsis changed.
        edition: u32,
    },
    /// It is in the catalogue.
    BookPublished {
        /// In won.
        price: u32,
        /// What a buyer gets.
        edition: u32,
    },
    /// It left the catalogue.
    BookWithdrawn {},
    /// A story was asked for.
    StoryRequested {
        /// The unit of work.
        job: JobId,
        /// Whether the image follows.
        image: bool,
    },
    /// A worker is writing.
    StoryStarted {
        /// The unit of work.
        job: JobId,
        /// Counted from one.
        attempt: u32,
    },
    /// The story is there.
    StoryAttached {
        /// The unit of work.
        job: JobId,
        /// The edition with it.
        edition: u32,
        /// Whether the image follows.
        image: bool,
    },
    /// The story was given up.
    StoryFailed {
        /// The unit of work.
        job: JobId,
        /// Why.
        code: FailureCode,
        /// How often it was tried.
        attempts: u32,
        /// Whether the image follows all the same.
        image: bool,
    },
    /// The author called the writing off; an image that was to follow does not.
    StoryCancelled {
        /// The unit of work, for which nobody waits any more.
        job: JobId,
    },
    /// An image was asked for.
    ImageRequested {
        /// The unit of work.
        job: JobId,
    },
    /// A worker is painting.
    ImageStarted {
        /// The unit of work.
        job: JobId,
        /// Counted from one.
        attempt: u32,
    },
    /// The image is there.
    ImageAttached {
        /// The unit of work.
        job: JobId,
        /// Where it is in our object store.
        image: ImageId,
        /// The edition with it.
        edition: u32,
    },
    /// The image was given up.
    ImageFailed {
        /// The unit of work.
        job: JobId,
        /// Why.
        code: FailureCode,
        /// How often it was tried.
        attempts: u32,
    },
    /// The author called the painting off.
    ImageCancelled {
        /// The unit of work, for which nobody waits any more.
        job: JobId,
    },
}

message!(Command, Event);

/// The words that stay with books; a field is there when the event changed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Text {
    /// The title after the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The synopsis after the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synopsis: Option<String>,
    /// The story after the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<String>,
}

refusals! {
    NoSuchBook = "BOOKS_NO_SUCH_BOOK", 404,
        "There is no such book; check the id, or look in the list of books.";
    AlreadyThere = "BOOKS_ALREADY_THERE", 409,
        "A book with this id exists already; send the request with a new Idempotency-Key.";
    NotYours = "BOOKS_NOT_YOURS", 403,
        "Only the author of a book may change it.";
    Withdrawn = "BOOKS_WITHDRAWN", 409,
        "This book is withdrawn and stays as it is; begin a new one.";
    AlreadyPublished = "BOOKS_ALREADY_PUBLISHED", 409,
        "This book is published already; edit it to change what new readers get.";
    NothingToPublish = "BOOKS_NOTHING_TO_PUBLISH", 409,
        "A book without a story cannot be published; write the contents or ask for a story first.";
    ChangedMeanwhile = "BOOKS_CHANGED_MEANWHILE", 412,
        "The book was changed since you read it; read it again and send the new ETag in If-Match.";
    StoryUnderWay = "BOOKS_STORY_UNDER_WAY", 409,
        "A story is being written for this book already; wait until it is READY or FAILED.";
    ImageUnderWay = "BOOKS_IMAGE_UNDER_WAY", 409,
        "An image is being painted for this book already; wait until it is READY or FAILED.";
    StoryEnded = "BOOKS_STORY_ENDED", 409,
        "The story is written or given up already; there is nothing left to cancel.";
    ImageEnded = "BOOKS_IMAGE_ENDED", 409,
        "The image is painted or given up already; there is nothing left to cancel.";
    NothingToTell = "BOOKS_NOTHING_TO_TELL", 422,
        "A story needs a synopsis; say in a few sentences what the book is about.";
    NotForPeople = "BOOKS_NOT_FOR_PEOPLE", 403,
        "Only Maru's own workers report on their work.";
}

/// What one edition says, `books_edition:[book, edition]`. Written once, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edition {
    /// Who wrote it.
    pub author: MemberId,
    /// What it is called.
    pub title: String,
    /// The story.
    pub contents: String,
    /// The image, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
}

/// Story or image of a book as its state row keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Work {
    /// Where it stands.
    pub status: WorkStatus,
    /// The unit of work that it is about; an answer of any other is late and changes nothing.
    pub job: Option<JobId>,
    /// Begun how often.
    pub attempts: u32,
    /// Why it was given up.
    pub code: Option<FailureCode>,
    /// For a story: whether the image follows.
    pub image: bool,
}

/// A book's state row, as its owner decides on it and as the door and the jobs read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Book {
    /// None until the book is begun.
    pub author: Option<MemberId>,
    /// Where it stands.
    pub status: Status,
    /// In won.
    pub price: u32,
    /// What it is called.
    pub title: String,
    /// What it is about.
    pub synopsis: String,
    /// The story; empty until there is one.
    pub contents: String,
    /// The image, once there is one.
    pub image: Option<ImageId>,
    /// The newest edition.
    pub edition: u32,
    /// The writing.
    pub story: Work,
    /// The painting.
    pub painting: Work,
}
