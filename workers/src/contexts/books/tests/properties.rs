//! What holds of a book whatever is asked of it, by whom and in which order.

use std::collections::HashMap;

use maru_schemas::books::{Book, Command, Event, Status, WorkStatus};
use maru_schemas::envelope::Actor;
use maru_schemas::ids::JobId;
use maru_streams::contract::Context;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::Books;
use super::{AUTHOR, create, edit, reports};
use crate::contexts::given::{SUBJECT, Step, anybody, play, standing};

const OTHER: JobId = JobId(Uuid::from_u128(0x07e4));

#[derive(Debug, Clone, Copy)]
enum Move {
    Create { publish: bool },
    Edit { words: [Option<u8>; 3], price: Option<u32> },
    Publish,
    Withdraw,
    AskStory { image: bool },
    AskImage,
    Cancel { story: bool },
    Report { which: usize, current: bool, attempt: u32 },
}

impl Move {
    fn command(self, book: &Book) -> Command {
        match self {
            Self::Create { publish } => create(if publish { "Once upon a time" } else { "" }, publish),
            Self::Edit { words, price } => {
                let words = words.map(|word| word.map(|word| format!("Word {word}")));
                edit(words.each_ref().map(Option::as_deref), price)
            }
            Self::Publish => Command::PublishBook {},
            Self::Withdraw => Command::WithdrawBook {},
            Self::AskStory { image } => Command::RequestStory { synopsis: None, image },
            Self::AskImage => Command::RequestImage {},
            Self::Cancel { story: true } => Command::CancelStory {},
            Self::Cancel { story: false } => Command::CancelImage {},
            Self::Report {
                which,
                current,
                attempt,
            } => {
                let job = |work: Option<JobId>| work.filter(|_| current).unwrap_or(OTHER);
                reports(job(book.story.job), job(book.painting.job), attempt)[which].clone()
            }
        }
    }

    /// Who may.
    const fn actor(self) -> Actor {
        match self {
            Self::Report { .. } => Actor::System,
            _ => AUTHOR,
        }
    }
}

fn one() -> impl Strategy<Value = Move> {
    let words = prop::array::uniform3(prop::option::of(0..3_u8));
    prop_oneof![
        1 => any::<bool>().prop_map(|publish| Move::Create { publish }),
        4 => (words, prop::option::of(0..3_u32)).prop_map(|(words, price)| Move::Edit { words, price }),
        2 => Just(Move::Publish),
        1 => Just(Move::Withdraw),
        4 => any::<bool>().prop_map(|image| Move::AskStory { image }),
        4 => Just(Move::AskImage),
        2 => any::<bool>().prop_map(|story| Move::Cancel { story }),
        16 => (0..6_usize, prop::bool::weighted(0.8), 1..5_u32)
            .prop_map(|(which, current, attempt)| Move::Report { which, current, attempt }),
    ]
}

/// By whom (none: by who may), and what.
type Asked = (Option<Actor>, Move);

/// A book that is begun without a story, and everything after.
fn moves() -> impl Strategy<Value = Vec<Asked>> {
    prop::collection::vec((anybody(), one()), 0..40).prop_map(|mut moves| {
        moves.insert(0, (None, Move::Create { publish: false }));
        moves
    })
}

fn course(moves: &[Asked]) -> Vec<Step<Books>> {
    play::<Books, _>(moves, |book, (actor, next)| {
        (actor.unwrap_or(next.actor()), next.command(book))
    })
}

proptest! {
    #[test]
    fn editions_are_counted_without_a_gap(moves in moves()) {
        for Step { before, told, after } in course(&moves) {
            prop_assert!((before.edition..=before.edition + 1).contains(&after.edition), "{told:?}");
        }
    }

    #[test]
    fn an_edition_once_made_never_changes(moves in moves()) {
        let mut kept = HashMap::new();
        for step in course(&moves) {
            for row in Books::keeps(SUBJECT, &step.after, &step.told) {
                let first = kept.entry(row.key).or_insert_with(|| row.doc.clone());
                prop_assert_eq!(&*first, &row.doc);
            }
        }
    }

    #[test]
    fn a_late_report_changes_nothing(moves in moves()) {
        let mut seen = vec![OTHER];
        for Step { told, after, .. } in course(&moves) {
            if let Event::StoryRequested { job, .. } | Event::ImageRequested { job } = told.event {
                seen.push(job);
            }
            let current = [after.story.job, after.painting.job];
            for late in seen.iter().filter(|job| !current.contains(&Some(**job))) {
                for report in reports(*late, *late, 9) {
                    standing::<Books>(after.clone()).when(report).then_nothing_new();
                }
            }
        }
    }

    #[test]
    fn a_book_goes_from_draft_to_published_to_withdrawn(moves in moves()) {
        for Step { before, told, after } in course(&moves) {
            let goes_on = match before.status {
                Status::Draft => true,
                Status::Published => after.status != Status::Draft,
                Status::Withdrawn => after.status == Status::Withdrawn,
            };
            prop_assert!(goes_on, "{told:?}");
            prop_assert!(after.status != Status::Published || !after.contents.is_empty(), "{told:?}");
        }
    }

    #[test]
    fn only_a_request_takes_up_work_that_is_ready(moves in moves()) {
        for Step { before, told, after } in course(&moves) {
            for (was, is) in [(&before.story, &after.story), (&before.painting, &after.painting)] {
                let asked_anew = is.status == WorkStatus::Requested;
                let called_off = is.status == WorkStatus::None;
                prop_assert!(was.status != WorkStatus::Ready || was == is || asked_anew, "{told:?}");
                prop_assert!(was.job == is.job || asked_anew || called_off, "{told:?}");
            }
        }
    }

    #[test]
    fn what_is_there_does_not_go_away_when_work_fails_or_is_called_off(moves in moves()) {
        for Step { before, told, after } in course(&moves) {
            use Event::{ImageCancelled, ImageFailed, StoryCancelled, StoryFailed};
            if matches!(told.event, StoryFailed { .. } | ImageFailed { .. } | StoryCancelled { .. } | ImageCancelled { .. }) {
                let said = |book: &Book| (book.contents.clone(), book.image, book.edition);
                prop_assert_eq!(said(&before), said(&after));
            }
        }
    }
}
