//! Replays: letters that are handed to their lanes again, as a [batch](crate::batches) with an end.
//!
//! A replay is stored with all its letters before the first of them is handed over. Whoever was asked hands
//! them over one by one; if that process dies, whoever sweeps goes on where it was. Where a replay stands is
//! read from the letters, which say in which replay they were handed over, and so nothing is handed over twice.
//!
//! A lane notes what came of a letter before it settles the pointer that brought it. What can come to nothing
//! by itself (a letter behind one that failed again) is noted by the sweep.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use maru_schemas::jobs::Job;
use maru_schemas::letters::{Done, Letter, Skipped, State, What, Which};
use maru_schemas::replays::{Came, Replayed, Replaying, Shown, mark};
use serde::{Deserialize, Serialize};
use tokio::time::Interval;
use uuid::Uuid;

use super::operate::{Left, may_replay};
use super::select::Chosen;
use super::{Found, LetterError, Letters};
use crate::batches::{Batch, Batches, Begin, Callback, Item, Noted};
use crate::publish::Outgoing;
use crate::store::StoreError;

/// What such a batch is called.
const REPLAY: &str = "replay";
/// How often whoever hands letters over says that they still do.
const WORD_EVERY: Duration = Duration::from_secs(5);
/// How soon an unfinished replay is looked at again: the more letters wait, the later.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const EACH: Duration = Duration::from_millis(5);
/// The most letters that are shown of a replay.
const MOST: usize = 1000;

const DIED_AWAY: &str = "it waits behind an earlier letter of its key that this replay does not settle; it follows by \
                         itself when that one is settled";

/// What a replay remembers of what was asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    which: Which,
    per_second: Option<NonZeroU32>,
}

/// Where a letter stands in a replay.
enum Step {
    /// It was handed over just now.
    Handed,
    /// It was handed over before, and nobody knows yet what comes of it.
    Waits,
    /// It waits behind another of its key.
    Behind(Box<Found>),
    /// It came to its end.
    Came(Came),
    /// It is left as it is.
    Left(String),
}

fn about(batch: &Batch) -> Result<About, LetterError> {
    Ok(serde_json::from_value(batch.about.clone()).map_err(StoreError::Row)?)
}

fn status(batch: Batch) -> Result<Replaying, LetterError> {
    let About { which, per_second } = about(&batch)?;
    let [done, refused, dead, skipped] = batch.counts;
    Ok(Replaying {
        id: batch.id,
        by: batch.by,
        which,
        per_second,
        began: batch.began,
        finished: batch.finished,
        of: batch.of,
        done,
        refused,
        dead,
        skipped,
    })
}

fn ticks(per_second: Option<NonZeroU32>) -> Option<Interval> {
    per_second.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate.get()))
}

impl Letters {
    /// The batches of this installation.
    #[must_use]
    pub const fn batches(&self) -> &Batches {
        &self.batches
    }

    /// Hands letters to their lanes again, at most so many a second. What waits behind one of them follows
    /// by itself. `lanes`: the lanes of this build. `told` hears which replay it is, and how many of how many are done with.
    ///
    /// # Errors
    /// When letters cannot be read or appended to. A replay that began by then goes on by itself.
    pub async fn replay(
        &self,
        which: &Which,
        by: &str,
        per_second: Option<NonZeroU32>,
        lanes: &[String],
        mut told: impl FnMut(Uuid, usize, usize) + Send,
    ) -> Result<Done, LetterError> {
        let (chosen, skipped) = self.choose(which).await?;
        let mut done = Done {
            skipped,
            ..Done::default()
        };
        if chosen.is_empty() {
            return Ok(done);
        }
        let items: Vec<Item> = chosen.iter().map(item).collect();
        let id = self.begin(which, by, per_second, &items).await?;
        done.replay = Some(id);
        let mut ticks = ticks(per_second);
        let mut said = Instant::now();
        let of = items.len();
        told(id, 0, of);
        for (nth, (item, Chosen { line, .. })) in (1..).zip(items.iter().zip(&chosen)) {
            // Of those meant by what they have in common, successors follow without being asked.
            if line.state == State::Behind && !which.letters.contains(&line.number) {
                continue;
            }
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            if said.elapsed() > WORD_EVERY {
                said = Instant::now();
                self.batches.still_here(id).await?;
            }
            let step = self.hand_over(id, by, item, lanes).await?;
            let step = match step {
                Step::Behind(found) => self.hand_over_first(id, by, &found, lanes).await?,
                step => step,
            };
            match &step {
                Step::Handed | Step::Waits | Step::Came(_) => done.replayed.push(item.number),
                Step::Left(why) => done.skipped.push(Skipped {
                    number: item.number,
                    why: why.clone(),
                }),
                Step::Behind(_) => {}
            }
            self.note_step(id, item, &step).await?;
            told(id, nth, of);
        }
        self.batches.claim(id, LOOK_AGAIN).await?;
        Ok(done)
    }

    async fn begin(
        &self,
        which: &Which,
        by: &str,
        per_second: Option<NonZeroU32>,
        items: &[Item],
    ) -> Result<Uuid, LetterError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a replay begins here, once, at an operator's word"
        )]
        let id = Uuid::now_v7();
        let about = About {
            which: which.clone(),
            per_second,
        };
        let begin = Begin {
            id,
            what: REPLAY,
            by: by.to_owned(),
            about: serde_json::to_value(about)?,
            callback: Callback::job(&Job::ConcludeReplay { replay: id })?,
        };
        self.batches.begin(&begin, items).await?;
        tracing::info!(replay = %id, letters = items.len(), by, "a replay of dead letters begins");
        Ok(id)
    }

    /// Hands a letter to its lane, unless it was handed over in this replay before or must not be.
    async fn hand_over(&self, replay: Uuid, by: &str, item: &Item, lanes: &[String]) -> Result<Step, LetterError> {
        // Whoever else decides about it at the same moment changes what is read the next time.
        for _ in 0..3 {
            let Some(found) = self.newest(&item.lane, item.message).await? else {
                return Ok(Step::Left("it is not there any more".to_owned()));
            };
            let letter = &found.letter;
            if let Some(came) = letter.came_in(replay) {
                return Ok(Step::Came(came));
            }
            if letter.is_handed_over_in(replay) {
                return Ok(Step::Waits);
            }
            if letter.state == State::Behind {
                return Ok(Step::Behind(Box::new(found)));
            }
            if let Err(Left(why)) = may_replay(&found, true, lanes) {
                return Ok(Step::Left(why));
            }
            if self.append_replayed(replay, by, &found).await? {
                return Ok(Step::Handed);
            }
        }
        Ok(Step::Left(
            "somebody else decided about it at this moment; look at it again".to_owned(),
        ))
    }

    /// The same for a letter that waited behind another one, if it is first now.
    async fn hand_over_first(
        &self,
        replay: Uuid,
        by: &str,
        found: &Found,
        lanes: &[String],
    ) -> Result<Step, LetterError> {
        if let Err(Left(why)) = may_replay(found, self.is_first(found).await?, lanes) {
            return Ok(Step::Left(why));
        }
        Ok(match self.append_replayed(replay, by, found).await? {
            true => Step::Handed,
            // Its lane released it meanwhile; the next look tells.
            false => Step::Waits,
        })
    }

    async fn append_replayed(&self, replay: Uuid, by: &str, found: &Found) -> Result<bool, LetterError> {
        let mut entry = self.entry(What::Replayed, by);
        entry.detail = mark(replay);
        let is_ours = self
            .append_and_redo(found, State::Replaying, entry, Some(replay))
            .await?;
        if is_ours {
            tracing::info!(letter = found.letter.number, lane = %found.letter.lane, by, %replay, "replayed");
        }
        Ok(is_ours)
    }

    async fn note_step(&self, replay: Uuid, item: &Item, step: &Step) -> Result<(), LetterError> {
        let Item { lane, message, .. } = item;
        match step {
            Step::Handed | Step::Waits | Step::Behind(_) => {}
            Step::Came(came) => self.batches.note(replay, lane, *message, *came).await?,
            Step::Left(why) => {
                self.batches
                    .note_why(replay, lane, *message, Came::Skipped, Some(why))
                    .await?;
            }
        }
        Ok(())
    }

    /// Brings an unfinished replay further: hands over what is not yet, and notes what came to its end without
    /// a lane to say so. Returns when it is worth looking again.
    ///
    /// # Errors
    /// When letters or database do not answer.
    pub(crate) async fn carry_on(&self, id: Uuid, lanes: &[String]) -> Result<Duration, LetterError> {
        let Some(batch) = self.batches.get(id).await? else {
            return Ok(LOOK_AGAIN);
        };
        if batch.finished.is_some() || batch.what != REPLAY {
            return Ok(LOOK_AGAIN);
        }
        let pending: Vec<Item> = self.batches.items(id).await?.into_iter().filter_map(waiting).collect();
        if pending.is_empty() {
            // Its rows are gone, so nobody will ever know.
            self.batches.give_the_rest_up(id).await?;
            return Ok(LOOK_AGAIN);
        }
        let mut ticks = ticks(about(&batch)?.per_second);
        let mut said = Instant::now();
        // Those whose successors may still be released by their lane.
        let mut heads: BTreeSet<(String, Option<Uuid>)> = BTreeSet::new();
        let mut behind: HashMap<Uuid, Found> = HashMap::new();
        for item in &pending {
            if said.elapsed() > WORD_EVERY {
                said = Instant::now();
                self.batches.still_here(id).await?;
            }
            let step = self.hand_over(id, &batch.by, item, lanes).await?;
            self.note_step(id, item, &step).await?;
            match step {
                Step::Behind(found) => {
                    behind.insert(item.message, *found);
                }
                Step::Handed | Step::Waits | Step::Came(Came::Done | Came::Refused) => {
                    if let Some(found) = self.newest(&item.lane, item.message).await? {
                        heads.insert((item.lane.clone(), found.letter.key));
                    }
                    if let (Step::Handed, Some(ticks)) = (&step, &mut ticks) {
                        ticks.tick().await;
                    }
                }
                Step::Came(_) | Step::Left(_) => {}
            }
        }
        for item in &pending {
            let Some(found) = behind.get(&item.message) else {
                continue;
            };
            if heads.contains(&(item.lane.clone(), found.letter.key)) {
                continue;
            }
            let step = match self.hand_over_first(id, &batch.by, found, lanes).await? {
                Step::Left(_) => Step::Left(DIED_AWAY.to_owned()),
                step => {
                    heads.insert((item.lane.clone(), found.letter.key));
                    step
                }
            };
            self.note_step(id, item, &step).await?;
        }
        Ok(LOOK_AGAIN + EACH * u32::try_from(pending.len()).unwrap_or(u32::MAX))
    }

    /// How a replay stands; none if there is no such replay any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replaying(&self, id: Uuid) -> Result<Option<Replaying>, LetterError> {
        let batch = self.batches.get(id).await?.filter(|batch| batch.what == REPLAY);
        batch.map(status).transpose()
    }

    /// The newest replays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replays(&self, limit: usize) -> Result<Vec<Replaying>, LetterError> {
        let batches = self.batches.newest(REPLAY, limit).await?;
        batches.into_iter().map(status).collect()
    }

    /// A replay with its letters, those first that somebody may have to look at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn show_replay(&self, id: Uuid) -> Result<Option<Shown>, LetterError> {
        let Some(replay) = self.replaying(id).await? else {
            return Ok(None);
        };
        let mut letters: Vec<Replayed> = self.batches.items(id).await?.into_iter().map(shown).collect();
        letters.sort_by_key(|letter| match letter.came {
            Some(Came::Dead | Came::Skipped) => 0,
            None => 1,
            Some(Came::Refused) => 2,
            Some(Came::Done) => 3,
        });
        letters.truncate(MOST);
        Ok(Some(Shown { replay, letters }))
    }

    /// Writes down for good, beside the letters, what came of a replay that is finished. Twice is once.
    ///
    /// # Errors
    /// When the database does not answer, or DEAD takes nothing.
    pub async fn conclude(&self, id: Uuid) -> Result<Option<Replaying>, LetterError> {
        let Some(replay) = self.replaying(id).await? else {
            tracing::warn!(replay = %id, "a replay that is finished is not known any more");
            return Ok(None);
        };
        let message = Outgoing {
            subject: format!("replay.{id}"),
            headers: vec![("content-type", "application/json".to_owned())],
            body: serde_json::to_vec(&replay)?.into(),
            expects: Some(0),
        };
        self.dead.publish(message).await?;
        let Replaying {
            by,
            of,
            done,
            refused,
            dead,
            skipped,
            ..
        } = &replay;
        tracing::info!(replay = %id, by, of, done, refused, dead, skipped, "a replay of dead letters is finished");
        Ok(Some(replay))
    }
}

fn item(chosen: &Chosen) -> Item {
    Item {
        lane: chosen.line.lane.clone(),
        message: chosen.line.message,
        number: chosen.line.number,
    }
}

fn waiting(noted: Noted) -> Option<Item> {
    noted.came.is_none().then_some(noted.item)
}

fn shown(noted: Noted) -> Replayed {
    let Item { lane, message, number } = noted.item;
    Replayed {
        number,
        lane,
        message,
        came: noted.came,
        why: noted.why,
    }
}

/// What came of a letter in the replay that brought it, as far as it says so.
pub(crate) fn came_in(letter: &Letter, replay: Option<Uuid>) -> Option<Came> {
    letter.came_in(replay?)
}
