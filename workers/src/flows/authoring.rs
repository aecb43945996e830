//! # Authoring
//!
//! A story that was asked for is written; an image that was asked for is painted; neither waits for the
//! other. Who asked for both gets the image after the story: painted from it, or, if the story was given
//! up, from the synopsis all the same. Who calls the story off gets neither: nothing follows, and the
//! image can be asked for on its own.
//!
//! ```text
//! StoryRequested ─▶ job write_story
//! StoryAttached, StoryFailed (image wanted) ─▶ RequestImage
//! ImageRequested ─▶ job paint_image
//! ```

use maru_schemas::books::{self, Books, Command, Event};
use maru_schemas::ids::BookId;
use maru_schemas::jobs::Job;
use maru_streams::flow::Flow;
use maru_streams::intention::Intention;

use crate::facts::Fact;

/// The flow.
pub const FLOW: Flow = Flow {
    name: "authoring",
    hears: &[(
        books::CONTEXT,
        &["story_requested", "story_attached", "story_failed", "image_requested"],
    )],
    react: |delivery| Ok(react(BookId(delivery.envelope.subject), &Fact::read(delivery)?)),
};

/// What follows for a book.
#[must_use]
pub fn react(book: BookId, fact: &Fact) -> Vec<Intention> {
    let Fact::Books(event) = fact else { return Vec::new() };
    match event {
        Event::StoryRequested { job, .. } => {
            vec![Intention::job(*job, &Job::WriteStory { job: *job, book }, book)]
        }
        Event::StoryAttached { image: true, .. } | Event::StoryFailed { image: true, .. } => {
            vec![Intention::command::<Books>(book, &Command::RequestImage {}, "image")]
        }
        Event::ImageRequested { job } => {
            vec![Intention::job(*job, &Job::PaintImage { job: *job, book }, book)]
        }
        _ => Vec::new(),
    }
}
