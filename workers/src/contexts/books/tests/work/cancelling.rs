//! Who calls work off, when, and that nothing comes of it afterwards.

use maru_schemas::books::{Command, Event, Refusal, Work};

use super::super::super::Books;
use super::super::{AUTHOR, begun, reports, request_story, withdrawn, written};
use super::{
    IMAGE, STORY, image_asked, image_attached, image_cancelled, image_failed, image_started, story_asked,
    story_attached, story_cancelled, story_failed, story_started,
};
use crate::contexts::given::{after, given};

#[test]
fn work_that_waits_or_runs_is_called_off() {
    for history in [
        vec![written(), story_asked(), image_asked()],
        vec![
            written(),
            story_asked(),
            story_started(1),
            image_asked(),
            image_started(2),
        ],
    ] {
        let book = || given::<Books>(history.clone()).by(AUTHOR);
        book().when(Command::CancelStory {}).then([story_cancelled().event]);
        book().when(Command::CancelImage {}).then([image_cancelled().event]);
    }
}

#[test]
fn the_work_of_a_withdrawn_book_is_called_off_too() {
    let book = given::<Books>([begun(""), story_asked(), withdrawn()]).by(AUTHOR);
    book.when(Command::CancelStory {}).then([story_cancelled().event]);
}

#[test]
fn calling_off_what_nobody_asked_for_is_nothing_new() {
    for history in [
        vec![written()],
        vec![
            written(),
            story_asked(),
            story_cancelled(),
            image_asked(),
            image_cancelled(),
        ],
    ] {
        for cancel in [Command::CancelStory {}, Command::CancelImage {}] {
            let book = given::<Books>(history.clone()).by(AUTHOR);
            book.when(cancel).then_nothing_new();
        }
    }
}

#[test]
fn what_has_ended_is_not_called_off() {
    let book = |end| given::<Books>([written(), story_asked(), image_asked(), end]).by(AUTHOR);
    for end in [story_attached(), story_failed()] {
        book(end)
            .when(Command::CancelStory {})
            .then_refused(Refusal::StoryEnded);
    }
    for end in [image_attached(), image_failed()] {
        book(end)
            .when(Command::CancelImage {})
            .then_refused(Refusal::ImageEnded);
    }
}

#[test]
fn calling_off_leaves_the_book_as_it_was_before_it_was_asked() {
    let book = after::<Books>([
        written(),
        story_asked(),
        story_started(1),
        image_asked(),
        story_cancelled(),
        image_cancelled(),
    ]);
    assert_eq!((&book.story, &book.painting), (&Work::default(), &Work::default()));
    assert_eq!(book, after::<Books>([written()]));
}

#[test]
fn each_is_called_off_without_the_other() {
    let book = after::<Books>([written(), story_asked(), image_asked(), story_cancelled()]);
    assert_eq!(book.painting.job, Some(IMAGE));
    let book = after::<Books>([written(), story_asked(), image_asked(), image_cancelled()]);
    assert_eq!(book.story.job, Some(STORY));
}

#[test]
fn a_report_of_work_that_was_called_off_is_late() {
    for report in reports(STORY, IMAGE, 9) {
        let book = given::<Books>([
            written(),
            story_asked(),
            image_asked(),
            story_cancelled(),
            image_cancelled(),
        ]);
        book.when(report).then_nothing_new();
    }
}

#[test]
fn what_was_called_off_is_asked_for_again() {
    let book = || {
        given::<Books>([
            written(),
            story_asked(),
            image_asked(),
            story_cancelled(),
            image_cancelled(),
        ])
        .by(AUTHOR)
    };
    assert!(matches!(
        book().when(request_story()).told()[0].event,
        Event::StoryRequested { .. }
    ));
    assert!(matches!(
        book().when(Command::RequestImage {}).told()[0].event,
        Event::ImageRequested { .. }
    ));
}
