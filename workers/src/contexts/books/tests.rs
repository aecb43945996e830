//! A book from its beginning to its withdrawal. How it changes is in `editing`, how it is written and
//! painted in `work`, what holds whatever happens in `properties`.

mod editing;
mod properties;
mod work;

use maru_schemas::books::{Command, Event, Refusal, Status, Text};
use maru_schemas::envelope::Actor;
use maru_schemas::ids::{ImageId, JobId};
use maru_schemas::jobs::FailureCode;
use maru_schemas::message::Told;
use maru_streams::contract::Context;
use uuid::Uuid;

use super::Books;
use crate::contexts::given::{JUNHO, MINA, after, given, plain};

type Said = Told<Event, Text>;

const AUTHOR: Actor = Actor::Member(MINA);
const STRANGER: Actor = Actor::Member(JUNHO);
const ADMIN: Actor = Actor::Admin(JUNHO);

fn begun(contents: &str) -> Said {
    let text = Text {
        title: Some("Moon".into()),
        synopsis: Some("A rabbit on the moon".into()),
        contents: Some(contents.into()),
    };
    Told::with(
        Event::BookCreated {
            author: MINA,
            price: 10,
            edition: 1,
        },
        text,
    )
}

fn written() -> Said {
    begun("Once upon a time")
}

fn published() -> Said {
    plain::<Books>(Event::BookPublished { price: 10, edition: 1 })
}

fn withdrawn() -> Said {
    plain::<Books>(Event::BookWithdrawn {})
}

fn create(contents: &str, publish: bool) -> Command {
    Command::CreateBook {
        title: "Moon".into(),
        synopsis: "A rabbit on the moon".into(),
        contents: contents.into(),
        price: 10,
        publish,
    }
}

fn edit([title, synopsis, contents]: [Option<&str>; 3], price: Option<u32>) -> Command {
    Command::EditBook {
        title: title.map(str::to_owned),
        synopsis: synopsis.map(str::to_owned),
        contents: contents.map(str::to_owned),
        price,
        expected: None,
    }
}

fn retitle(expected: Option<u64>) -> Command {
    Command::EditBook {
        title: Some("Sun".into()),
        synopsis: None,
        contents: None,
        price: None,
        expected,
    }
}

fn request_story() -> Command {
    Command::RequestStory {
        synopsis: None,
        image: false,
    }
}

/// What only the author may ask, not even an administrator.
fn authors_own() -> [Command; 4] {
    [
        retitle(None),
        Command::PublishBook {},
        request_story(),
        Command::RequestImage {},
    ]
}

/// Calling off, which the author may do whatever became of the book.
const CANCELS: [Command; 2] = [Command::CancelStory {}, Command::CancelImage {}];

/// What workers report, of a story and an image.
fn reports(story: JobId, image: JobId, attempt: u32) -> [Command; 6] {
    let code = FailureCode::ProviderUnavailable;
    [
        Command::StartStory { job: story, attempt },
        Command::AttachStory {
            job: story,
            contents: format!("Story {attempt}"),
        },
        Command::MarkStoryFailed {
            job: story,
            code,
            attempts: attempt,
        },
        Command::StartImage { job: image, attempt },
        Command::AttachImage {
            job: image,
            image: ImageId(Uuid::from_u128(attempt.into())),
        },
        Command::MarkImageFailed {
            job: image,
            code,
            attempts: attempt,
        },
    ]
}

#[test]
fn a_new_book_is_a_draft_of_who_began_it() {
    let told = given::<Books>([])
        .by(AUTHOR)
        .when(create("Once upon a time", false))
        .told();
    assert_eq!(told, [written()]);
    let book = after::<Books>(told);
    assert_eq!((book.author, book.status, book.edition), (Some(MINA), Status::Draft, 1));
    assert_eq!(Books::owner(&book), Some(MINA));
}

#[test]
fn a_book_with_a_story_can_be_published_at_once() {
    let told = given::<Books>([])
        .by(AUTHOR)
        .when(create("Once upon a time", true))
        .told();
    assert_eq!(told, [written(), published()]);
}

#[test]
fn a_book_without_a_story_is_not_published_at_once() {
    let asked = given::<Books>([]).by(AUTHOR).when(create("", true));
    asked.then_refused(Refusal::NothingToPublish);
}

#[test]
fn a_book_is_begun_by_somebody() {
    for nobody in [Actor::Anonymous, Actor::System] {
        let asked = given::<Books>([]).by(nobody).when(create("", false));
        asked.then_refused(Refusal::NotYours);
    }
}

#[test]
fn a_book_is_begun_once() {
    let asked = given::<Books>([written()]).by(AUTHOR).when(create("", false));
    asked.then_refused(Refusal::AlreadyThere);
}

#[test]
fn the_public_event_carries_no_words() {
    let told = given::<Books>([])
        .by(AUTHOR)
        .when(create("Once upon a time", false))
        .told();
    let public = serde_json::to_string(&told[0].event).unwrap();
    assert!(!public.contains("Moon") && !public.contains("rabbit") && !public.contains("Once"));
}

#[test]
fn a_book_that_is_not_there_is_not_changed() {
    for command in authors_own()
        .into_iter()
        .chain([Command::WithdrawBook {}])
        .chain(CANCELS)
    {
        given::<Books>([])
            .by(AUTHOR)
            .when(command)
            .then_refused(Refusal::NoSuchBook);
    }
}

#[test]
fn only_the_author_changes_a_book() {
    for command in authors_own().into_iter().chain(CANCELS) {
        for other in [STRANGER, ADMIN, Actor::Anonymous] {
            let asked = given::<Books>([written()]).by(other).when(command.clone());
            asked.then_refused(Refusal::NotYours);
        }
    }
}

#[test]
fn a_draft_with_a_story_is_published_as_it_is() {
    let draft = given::<Books>([written()]).by(AUTHOR);
    let told = draft.when(Command::PublishBook {}).told();
    assert_eq!(told, [published()]);
    assert_eq!(after::<Books>([written(), published()]).status, Status::Published);
}

#[test]
fn a_draft_without_a_story_is_not_published() {
    let asked = given::<Books>([begun("")]).by(AUTHOR).when(Command::PublishBook {});
    asked.then_refused(Refusal::NothingToPublish);
}

#[test]
fn a_book_is_published_once() {
    let book = given::<Books>([written(), published()]).by(AUTHOR);
    book.when(Command::PublishBook {})
        .then_refused(Refusal::AlreadyPublished);
}

#[test]
fn an_author_or_an_administrator_withdraws_a_book() {
    for who in [AUTHOR, ADMIN] {
        for history in [vec![written()], vec![written(), published()]] {
            let asked = given::<Books>(history).by(who).when(Command::WithdrawBook {});
            asked.then([Event::BookWithdrawn {}]);
        }
    }
}

#[test]
fn nobody_else_withdraws_a_book() {
    for other in [STRANGER, Actor::Anonymous, Actor::System] {
        let asked = given::<Books>([written()]).by(other).when(Command::WithdrawBook {});
        asked.then_refused(Refusal::NotYours);
    }
}

#[test]
fn withdrawing_twice_is_nothing_new() {
    let book = given::<Books>([written(), published(), withdrawn()]).by(AUTHOR);
    book.when(Command::WithdrawBook {}).then_nothing_new();
}

#[test]
fn a_withdrawn_book_is_not_published_nor_changed() {
    for command in authors_own() {
        let book = given::<Books>([written(), published(), withdrawn()]).by(AUTHOR);
        book.when(command).then_refused(Refusal::Withdrawn);
    }
}
