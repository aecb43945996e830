//! What operators ask about dead letters.

use futures_util::FutureExt;
use maru_schemas::letters::{Discard, Listing, Replay, Which};
use maru_streams::desk::{Desk, DeskError};
use maru_streams::letters::{Because, Letters};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What people may do about what lanes gave up on. `lanes`: those of this build.
pub(super) fn answers(desk: Desk, letters: Letters, lanes: Vec<String>) -> Desk {
    let (to_list, to_show, to_replay) = (letters.clone(), letters.clone(), letters.clone());
    desk.answers("dead_letters.list", move |question, _| {
        let letters = to_list.clone();
        async move {
            let listing: Listing = read(question)?;
            answer(letters.list(&listing).await)
        }
        .boxed()
    })
    .answers("dead_letters.show", move |question, _| {
        let letters = to_show.clone();
        async move {
            let number: u64 = read(question["letter"].clone())?;
            let found = letters
                .numbered(number)
                .await
                .map_err(|error| DeskError::failed(&error))?;
            let found = found.ok_or_else(|| DeskError::NotThere(format!("there is no dead letter {number}")))?;
            answer(Ok::<_, DeskError>(found.letter))
        }
        .boxed()
    })
    .answers("dead_letters.replay", move |question, progress| {
        let (letters, lanes) = (to_replay.clone(), lanes.clone());
        async move {
            let replay: Replay = read(question)?;
            says_something(&replay.which)?;
            if replay.dry_run {
                return answer(letters.dry_run(&replay.which, &lanes).await);
            }
            let told = |done, of| progress.say(json!({ "done": done, "of": of }));
            let Replay {
                which, per_second, by, ..
            } = &replay;
            answer(letters.replay(which, by, *per_second, &lanes, told).await)
        }
        .boxed()
    })
    .answers("dead_letters.discard", move |question, _| {
        let letters = letters.clone();
        async move {
            let discard: Discard = read(question)?;
            says_something(&discard.which)?;
            let because = Because::new(&discard.because)
                .ok_or_else(|| DeskError::Question("say why it is discarded; the reason is kept with it".to_owned()))?;
            answer(letters.discard(&discard.which, &discard.by, &because).await)
        }
        .boxed()
    })
}

fn says_something(which: &Which) -> Result<(), DeskError> {
    which.says_something().then_some(()).ok_or_else(|| {
        DeskError::Question("say which letters: by number, by lane, reason, kind or since, or all".to_owned())
    })
}

fn read<T: DeserializeOwned>(question: Value) -> Result<T, DeskError> {
    serde_json::from_value(question)
        .map_err(|error| DeskError::Question(format!("the question cannot be read: {error}")))
}

fn answer<E: std::error::Error>(answer: Result<impl Serialize, E>) -> Result<Value, DeskError> {
    let answer = answer.map_err(|error| DeskError::failed(&error))?;
    serde_json::to_value(answer).map_err(|error| DeskError::failed(&error))
}
