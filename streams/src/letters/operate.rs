//! What operators may do: list, show, replay, discard. Each decision is one append to the letter, by name,
//! and everything that follows from it is done by the letter's lane.

use maru_schemas::letters::{Done, Entry, Listing, Page, Replayable, Skipped, State, What, Which};
use maru_schemas::replays::mark;
use maru_schemas::words::readable;
use uuid::Uuid;

use super::parked::{Foremost, Place};
use super::select::{Chosen, in_order, is_listed, is_meant};
use super::{Found, LetterError, Letters};

/// The most letters on a page, and how many there are if nobody says.
const MOST: usize = 1000;
const USUAL: usize = 50;

/// Why a letter is discarded, in somebody's own words. There is always a reason.
#[derive(Debug, Clone)]
pub struct Because(String);

impl Because {
    /// A reason; none if nothing is said.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.chars().take(1000).collect()))
    }
}

/// Something other than what was asked for came of a letter.
pub(super) struct Left(pub(super) String);

impl Letters {
    /// A page of letters, in the order in which they died.
    ///
    /// # Errors
    /// When DEAD cannot be read.
    pub async fn list(&self, listing: &Listing) -> Result<Page, LetterError> {
        let limit = listing.limit.unwrap_or(USUAL).clamp(1, MOST);
        let mut lines = std::collections::BTreeMap::new();
        self.each(|found| {
            if is_listed(listing, &found.letter) {
                lines.insert(found.letter.number, found.letter.line());
                // One more than the page holds tells that there is a next one.
                if lines.len() > limit + 1 {
                    lines.pop_last();
                }
            }
        })
        .await?;
        let has_more = lines.len() > limit;
        let items: Vec<_> = lines.into_values().take(limit).collect();
        Ok(Page {
            next: items.last().map(|line| line.number).filter(|_| has_more),
            items,
        })
    }

    /// The letters that are meant, in order, and those named ones that are not there.
    pub(super) async fn choose(&self, which: &Which) -> Result<(Vec<Chosen>, Vec<Skipped>), LetterError> {
        let (mut chosen, mut skipped) = (Vec::new(), Vec::new());
        for number in &which.letters {
            match self.numbered(*number).await? {
                Some(found) if is_meant(which, &found.letter) || !found.letter.state.is_open() => {
                    chosen.push(Chosen::from(found));
                }
                Some(_) => skipped.push(Skipped {
                    number: *number,
                    why: "it is not what the filter asks for".to_owned(),
                }),
                None => skipped.push(Skipped {
                    number: *number,
                    why: "there is no letter with this number".to_owned(),
                }),
            }
        }
        if which.letters.is_empty() && which.says_something() {
            self.each(|found| {
                if is_meant(which, &found.letter) {
                    chosen.push(Chosen::from(found));
                }
            })
            .await?;
        }
        Ok((in_order(chosen), skipped))
    }

    /// What would be replayed, in which order, and whether this build can read each. Changes nothing.
    /// `lanes`: the lanes of this build.
    ///
    /// # Errors
    /// When letters or their bodies cannot be read.
    pub async fn dry_run(&self, which: &Which, lanes: &[String]) -> Result<Done, LetterError> {
        let (chosen, skipped) = self.choose(which).await?;
        let mut done = Done {
            skipped,
            ..Done::default()
        };
        let mut head = None;
        for Chosen { line, .. } in chosen {
            let Some(found) = self.newest(&line.lane, line.message).await? else {
                continue;
            };
            let follows = (line.state == State::Behind).then_some(head).flatten();
            if follows.is_none() {
                if let Err(Left(why)) = may_replay(&found, self.is_first(&found).await?, lanes) {
                    let number = line.number;
                    done.skipped.push(Skipped { number, why });
                    head = None;
                    continue;
                }
                head = Some(line.number);
            }
            let why = match self.body(&found.letter).await? {
                Some(body) => readable(&line.kind, &body).err().map(|why| why.to_string()),
                None => Some("its body is nowhere any more".to_owned()),
            };
            done.would_replay.push(Replayable {
                number: line.number,
                lane: line.lane,
                kind: line.kind,
                follows,
                is_readable: why.is_none(),
                why,
            });
        }
        Ok(done)
    }

    /// Decides that letters shall not take effect. What waits behind one of them is released, unless it is
    /// discarded too.
    ///
    /// # Errors
    /// When letters cannot be read or appended to. What was discarded by then is; asking again goes on.
    pub async fn discard(&self, which: &Which, by: &str, because: &Because) -> Result<Done, LetterError> {
        let (chosen, skipped) = self.choose(which).await?;
        let mut done = Done {
            skipped,
            ..Done::default()
        };
        // The last first, so that a head does not release what is to go too.
        for Chosen { line, .. } in chosen.into_iter().rev() {
            let number = line.number;
            let entry = Entry {
                reason: "discarded".to_owned(),
                detail: because.0.clone(),
                ..self.entry(What::Discarded, by)
            };
            match self.decide(&line, may_discard, State::Discarded, entry).await? {
                Ok(()) => {
                    tracing::warn!(letter = number, lane = %line.lane, by, "discarded");
                    done.discarded.push(number);
                }
                Err(Left(why)) => done.skipped.push(Skipped { number, why }),
            }
        }
        Ok(done)
    }

    /// Replays what stood behind others and is first now. Nothing if it is not waiting for that.
    /// `replay`: in which the one before it was.
    pub(crate) async fn release(&self, found: &Found, replay: Option<Uuid>) -> Result<bool, LetterError> {
        if found.letter.state != State::Behind {
            return Ok(false);
        }
        let mut entry = self.entry(What::Replayed, super::LANE);
        entry.detail = replay.map(mark).unwrap_or_default();
        self.append_and_redo(found, State::Replaying, entry, replay).await
    }

    /// Whether nothing of its key stands before a letter any more. One that waits is released at once then,
    /// unless the database has lost the row that said so.
    pub(super) async fn is_first(&self, found: &Found) -> Result<bool, LetterError> {
        let letter = &found.letter;
        let Some(key) = letter.key.filter(|_| letter.state == State::Behind) else {
            return Ok(true);
        };
        let place = Place {
            lane: letter.lane.clone(),
            key,
            seq: letter.seq,
            message: letter.message,
        };
        Ok(match self.foremost(&place).await? {
            None => true,
            Some(Foremost::Message(seq)) => seq >= letter.seq,
            Some(Foremost::Letter(first)) => first.letter.seq >= letter.seq,
        })
    }

    async fn decide(
        &self,
        line: &maru_schemas::letters::Line,
        may: impl Fn(&Found) -> Result<(), Left>,
        state: State,
        entry: Entry,
    ) -> Result<Result<(), Left>, LetterError> {
        let Some(found) = self.newest(&line.lane, line.message).await? else {
            return Ok(Err(Left("it is not there any more".to_owned())));
        };
        if let Err(left) = may(&found) {
            return Ok(Err(left));
        }
        let is_ours = self.append_and_redo(&found, state, entry, None).await?;
        Ok(is_ours
            .then_some(())
            .ok_or_else(|| Left("somebody else decided about it at this moment; look at it again".to_owned())))
    }
}

pub(super) fn may_replay(found: &Found, is_first: bool, lanes: &[String]) -> Result<(), Left> {
    let letter = &found.letter;
    match letter.state {
        State::Dead | State::Behind if !lanes.contains(&letter.lane) => {
            Err(Left(format!("this build has no lane {}", letter.lane)))
        }
        State::Dead => Ok(()),
        State::Behind if is_first => Ok(()),
        State::Behind => Err(Left(
            "it waits behind an earlier letter of its key; replay or discard that one, and it follows by itself"
                .to_owned(),
        )),
        State::Replaying => Err(Left("it is being replayed".to_owned())),
        State::Resolved => Err(Left("it took effect already".to_owned())),
        State::Discarded => Err(Left("it was discarded".to_owned())),
    }
}

fn may_discard(found: &Found) -> Result<(), Left> {
    match found.letter.state {
        State::Dead | State::Behind => Ok(()),
        State::Replaying => Err(Left("it is being replayed; wait until its lane has done so".to_owned())),
        State::Resolved => Err(Left("it took effect already".to_owned())),
        State::Discarded => Err(Left("it was discarded before".to_owned())),
    }
}
