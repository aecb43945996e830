//! The writing and the painting, each on its own: what workers report. How it is asked for is in
//! `requests`, how it is called off in `cancelling`.

mod cancelling;
mod requests;

use maru_schemas::books::{Command, Event, Refusal, WorkStatus};
use maru_schemas::envelope::Actor;
use maru_schemas::ids::{ImageId, JobId};
use maru_schemas::jobs::FailureCode;
use uuid::Uuid;

use super::super::Books;
use super::{ADMIN, AUTHOR, STRANGER, Said, begun, reports, written};
use crate::contexts::given::{after, given, plain};

const STORY: JobId = JobId(Uuid::from_u128(0x5701));
const IMAGE: JobId = JobId(Uuid::from_u128(0x1a6e));
const OTHER: JobId = JobId(Uuid::from_u128(0x07e4));
const PICTURE: ImageId = ImageId(Uuid::from_u128(0x71c7));
const CODE: FailureCode = FailureCode::ProviderUnavailable;

fn story_asked() -> Said {
    plain::<Books>(Event::StoryRequested {
        job: STORY,
        image: true,
    })
}

fn story_started(attempt: u32) -> Said {
    plain::<Books>(Event::StoryStarted { job: STORY, attempt })
}

fn story_attached() -> Said {
    let mut told = plain::<Books>(Event::StoryAttached {
        job: STORY,
        edition: 2,
        image: true,
    });
    told.text.contents = Some("Far away".into());
    told
}

fn story_failed() -> Said {
    plain::<Books>(Event::StoryFailed {
        job: STORY,
        code: CODE,
        attempts: 4,
        image: true,
    })
}

fn story_cancelled() -> Said {
    plain::<Books>(Event::StoryCancelled { job: STORY })
}

fn image_cancelled() -> Said {
    plain::<Books>(Event::ImageCancelled { job: IMAGE })
}

fn image_asked() -> Said {
    plain::<Books>(Event::ImageRequested { job: IMAGE })
}

fn image_started(attempt: u32) -> Said {
    plain::<Books>(Event::ImageStarted { job: IMAGE, attempt })
}

fn image_attached() -> Said {
    plain::<Books>(Event::ImageAttached {
        job: IMAGE,
        image: PICTURE,
        edition: 2,
    })
}

fn image_failed() -> Said {
    plain::<Books>(Event::ImageFailed {
        job: IMAGE,
        code: CODE,
        attempts: 4,
    })
}

#[test]
fn every_further_beginning_is_told_once() {
    let [start_story, _, _, start_image, _, _] = reports(STORY, IMAGE, 2);
    let begun_once = || {
        vec![
            written(),
            story_asked(),
            story_started(1),
            image_asked(),
            image_started(1),
        ]
    };
    let second = [story_started(2), image_started(2)];
    given::<Books>(begun_once())
        .when(start_story.clone())
        .then([second[0].event.clone()]);
    given::<Books>(begun_once())
        .when(start_image.clone())
        .then([second[1].event.clone()]);
    for start in [start_story, start_image] {
        let begun_twice = begun_once().into_iter().chain(second.clone());
        given::<Books>(begun_twice).when(start).then_nothing_new();
    }
}

#[test]
fn a_beginning_that_was_overtaken_is_nothing_new() {
    let [start_story, _, _, start_image, _, _] = reports(STORY, IMAGE, 1);
    for start in [start_story, start_image] {
        let book = given::<Books>([
            written(),
            story_asked(),
            story_started(2),
            image_asked(),
            image_started(2),
        ]);
        book.when(start).then_nothing_new();
    }
}

#[test]
fn a_written_story_makes_the_next_edition() {
    let attach = Command::AttachStory {
        job: STORY,
        contents: "Far away".into(),
    };
    let told = given::<Books>([begun(""), story_asked(), story_started(1)])
        .when(attach)
        .told();
    assert_eq!(told, [story_attached()]);
    let book = after::<Books>([begun(""), story_asked()].into_iter().chain(told));
    assert_eq!(
        (book.contents.as_str(), book.edition, book.story.status),
        ("Far away", 2, WorkStatus::Ready)
    );
}

#[test]
fn a_painted_image_makes_the_next_edition() {
    let attach = Command::AttachImage {
        job: IMAGE,
        image: PICTURE,
    };
    let told = given::<Books>([begun(""), image_asked(), image_started(1)])
        .when(attach)
        .told();
    assert_eq!(told, [image_attached()]);
    let book = after::<Books>([begun(""), image_asked()].into_iter().chain(told));
    assert_eq!(
        (book.image, book.edition, book.painting.status),
        (Some(PICTURE), 2, WorkStatus::Ready)
    );
}

#[test]
fn what_is_given_up_says_why_and_leaves_the_book_as_it_was() {
    let [_, _, fail_story, _, _, fail_image] = reports(STORY, IMAGE, 4);
    let working = || {
        [
            written(),
            story_asked(),
            story_started(4),
            image_asked(),
            image_started(4),
        ]
    };
    given::<Books>(working()).when(fail_story).then([story_failed().event]);
    given::<Books>(working()).when(fail_image).then([image_failed().event]);
    let book = after::<Books>(working().into_iter().chain([story_failed(), image_failed()]));
    assert_eq!((book.story.status, book.story.code), (WorkStatus::Failed, Some(CODE)));
    assert_eq!(
        (book.painting.status, book.painting.code),
        (WorkStatus::Failed, Some(CODE))
    );
    assert_eq!(
        (book.contents.as_str(), book.image, book.edition),
        ("Once upon a time", None, 1)
    );
}

#[test]
fn a_story_survives_a_failed_image() {
    let book = after::<Books>([
        begun(""),
        story_asked(),
        story_attached(),
        image_asked(),
        image_failed(),
    ]);
    assert_eq!(
        (book.story.status, book.painting.status),
        (WorkStatus::Ready, WorkStatus::Failed)
    );
    assert_eq!(book.contents, "Far away");
}

#[test]
fn work_that_was_given_up_may_still_succeed() {
    let [_, attach_story, _, _, attach_image, _] = reports(STORY, IMAGE, 1);
    let given_up = || given::<Books>([written(), story_asked(), story_failed(), image_asked(), image_failed()]);
    given_up().when(attach_story).then([story_attached().event]);
    let image = ImageId(Uuid::from_u128(1));
    given_up().when(attach_image).then([Event::ImageAttached {
        job: IMAGE,
        image,
        edition: 2,
    }]);
}

#[test]
fn what_is_ready_hears_no_more_reports() {
    for report in reports(STORY, IMAGE, 9) {
        let ready = given::<Books>([
            written(),
            story_asked(),
            story_attached(),
            image_asked(),
            image_attached(),
        ]);
        ready.when(report).then_nothing_new();
    }
}

#[test]
fn a_report_of_work_that_nobody_waits_for_is_nothing_new() {
    let waiting = [written(), story_asked(), image_asked()];
    for history in [&waiting[..1], &waiting[..]] {
        for report in reports(OTHER, OTHER, 9) {
            given::<Books>(history.to_vec()).when(report).then_nothing_new();
        }
    }
}

#[test]
fn people_do_not_report_on_work() {
    for report in reports(STORY, IMAGE, 1) {
        for who in [AUTHOR, STRANGER, ADMIN, Actor::Anonymous] {
            let asked = given::<Books>([written(), story_asked(), image_asked()])
                .by(who)
                .when(report.clone());
            asked.then_refused(Refusal::NotForPeople);
        }
    }
}

#[test]
fn nobody_works_on_a_book_that_is_not_there() {
    for command in reports(STORY, IMAGE, 1).into_iter().chain([Command::RequestImage {}]) {
        given::<Books>([]).when(command).then_refused(Refusal::NoSuchBook);
    }
}
