//! What a reader says of a book, changes and takes back.

use maru_schemas::envelope::Actor;
use maru_schemas::ids::BookId;
use maru_schemas::message::Told;
use maru_schemas::reviews::{Command, Event, HalfStars, Refusal, Text};
use maru_streams::contract::Context;
use proptest::prelude::*;
use uuid::Uuid;

use super::Reviews;
use crate::contexts::given::{JUNHO, MINA, after, anybody, given, plain, play};

type Said = Told<Event, Text>;

const READER: Actor = Actor::Member(MINA);
const STRANGER: Actor = Actor::Member(JUNHO);
const ADMIN: Actor = Actor::Admin(JUNHO);
const BOOK: BookId = BookId(Uuid::from_u128(0xb0));
const REMOVE: Command = Command::RemoveReview {};

fn halves(halves: u8) -> HalfStars {
    HalfStars::try_from(halves).unwrap()
}

fn write(rating: u8, bought: bool) -> Command {
    Command::WriteReview {
        member: MINA,
        book: BOOK,
        rating: halves(rating),
        content: "Lovely".into(),
        bought,
    }
}

fn edit(rating: Option<u8>, content: Option<&str>) -> Command {
    Command::EditReview {
        rating: rating.map(halves),
        content: content.map(str::to_owned),
    }
}

fn words(content: Option<&str>) -> Text {
    Text {
        content: content.map(str::to_owned),
    }
}

fn written() -> Said {
    let event = Event::ReviewWritten {
        member: MINA,
        book: BOOK,
        rating: halves(9),
    };
    Told::with(event, words(Some("Lovely")))
}

fn removed() -> Said {
    plain::<Reviews>(Event::ReviewRemoved {
        book: BOOK,
        before: halves(9),
    })
}

fn edited(rating: u8) -> Event {
    Event::ReviewEdited {
        book: BOOK,
        before: halves(9),
        rating: halves(rating),
    }
}

#[test]
fn who_bought_a_book_reviews_it() {
    let told = given::<Reviews>([]).by(READER).when(write(9, true)).told();
    assert_eq!(told, [written()]);
    let review = after::<Reviews>(told);
    assert_eq!(
        (review.member, review.book, review.rating),
        (Some(MINA), Some(BOOK), Some(halves(9)))
    );
    assert_eq!(review.content, "Lovely");
    assert_eq!(Reviews::owner(&review), Some(MINA));
}

#[test]
fn who_did_not_buy_a_book_does_not_review_it() {
    let asked = given::<Reviews>([]).by(READER).when(write(9, false));
    asked.then_refused(Refusal::BuyersOnly);
}

#[test]
fn nobody_writes_a_review_for_somebody_else() {
    for other in [STRANGER, ADMIN, Actor::Anonymous, Actor::System] {
        let asked = given::<Reviews>([]).by(other).when(write(9, true));
        asked.then_refused(Refusal::NotYours);
    }
}

#[test]
fn a_book_is_reviewed_once() {
    let asked = given::<Reviews>([written()]).by(READER).when(write(2, true));
    asked.then_refused(Refusal::AlreadyWritten);
}

#[test]
fn a_review_that_was_taken_back_can_be_written_anew() {
    let told = given::<Reviews>([written(), removed()])
        .by(READER)
        .when(write(9, true))
        .told();
    assert_eq!(told, [written()]);
}

#[test]
fn an_edit_tells_the_rating_before_and_after() {
    let told = given::<Reviews>([written()])
        .by(READER)
        .when(edit(Some(2), None))
        .told();
    assert_eq!(told, [Told::with(edited(2), words(None))]);
    let review = after::<Reviews>([written()].into_iter().chain(told));
    assert_eq!((review.rating, review.content.as_str()), (Some(halves(2)), "Lovely"));
}

#[test]
fn an_edit_of_the_words_leaves_the_rating() {
    let told = given::<Reviews>([written()])
        .by(READER)
        .when(edit(None, Some("Dull")))
        .told();
    assert_eq!(told, [Told::with(edited(9), words(Some("Dull")))]);
    let review = after::<Reviews>([written()].into_iter().chain(told));
    assert_eq!((review.rating, review.content.as_str()), (Some(halves(9)), "Dull"));
}

#[test]
fn an_edit_that_changes_nothing_is_nothing() {
    for same in [edit(None, None), edit(Some(9), Some("Lovely"))] {
        given::<Reviews>([written()]).by(READER).when(same).then_nothing_new();
    }
}

#[test]
fn only_who_wrote_a_review_edits_it() {
    for other in [STRANGER, ADMIN, Actor::Anonymous, Actor::System] {
        let asked = given::<Reviews>([written()]).by(other).when(edit(Some(2), None));
        asked.then_refused(Refusal::NotYours);
    }
}

#[test]
fn a_review_that_is_not_there_is_not_edited() {
    for history in [vec![], vec![written(), removed()]] {
        let asked = given::<Reviews>(history).by(READER).when(edit(Some(2), None));
        asked.then_refused(Refusal::NoSuchReview);
    }
}

#[test]
fn a_reader_or_an_administrator_takes_a_review_back() {
    for who in [READER, ADMIN] {
        let told = given::<Reviews>([written()]).by(who).when(REMOVE).told();
        assert_eq!(told, [removed()]);
    }
    let review = after::<Reviews>([written(), removed()]);
    assert_eq!((review.rating, review.content.as_str()), (None, ""));
}

#[test]
fn nobody_else_takes_a_review_back() {
    for other in [STRANGER, Actor::Anonymous, Actor::System] {
        let asked = given::<Reviews>([written()]).by(other).when(REMOVE);
        asked.then_refused(Refusal::NotYours);
    }
}

#[test]
fn taking_a_review_back_twice_is_nothing_new() {
    for who in [READER, ADMIN] {
        given::<Reviews>([written(), removed()])
            .by(who)
            .when(REMOVE)
            .then_nothing_new();
    }
}

#[test]
fn a_review_that_was_never_written_is_not_taken_back() {
    for who in [READER, ADMIN] {
        given::<Reviews>([])
            .by(who)
            .when(REMOVE)
            .then_refused(Refusal::NoSuchReview);
    }
}

#[test]
fn the_public_events_carry_no_words() {
    for told in [written(), Told::with(edited(2), words(Some("Lovely"))), removed()] {
        assert!(!serde_json::to_string(&told.event).unwrap().contains("Lovely"));
    }
}

fn anything() -> impl Strategy<Value = Command> {
    prop_oneof![
        (1..=10_u8, prop::bool::weighted(0.8)).prop_map(|(rating, bought)| write(rating, bought)),
        (
            prop::option::of(1..=10_u8),
            prop::option::of(prop::sample::select(vec!["Lovely", "Dull"]))
        )
            .prop_map(|(rating, content)| edit(rating, content)),
        Just(REMOVE),
    ]
}

proptest! {
    /// So whoever keeps an average needs the events alone.
    #[test]
    fn the_told_ratings_add_up_to_the_rating_there_is(moves in prop::collection::vec((anybody(), anything()), 0..40)) {
        let steps = play::<Reviews, _>(&moves, |_, (actor, command)| (actor.unwrap_or(READER), command.clone()));
        let (mut sum, mut count) = (0, 0);
        for step in steps {
            match step.told.event {
                Event::ReviewWritten { rating, .. } => {
                    sum += rating.halves();
                    count += 1;
                }
                Event::ReviewEdited { before, rating, .. } => sum = sum + rating.halves() - before.halves(),
                Event::ReviewRemoved { before, .. } => {
                    sum -= before.halves();
                    count -= 1;
                }
            }
            let there_is = step.after.rating.map(HalfStars::halves);
            prop_assert_eq!(sum, there_is.unwrap_or_default());
            prop_assert_eq!(count, usize::from(there_is.is_some()));
        }
    }
}
