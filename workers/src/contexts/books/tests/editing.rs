//! What an author changes, and what is kept of it.

use maru_schemas::books::{Edition, Event, Refusal, Text};
use maru_schemas::message::Told;
use maru_streams::contract::Context;

use super::super::{Books, edition_key};
use super::{AUTHOR, edit, retitle, written};
use crate::contexts::given::{MINA, SUBJECT, after, given};

#[test]
fn a_new_title_or_story_makes_the_next_edition() {
    for words in [[Some("Sun"), None, None], [None, None, Some("And then")]] {
        given::<Books>([written()])
            .by(AUTHOR)
            .when(edit(words, None))
            .then([Event::BookEdited { price: 10, edition: 2 }]);
    }
}

#[test]
fn a_new_price_or_synopsis_makes_no_edition() {
    given::<Books>([written()])
        .by(AUTHOR)
        .when(edit([None, Some("A rabbit on the sun"), None], Some(5)))
        .then([Event::BookEdited { price: 5, edition: 1 }]);
}

#[test]
fn an_edit_leaves_what_it_does_not_name() {
    let told = given::<Books>([written()]).by(AUTHOR).when(retitle(None)).told();
    let book = after::<Books>([written()].into_iter().chain(told));
    assert_eq!(
        (book.title.as_str(), book.contents.as_str(), book.price),
        ("Sun", "Once upon a time", 10)
    );
    assert_eq!((book.synopsis.as_str(), book.edition), ("A rabbit on the moon", 2));
}

#[test]
fn an_edit_that_changes_nothing_is_nothing() {
    let same = [Some("Moon"), Some("A rabbit on the moon"), Some("Once upon a time")];
    for command in [edit(same, Some(10)), edit([None; 3], None)] {
        given::<Books>([written()]).by(AUTHOR).when(command).then_nothing_new();
    }
}

#[test]
fn who_looked_at_an_older_version_reads_again_first() {
    let book = || given::<Books>([written()]).by(AUTHOR).at_version(4);
    book().when(retitle(Some(3))).then_refused(Refusal::ChangedMeanwhile);
    let edited = Event::BookEdited { price: 10, edition: 2 };
    book().when(retitle(Some(4))).then([edited]);
}

#[test]
fn what_a_book_says_is_kept_under_its_edition() {
    let edited = Told::with(
        Event::BookEdited { price: 10, edition: 2 },
        Text {
            title: Some("Sun".into()),
            ..Text::default()
        },
    );
    let book = after::<Books>([written(), edited.clone()]);
    let kept = Books::keeps(SUBJECT, &book, &edited);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].key, edition_key(SUBJECT, 2));
    let edition: Edition = serde_json::from_value(kept[0].doc.clone()).unwrap();
    assert_eq!((edition.author, edition.image), (MINA, None));
    assert_eq!(
        (edition.title.as_str(), edition.contents.as_str()),
        ("Sun", "Once upon a time")
    );
}
