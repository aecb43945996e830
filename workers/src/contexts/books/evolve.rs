//! What it leaves behind.

use maru_schemas::books::{Book, Event, Status, Text, Work, WorkStatus};
use maru_schemas::ids::JobId;
use maru_schemas::jobs::FailureCode;
use maru_schemas::message::Told;

pub(super) fn evolve(mut book: Book, told: &Told<Event, Text>) -> Book {
    let Text {
        title,
        synopsis,
        contents,
    } = told.text.clone();
    book.title = title.unwrap_or(book.title);
    book.synopsis = synopsis.unwrap_or(book.synopsis);
    book.contents = contents.unwrap_or(book.contents);
    match &told.event {
        Event::BookCreated { author, price, edition } => {
            book.author = Some(*author);
            book.price = *price;
            book.edition = *edition;
        }
        Event::BookEdited { price, edition } => {
            book.price = *price;
            book.edition = *edition;
        }
        Event::BookPublished { .. } => book.status = Status::Published,
        Event::BookWithdrawn {} => book.status = Status::Withdrawn,
        Event::StoryRequested { job, image } => book.story = requested(*job, *image),
        Event::StoryStarted { attempt, .. } => started(&mut book.story, *attempt),
        Event::StoryAttached { edition, .. } => {
            ready(&mut book.story);
            book.edition = *edition;
        }
        Event::StoryFailed { code, .. } => failed(&mut book.story, *code),
        // Its unit is forgotten, so whatever is still said about it is late.
        Event::StoryCancelled { .. } => book.story = Work::default(),
        Event::ImageCancelled { .. } => book.painting = Work::default(),
        Event::ImageRequested { job } => book.painting = requested(*job, false),
        Event::ImageStarted { attempt, .. } => started(&mut book.painting, *attempt),
        Event::ImageAttached { image, edition, .. } => {
            ready(&mut book.painting);
            book.image = Some(*image);
            book.edition = *edition;
        }
        Event::ImageFailed { code, .. } => failed(&mut book.painting, *code),
    }
    book
}

const fn requested(job: JobId, image: bool) -> Work {
    Work {
        status: WorkStatus::Requested,
        job: Some(job),
        attempts: 0,
        code: None,
        image,
    }
}

const fn started(work: &mut Work, attempt: u32) {
    work.status = WorkStatus::Generating;
    work.attempts = attempt;
    work.code = None;
}

const fn ready(work: &mut Work) {
    work.status = WorkStatus::Ready;
    work.code = None;
}

const fn failed(work: &mut Work, code: FailureCode) {
    work.status = WorkStatus::Failed;
    work.code = Some(code);
}
