//! What operators ask about dead letters.

use std::time::Duration;

use futures_util::FutureExt;
use maru_schemas::letters::{Discard, Listing, Replay, Which};
use maru_schemas::replays::Replays;
use maru_streams::desk::{Desk, DeskError};
use maru_streams::letters::{Because, Letters};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

/// How many replays are listed if nobody says, and at the most.
const USUAL: usize = 20;
const MOST: usize = 1000;
/// How often a replay that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What people may do about what lanes gave up on. `lanes`: those of this build.
pub(super) fn answers(desk: Desk, letters: Letters, lanes: Vec<String>) -> Desk {
    let (to_list, to_show, to_replay) = (letters.clone(), letters.clone(), letters.clone());
    let desk = replays(desk, &letters);
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

/// How replays stand, and waiting for one.
fn replays(desk: Desk, letters: &Letters) -> Desk {
    let (to_list, to_show, to_wait) = (letters.clone(), letters.clone(), letters.clone());
    desk.answers("dead_letters.replays", move |question, _| {
        let letters = to_list.clone();
        async move {
            let limit: Option<usize> = read(question["limit"].clone())?;
            let replays = letters.replays(limit.unwrap_or(USUAL).clamp(1, MOST)).await;
            answer(replays.map(|items| Replays { items }))
        }
        .boxed()
    })
    .answers("dead_letters.replay_status", move |question, _| {
        let letters = to_show.clone();
        async move {
            let replay = which_replay(&question)?;
            let shown = letters
                .show_replay(replay)
                .await
                .map_err(|error| DeskError::failed(&error))?;
            answer(Ok::<_, DeskError>(shown.ok_or_else(|| no_such_replay(replay))?))
        }
        .boxed()
    })
    .answers("dead_letters.replay_wait", move |question, progress| {
        let letters = to_wait.clone();
        async move {
            let replay = which_replay(&question)?;
            loop {
                let stands = letters.replaying(replay).await;
                let stands = stands.map_err(|error| DeskError::failed(&error))?;
                let stands = stands.ok_or_else(|| no_such_replay(replay))?;
                if stands.finished.is_some() {
                    return answer(Ok::<_, DeskError>(stands));
                }
                progress.say(answer(Ok::<_, DeskError>(stands))?);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        .boxed()
    })
}

fn which_replay(question: &Value) -> Result<Uuid, DeskError> {
    let id = question["replay"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    id.ok_or_else(|| DeskError::Question("say which replay, by its id (a UUID)".to_owned()))
}

fn no_such_replay(replay: Uuid) -> DeskError {
    DeskError::NotThere(format!(
        "there is no replay {replay}; `maru dead-letters replays` lists those of the last weeks"
    ))
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
