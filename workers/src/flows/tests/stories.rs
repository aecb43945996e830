//! Stories and images.

use maru_schemas::books::{Books, Command, Event};
use maru_schemas::ids::ImageId;
use maru_schemas::jobs::Job;
use maru_streams::intention::Intention;
use uuid::Uuid;

use super::super::authoring::react;
use super::{BOOK, CODE, JOB, everything, nothing};
use crate::facts::Fact;

fn after(event: Event) -> Vec<Intention> {
    react(BOOK, &Fact::Books(event))
}

fn request_image() -> Intention {
    Intention::command::<Books>(BOOK, &Command::RequestImage {}, "image")
}

#[test]
fn a_story_that_was_asked_for_is_written_and_the_image_comes_after() {
    let write = Intention::job(JOB, &Job::WriteStory { job: JOB, book: BOOK }, BOOK);
    for image in [true, false] {
        assert_eq!(
            after(Event::StoryRequested { job: JOB, image }),
            std::slice::from_ref(&write)
        );
    }
}

#[test]
fn an_image_that_was_asked_for_is_painted() {
    let paint = Intention::job(JOB, &Job::PaintImage { job: JOB, book: BOOK }, BOOK);
    assert_eq!(after(Event::ImageRequested { job: JOB }), [paint]);
}

#[test]
fn the_image_follows_the_story_if_it_was_wanted() {
    let attached = |image| Event::StoryAttached {
        job: JOB,
        edition: 2,
        image,
    };
    assert_eq!(after(attached(true)), [request_image()]);
    assert_eq!(after(attached(false)), nothing());
}

#[test]
fn the_image_follows_all_the_same_when_the_story_was_given_up() {
    let failed = |image| Event::StoryFailed {
        job: JOB,
        code: CODE,
        attempts: 4,
        image,
    };
    assert_eq!(after(failed(true)), [request_image()]);
    assert_eq!(after(failed(false)), nothing());
}

#[test]
fn nothing_follows_what_was_called_off() {
    for end in [Event::StoryCancelled { job: JOB }, Event::ImageCancelled { job: JOB }] {
        assert_eq!(after(end), nothing());
    }
}

#[test]
fn nothing_follows_an_image_neither_there_nor_given_up() {
    let image = ImageId(Uuid::nil());
    let painted = Event::ImageAttached {
        job: JOB,
        image,
        edition: 2,
    };
    let failed = Event::ImageFailed {
        job: JOB,
        code: CODE,
        attempts: 4,
    };
    for end in [painted, failed] {
        assert_eq!(after(end), nothing());
    }
}

#[test]
fn reacting_twice_intends_the_same() {
    for fact in everything() {
        assert_eq!(react(BOOK, &fact), react(BOOK, &fact));
    }
}
