//! What operators ask about dead letters.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use maru_schemas::letters::{Discard, Done, Listing, Replay, Shown, Which};
use maru_schemas::replays::Replays;
use maru_streams::desk::{Desk, DeskError};
use maru_streams::letters::{Because, Letters, is_lane};
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
    let (known, to_replay_in) = (Arc::new(Known(lanes.clone())), lanes);
    let (to_list_of, to_discard_of, to_replay_of) = (Arc::clone(&known), Arc::clone(&known), known);
    let desk = replays(desk, &letters);
    desk.answers("dead_letters.list", move |question, _| {
        let (letters, known) = (to_list.clone(), Arc::clone(&to_list_of));
        async move {
            let listing: Listing = read(question)?;
            let page = letters
                .list(&listing)
                .await
                .map_err(|error| DeskError::failed(&error))?;
            known.unless(
                !page.items.is_empty() || listing.cursor.is_some(),
                listing.lane.as_deref(),
            )?;
            answer(Ok::<_, DeskError>(page))
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
            let behind = letters.behind(&found.letter).await;
            let behind = behind.map_err(|error| DeskError::failed(&error))?;
            answer(Ok::<_, DeskError>(Shown {
                letter: found.letter,
                behind,
            }))
        }
        .boxed()
    })
    .answers("dead_letters.replay", move |question, progress| {
        let (letters, lanes, known) = (to_replay.clone(), to_replay_in.clone(), Arc::clone(&to_replay_of));
        async move {
            let replay: Replay = read(question)?;
            says_something(&replay.which)?;
            let failed = |error| DeskError::failed(&error);
            if replay.dry_run {
                let done = letters.dry_run(&replay.which, &lanes).await.map_err(failed)?;
                known.unless(found_any(&done), replay.which.lane.as_deref())?;
                return answer(Ok::<_, DeskError>(done));
            }
            let lane = replay.which.lane.clone();
            // On its own: it goes on though whoever asked does not wait for its end.
            let replaying = tokio::spawn(async move {
                let told = |id, done, of| progress.say(json!({ "replay": id, "done": done, "of": of }));
                let Replay {
                    which, per_second, by, ..
                } = &replay;
                letters.replay(which, by, *per_second, &lanes, told).await
            });
            let done = replaying
                .await
                .map_err(|error| DeskError::failed(&error))?
                .map_err(failed)?;
            known.unless(found_any(&done), lane.as_deref())?;
            answer(Ok::<_, DeskError>(done))
        }
        .boxed()
    })
    .answers("dead_letters.discard", move |question, _| {
        let (letters, known) = (letters.clone(), Arc::clone(&to_discard_of));
        async move {
            let discard: Discard = read(question)?;
            says_something(&discard.which)?;
            let because = Because::new(&discard.because)
                .ok_or_else(|| DeskError::Question("say why it is discarded; the reason is kept with it".to_owned()))?;
            let done = letters.discard(&discard.which, &discard.by, &because).await;
            let done = done.map_err(|error| DeskError::failed(&error))?;
            known.unless(found_any(&done), discard.which.lane.as_deref())?;
            answer(Ok::<_, DeskError>(done))
        }
        .boxed()
    })
}

/// The lanes of this build. There may be letters of others.
struct Known(Vec<String>);

impl Known {
    /// Nothing was found of a lane that nobody knows: then the name is wrong, and "nothing" would be no answer.
    fn unless(&self, found_any: bool, wanted: Option<&str>) -> Result<(), DeskError> {
        let Some(wanted) = wanted else { return Ok(()) };
        if found_any || self.0.iter().any(|lane| is_lane(wanted, lane)) {
            return Ok(());
        }
        let lanes = self.0.join(", ");
        Err(DeskError::NotThere(format!(
            "there is no lane `{wanted}`, and no letter that would fit; there are {lanes}"
        )))
    }
}

fn found_any(done: &Done) -> bool {
    let Done {
        replay,
        would_replay,
        replayed,
        discarded,
        skipped,
    } = done;
    let is_empty = would_replay.is_empty() && replayed.is_empty() && discarded.is_empty() && skipped.is_empty();
    replay.is_some() || !is_empty
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
