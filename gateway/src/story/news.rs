//! What is new for somebody who reads a story along: pure, from the place where they are and what there is.

use axum::response::sse::Event;
use maru_schemas::books::{Book, WorkStatus};
use maru_schemas::ids;
use maru_schemas::jobs::FailureCode;
use serde_json::json;
use uuid::Uuid;

/// How much of a text a reader has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    characters: usize,
    digest: Uuid,
}

impl Place {
    pub(super) fn behind(text: &str) -> Self {
        Self {
            characters: text.chars().count(),
            digest: ids::named("story", text),
        }
    }

    pub(super) fn parse(id: &str) -> Option<Self> {
        let (characters, digest) = id.split_once('-')?;
        Some(Self {
            characters: characters.parse().ok()?,
            digest: digest.parse().ok()?,
        })
    }

    /// What comes behind it in a text; None if the text does not begin with what the reader has.
    fn rest(self, text: &str) -> Option<&str> {
        let at = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        let (begun, rest) = text.split_at(at.into_iter().nth(self.characters)?);
        (Self::behind(begun) == self).then_some(rest)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.characters, self.digest.simple())
    }
}

/// What a reader is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Text(String),
    Restart,
    Done,
    Failed(Option<FailureCode>),
    Cancelled,
}

impl Word {
    pub(super) const fn is_last(&self) -> bool {
        matches!(self, Self::Done | Self::Failed(_) | Self::Cancelled)
    }

    pub(super) fn event(self, place: Place) -> Event {
        let (name, data) = match self {
            Self::Text(text) => ("text", json!({ "text": text })),
            Self::Restart => ("restart", json!({})),
            Self::Done => ("done", json!({ "characters": place.characters })),
            Self::Failed(code) => ("failed", json!({ "code": code })),
            Self::Cancelled => ("cancelled", json!({})),
        };
        Event::default()
            .event(name)
            .id(place.to_string())
            .data(data.to_string())
    }
}

/// What is new for a reader at `place`, each with the place behind it.
pub(super) fn news(place: Place, book: &Book, partial: Option<&str>) -> Vec<(Word, Place)> {
    let text = match book.story.status {
        WorkStatus::None => return vec![(Word::Cancelled, place)],
        WorkStatus::Failed => return vec![(Word::Failed(book.story.code), place)],
        WorkStatus::Ready => book.contents.as_str(),
        // Without the blanks at its end, which the finished story may not have.
        WorkStatus::Generating | WorkStatus::Requested => match partial {
            Some(text) => text.trim_end(),
            None if book.story.status == WorkStatus::Requested => "",
            // Between the last word and the book that has them all.
            None => return Vec::new(),
        },
    };
    let mut words = Vec::new();
    let rest = place.rest(text).unwrap_or_else(|| {
        words.push((Word::Restart, Place::behind("")));
        text
    });
    let behind = Place::behind(text);
    if !rest.is_empty() {
        words.push((Word::Text(rest.to_owned()), behind));
    }
    if book.story.status == WorkStatus::Ready {
        words.push((Word::Done, behind));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(status: WorkStatus) -> Book {
        let mut book = Book::default();
        book.story.status = status;
        book
    }

    /// What a reader has after all this.
    fn read(mut has: String, words: Vec<(Word, Place)>) -> String {
        for (word, place) in words {
            match word {
                Word::Text(text) => has.push_str(&text),
                Word::Restart => has.clear(),
                Word::Done | Word::Failed(_) | Word::Cancelled => {}
            }
            assert_eq!(place, Place::behind(&has), "the id says what the reader has");
        }
        has
    }

    #[test]
    fn a_reader_gets_what_is_new_and_nothing_twice() {
        let writing = book(WorkStatus::Generating);
        let place = Place::behind("옛날");
        assert_eq!(news(place, &writing, Some("옛날 ")), []);
        let behind = Place::behind("옛날 옛적에");
        assert_eq!(
            news(place, &writing, Some("옛날 옛적에 ")),
            [(Word::Text(" 옛적에".into()), behind)]
        );
    }

    #[test]
    fn between_the_last_word_and_the_finished_book_a_reader_waits() {
        let place = Place::behind("Once upon");
        assert_eq!(news(place, &book(WorkStatus::Generating), None), []);
        let mut ready = book(WorkStatus::Ready);
        ready.contents = "Once upon a time.".into();
        let end = Place::behind("Once upon a time.");
        let words = [(Word::Text(" a time.".into()), end), (Word::Done, end)];
        assert_eq!(news(place, &ready, None), words);
        assert_eq!(news(end, &ready, None), [(Word::Done, end)]);
    }

    #[test]
    fn a_story_begun_anew_or_asked_for_anew_says_so() {
        let place = Place::behind("Once upon");
        let restart = (Word::Restart, Place::behind(""));
        assert_eq!(
            news(place, &book(WorkStatus::Generating), Some("")),
            vec![restart.clone()]
        );
        assert_eq!(news(place, &book(WorkStatus::Requested), None), vec![restart.clone()]);
        let other = Place::behind("Far away and long ago");
        let words = [restart, (Word::Text("Far away and long ago".into()), other)];
        assert_eq!(
            news(place, &book(WorkStatus::Generating), Some("Far away and long ago")),
            words
        );
    }

    #[test]
    fn what_was_given_up_or_called_off_ends_it() {
        let place = Place::behind("Once");
        let mut failed = book(WorkStatus::Failed);
        failed.story.code = Some(FailureCode::ProviderUnavailable);
        let word = Word::Failed(Some(FailureCode::ProviderUnavailable));
        assert_eq!(news(place, &failed, None), [(word, place)]);
        assert_eq!(news(place, &book(WorkStatus::None), None), [(Word::Cancelled, place)]);
    }

    #[test]
    fn wherever_a_reader_was_the_text_is_whole_afterwards() {
        let stories = ["", "a", "옛날 🐋 옛적에", " Once\n\nupon a time. "];
        for (story, other) in stories.iter().flat_map(|story| stories.map(|other| (story, other))) {
            let mut ready = book(WorkStatus::Ready);
            ready.contents = story.trim().to_owned();
            for (cut, _) in story.trim_start().char_indices() {
                let partial = &story.trim_start()[..cut];
                let words = news(Place::behind(other), &book(WorkStatus::Generating), Some(partial));
                let has = read(other.to_owned(), words);
                assert_eq!(has, partial.trim_end());
                let words = news(Place::behind(&has), &ready, None);
                assert!(!words.iter().any(|(word, _)| *word == Word::Restart), "{words:?}");
                assert_eq!(read(has, words), ready.contents);
            }
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is() {
        for text in ["", "a", "옛날 🐋"] {
            let place = Place::behind(text);
            assert_eq!(Place::parse(&place.to_string()), Some(place));
        }
        for odd in ["", "7", "-", "yesterday", "7-x", "x-00000000000000000000000000000000"] {
            assert_eq!(Place::parse(odd), None, "{odd}");
        }
    }
}
