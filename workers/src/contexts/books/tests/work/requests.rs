//! Who has a story written or an image painted, and when.

use maru_schemas::books::{Command, Event, Refusal, WorkStatus};
use maru_schemas::envelope::Actor;
use maru_schemas::ids::{self, JobId};

use super::super::super::Books;
use super::super::{AUTHOR, begun, request_story, withdrawn, written};
use super::{
    image_asked, image_attached, image_failed, image_started, story_asked, story_attached, story_failed, story_started,
};
use crate::contexts::given::{COMMAND, after, given};

fn new_story(image: bool) -> Event {
    let job = JobId(ids::derive(COMMAND, "story"));
    Event::StoryRequested { job, image }
}

fn new_image() -> Event {
    let job = JobId(ids::derive(COMMAND, "image"));
    Event::ImageRequested { job }
}

fn about(synopsis: &str) -> Command {
    Command::RequestStory {
        synopsis: Some(synopsis.into()),
        image: true,
    }
}

#[test]
fn a_story_is_asked_for_with_or_without_an_image() {
    let book = || given::<Books>([begun("")]).by(AUTHOR);
    book().when(request_story()).then([new_story(false)]);
    let told = book().when(about("A hare on the moon")).told();
    assert_eq!(told[0].event, new_story(true));
    let book = after::<Books>([begun("")].into_iter().chain(told));
    assert_eq!(
        (book.synopsis.as_str(), book.story.status),
        ("A hare on the moon", WorkStatus::Requested)
    );
    assert!(book.story.image);
}

#[test]
fn a_story_needs_something_to_tell() {
    let mut bare = begun("");
    bare.text.synopsis = None;
    for command in [request_story(), about(" \n")] {
        let asked = given::<Books>([bare.clone()]).by(AUTHOR).when(command);
        asked.then_refused(Refusal::NothingToTell);
    }
}

#[test]
fn a_story_under_way_is_not_asked_for_again() {
    for history in [
        vec![written(), story_asked()],
        vec![written(), story_asked(), story_started(1)],
    ] {
        let asked = given::<Books>(history).by(AUTHOR).when(request_story());
        asked.then_refused(Refusal::StoryUnderWay);
    }
}

#[test]
fn a_story_that_is_there_or_given_up_is_asked_for_again() {
    for end in [story_attached(), story_failed()] {
        let told = given::<Books>([written(), story_asked(), end.clone()])
            .by(AUTHOR)
            .when(request_story())
            .told();
        assert_eq!(told[0].event, new_story(false));
        let work = after::<Books>(
            [written(), story_asked(), story_started(1), end]
                .into_iter()
                .chain(told),
        )
        .story;
        assert_eq!(
            (work.status, work.attempts, work.code),
            (WorkStatus::Requested, 0, None)
        );
    }
}

#[test]
fn an_image_under_way_is_not_asked_for_again() {
    for history in [
        vec![written(), image_asked()],
        vec![written(), image_asked(), image_started(1)],
    ] {
        let asked = given::<Books>(history).by(AUTHOR).when(Command::RequestImage {});
        asked.then_refused(Refusal::ImageUnderWay);
    }
}

#[test]
fn an_image_that_is_there_or_given_up_is_asked_for_again() {
    for end in [image_attached(), image_failed()] {
        let book = given::<Books>([written(), image_asked(), end]).by(AUTHOR);
        book.when(Command::RequestImage {}).then([new_image()]);
    }
}

#[test]
fn neither_waits_for_the_other() {
    let writing = given::<Books>([begun(""), story_asked(), story_started(1)]).by(AUTHOR);
    writing.when(Command::RequestImage {}).then([new_image()]);
    let painting = given::<Books>([begun(""), image_asked(), image_started(1)]).by(AUTHOR);
    painting.when(request_story()).then([new_story(false)]);
}

#[test]
fn the_house_has_an_image_painted_where_none_is() {
    for history in [vec![begun("")], vec![begun(""), image_asked(), image_failed()]] {
        let asked = given::<Books>(history).by(Actor::System).when(Command::RequestImage {});
        asked.then([new_image()]);
    }
}

#[test]
fn the_house_comes_late_to_a_book_that_has_its_image_or_is_withdrawn() {
    let late = [
        vec![written(), image_asked()],
        vec![written(), image_asked(), image_started(1)],
        vec![written(), image_asked(), image_attached()],
        vec![written(), withdrawn()],
    ];
    for history in late {
        let asked = given::<Books>(history).by(Actor::System).when(Command::RequestImage {});
        asked.then_nothing_new();
    }
}
