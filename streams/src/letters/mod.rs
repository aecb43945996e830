//! # Dead letters
//!
//! What a lane gave up on lies in DEAD as a **letter**: one subject each, and every message under it is the
//! whole letter as it then stood, the newest one counting. Whatever happens to a letter is appended on the
//! condition that nothing else has happened to it since it was read. So two people cannot both decide about
//! one, and who did what stands there for good.
//!
//! ```text
//!  operator ── one batch ──▶ dead.<lane>.<id>      the letter: "replaying", by whom
//!                            redo.<lane>.<id>.<n>  for the lane: look at it again
//!  lane ◀── redo-<lane> ──── runs it as today's code does, and appends what came of it
//! ```
//!
//! Read [`log`] for reading and appending, [`parked`] for the order of a key's letters, [`operate`] for what
//! operators may ask, [`replays`] for how many letters are done again,
//! [`purge`] for what goes when it is closed. The lane's side is `jobs/dead.rs` and `jobs/redo.rs`.

mod count;
mod log;
mod operate;
pub(crate) mod parked;
mod purge;
mod replays;
mod select;

use bytes::Bytes;
use maru_schemas::letters::Letter;
use uuid::Uuid;

use crate::batches::Batches;
use crate::intention::Clock;
use crate::nats::Nats;
use crate::publish::{PublishError, Publisher};
use crate::store::{Key, Part, Store, StoreError};
use crate::topology::{COMMANDS, DEAD};

pub use log::of_command;
pub(crate) use log::{LAY, STATE, is_open};
pub use operate::Because;
pub(crate) use replays::came_in;
pub use select::is_lane;

/// Who did something, if it was the lane itself.
pub(crate) const LANE: &str = "lane";

/// The letters of an installation.
#[derive(Clone)]
pub struct Letters {
    nats: Nats,
    store: Store,
    dead: Publisher,
    batches: Batches,
    clock: Clock,
}

/// A letter with the sequence of its newest message, which whoever changes it has to name.
#[derive(Debug, Clone)]
pub struct Found {
    /// The letter.
    pub letter: Letter,
    pub(crate) seq: u64,
}

/// Why letters could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// DEAD cannot be read.
    #[error("read the dead letters: {0}")]
    Read(String),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// DEAD takes nothing, because it is full or away.
    #[error("write the dead letters")]
    Publish(#[from] PublishError),
    /// The letter cannot be written down.
    #[error("a dead letter cannot be written")]
    Write(#[from] serde_json::Error),
}

impl Letters {
    /// The letters on this server; bodies with words are kept in this database.
    #[must_use]
    pub fn new(nats: Nats, store: Store, clock: Clock) -> Self {
        let dead = Publisher::start(nats.clone(), DEAD);
        let batches = Batches::new(nats.clone(), store.clone(), clock.clone());
        Self {
            nats,
            store,
            dead,
            batches,
            clock,
        }
    }

    /// Keeps a whole body whose letter hides words.
    pub(crate) async fn keep_body(&self, lane: &str, message: Uuid, body: &str) -> Result<(), StoreError> {
        self.store.create(&body_key(lane, message), &body).await.map(|_| ())
    }

    pub(crate) async fn forget_body(&self, lane: &str, message: Uuid) -> Result<(), StoreError> {
        self.store.delete(&[body_key(lane, message)]).await
    }

    /// The whole body of a letter: its own, or the one that was kept, or the message itself as long as it
    /// lies in COMMANDS. None if it is nowhere any more.
    pub(crate) async fn body(&self, letter: &Letter) -> Result<Option<Bytes>, LetterError> {
        if !letter.is_redacted {
            return Ok(Some(letter.body.clone().into()));
        }
        let kept: Option<String> = self.store.get(&body_key(&letter.lane, letter.message)).await?;
        if let Some(body) = kept {
            return Ok(Some(body.into()));
        }
        let original = log::newest_of(&self.nats, COMMANDS, &letter.subject).await?;
        Ok(original.map(|message| message.payload))
    }
}

fn body_key(lane: &str, message: Uuid) -> Key {
    Key::new("letter_body", [Part::from(lane), Part::from(message)])
}
