//! Reading letters and appending to them.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;
use jiff::Timestamp;
use maru_schemas::letters::{Entry, Letter, State, What};
use uuid::Uuid;

use super::{Found, LANE, LetterError, Letters};
use crate::batches;
use crate::jobs::{Next, Reason, Session};
use crate::lanes::timestamp;
use crate::nats::{Nats, latest};
use crate::publish::{Outgoing, publish_together};
use crate::subject::Subject;
use crate::topology::DEAD;

/// Beside the letter, for who reads headers alone.
pub(crate) const STATE: &str = "maru-letter-state";
const REASON: &str = "maru-dead-reason";
const ATTEMPTS: &str = "maru-dead-attempts";

/// How many letters are asked for at a time.
const AT_A_TIME: usize = 500;
/// When none has come for so long, it is asked whether there are any left; so often in a row, and nobody will say.
const QUIET: Duration = Duration::from_secs(2);
const LOOKS: u32 = 15;

/// What stands above a letter.
pub(super) struct Head<'a> {
    pub(super) subject: &'a str,
    pub(super) lane: &'a str,
    pub(super) state: &'a str,
    pub(super) seq: u64,
    /// When it came to stand so.
    pub(super) stored: Timestamp,
}

/// How much of every letter is read.
enum Part {
    Whole,
    Headers,
}

pub(super) fn unreadable(why: impl std::fmt::Display) -> LetterError {
    LetterError::Read(why.to_string())
}

/// The newest message under a subject, which may have wildcards, as far as any replica knows.
pub(super) async fn newest_of(nats: &Nats, stream: &str, subject: &str) -> Result<Option<StreamMessage>, LetterError> {
    let stream = nats.jetstream().get_stream_no_info(stream).await.map_err(unreadable)?;
    match stream.direct_get_last_for_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

/// A letter by the message that was given up, in whatever lane of a context.
///
/// # Errors
/// When DEAD cannot be read.
pub async fn of_command(nats: &Nats, command: Uuid) -> Result<Option<Letter>, LetterError> {
    let newest = newest_of(nats, DEAD, &format!("dead.*.{command}")).await?;
    let found = newest
        .map(|message| read(message.sequence, &message.payload))
        .transpose()?;
    Ok(found
        .map(|found| found.letter)
        .filter(|letter| letter.lane.starts_with("cmd-")))
}

fn read(seq: u64, body: &[u8]) -> Result<Found, LetterError> {
    let mut letter: Letter = serde_json::from_slice(body).map_err(unreadable)?;
    // Nobody knows its own sequence before it is stored.
    if letter.number == 0 {
        letter.number = seq;
    }
    Ok(Found { letter, seq })
}

/// Whether a letter in this state is still to be dealt with.
pub(crate) fn is_open(state: &str) -> bool {
    matches!(state, "dead" | "behind" | "replaying")
}

/// Where the message lay.
pub(crate) const LAY: &str = "maru-dead-subject";

fn outgoing(letter: &Letter, expects: u64) -> Result<Outgoing, LetterError> {
    Ok(Outgoing {
        subject: Subject::Dead {
            lane: &letter.lane,
            id: letter.message,
        }
        .to_string(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            (STATE, letter.state.as_str().to_owned()),
            (LAY, letter.subject.clone()),
            (
                "maru-correlation",
                letter.headers.get("maru-correlation").cloned().unwrap_or_default(),
            ),
            (REASON, letter.reason.clone()),
            (ATTEMPTS, letter.attempts.to_string()),
        ],
        body: serde_json::to_vec(letter)?.into(),
        expects: Some(expects),
    })
}

impl Letters {
    /// Something that happens now.
    pub(super) fn entry(&self, what: What, by: &str) -> Entry {
        Entry {
            what,
            at: self.clock.now(),
            by: by.to_owned(),
            reason: String::new(),
            detail: String::new(),
            attempts: None,
        }
    }

    /// Something that the lane found out now.
    pub(crate) fn found_out(&self, what: What, reason: &Reason, attempts: u32) -> Entry {
        Entry {
            reason: reason.code.to_owned(),
            detail: reason.detail.clone(),
            attempts: Some(attempts),
            ..self.entry(what, LANE)
        }
    }

    /// A letter as it stands now. The leader is asked: what follows from a letter must not follow from what it
    /// was a moment ago.
    pub(crate) async fn newest(&self, lane: &str, id: Uuid) -> Result<Option<Found>, LetterError> {
        let newest = latest(&self.nats, DEAD, &Subject::Dead { lane, id }.to_string()).await;
        newest
            .map_err(unreadable)?
            .map(|message| read(message.sequence, &message.payload))
            .transpose()
    }

    /// A letter by the number that people call it by.
    ///
    /// # Errors
    /// When DEAD cannot be read.
    pub async fn numbered(&self, number: u64) -> Result<Option<Found>, LetterError> {
        let stream = self
            .nats
            .jetstream()
            .get_stream_no_info(DEAD)
            .await
            .map_err(unreadable)?;
        let first = match stream.direct_get(number).await {
            Ok(first) => first,
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let Some(Subject::Dead { lane, id }) = Subject::parse(&first.subject) else {
            return Ok(None);
        };
        let found = self.newest(lane, id).await?;
        Ok(found.filter(|found| found.letter.number == number))
    }

    /// The numbers of the letters that wait behind one, in the order in which they follow it.
    ///
    /// # Errors
    /// When DEAD cannot be read.
    pub async fn behind(&self, letter: &Letter) -> Result<Vec<u64>, LetterError> {
        let mut behind = Vec::new();
        // Without a key nothing follows, and what is settled holds nobody up.
        if letter.key.is_some() && letter.state.is_open() {
            self.each(|Found { letter: other, .. }| {
                let is_of_its_key = other.lane == letter.lane && other.key == letter.key;
                if is_of_its_key && other.state == State::Behind && other.seq > letter.seq {
                    behind.push((other.seq, other.number));
                }
            })
            .await?;
        }
        behind.sort_unstable();
        Ok(behind.into_iter().map(|(_, number)| number).collect())
    }

    /// Stores that a message died. A letter that is there already tells of the same death and stays as it is, unless it
    /// was closed and the message was sent once more since, when it had left its stream: then it is open again.
    pub(crate) async fn store(&self, letter: &Letter) -> Result<(), LetterError> {
        while self.dead.publish(outgoing(letter, 0)?).await?.already {
            let Some(found) = self.newest(&letter.lane, letter.message).await? else {
                // It was taken away in this moment.
                continue;
            };
            if found.letter.state.is_open() || found.letter.seq >= letter.seq {
                break;
            }
            let again = Letter {
                number: found.letter.number,
                replays: found.letter.replays,
                history: [found.letter.history, letter.history.clone()].concat(),
                ..letter.clone()
            };
            if !self.dead.publish(outgoing(&again, found.seq)?).await?.already {
                break;
            }
        }
        Ok(())
    }

    /// Appends to a letter. False if something else has happened to it since it was read.
    pub(crate) async fn append(&self, found: &Found, state: State, entry: Entry) -> Result<bool, LetterError> {
        let letter = found.letter.clone().after(state, entry);
        let published = self.dead.publish(outgoing(&letter, found.seq)?).await?;
        Ok(!published.already)
    }

    /// Appends to a letter and has its lane look at it, both or neither. False if something else has
    /// happened to it since it was read.
    /// `replay`: the one that its lane settles it in.
    pub(super) async fn append_and_redo(
        &self,
        found: &Found,
        state: State,
        entry: Entry,
        replay: Option<Uuid>,
    ) -> Result<bool, LetterError> {
        let letter = found.letter.clone().after(state, entry);
        let redo = Outgoing {
            subject: Subject::Redo {
                lane: &letter.lane,
                id: letter.message,
                of: found.seq,
            }
            .to_string(),
            headers: letter
                .key
                .map(|key| ("ce-subject", key.to_string()))
                .into_iter()
                .chain(batches::header(replay))
                .collect(),
            body: Bytes::new(),
            expects: Some(0),
        };
        let both = [outgoing(&letter, found.seq)?, redo];
        Ok(publish_together(&self.nats, both.iter()).await?.is_some())
    }

    /// Every letter as it stands, in the order in which they changed last.
    pub(super) async fn each(&self, mut take: impl FnMut(Found)) -> Result<(), LetterError> {
        self.each_message(Part::Whole, |seq, _, message| {
            // A later build's letter that this one cannot read is no reason to show none.
            match read(seq, &message.payload) {
                Ok(found) => take(found),
                Err(error) => tracing::warn!(seq, %error, "a dead letter cannot be read by this build"),
            }
        })
        .await
    }

    /// What stands above every letter.
    pub(super) async fn each_header(&self, mut take: impl FnMut(Head<'_>)) -> Result<(), LetterError> {
        self.each_message(Part::Headers, |seq, stored, message| {
            let state = message.headers.as_ref().and_then(|headers| headers.get(STATE));
            if let (Some(Subject::Dead { lane, .. }), Some(state)) = (Subject::parse(&message.subject), state) {
                take(Head {
                    subject: &message.subject,
                    lane,
                    state: state.as_str(),
                    seq,
                    stored,
                });
            }
        })
        .await
    }

    async fn each_message(
        &self,
        part: Part,
        mut take: impl FnMut(u64, Timestamp, &async_nats::Message),
    ) -> Result<(), LetterError> {
        let stream = self
            .nats
            .jetstream()
            .get_stream_no_info(DEAD)
            .await
            .map_err(unreadable)?;
        let mut consumer = stream
            .create_consumer(pull::Config {
                deliver_policy: DeliverPolicy::LastPerSubject,
                filter_subject: "dead.>".to_owned(),
                ack_policy: AckPolicy::None,
                headers_only: matches!(part, Part::Headers),
                memory_storage: true,
                inactive_threshold: Duration::from_secs(30),
                ..pull::Config::default()
            })
            .await
            .map_err(unreadable)?;
        let name = consumer.cached_info().name.clone();
        let mut session = Session::open(&self.nats, DEAD, &name, None).await.map_err(unreadable)?;
        let (mut left, mut looks) = (consumer.cached_info().num_pending, 0);
        while left > 0 && looks < LOOKS {
            if session.outstanding() == 0 {
                session.request(AT_A_TIME).await.map_err(unreadable)?;
            }
            let next = match tokio::time::timeout(QUIET, session.next()).await {
                Ok(next) => next.map_err(unreadable)?,
                Err(_) => Next::Ended,
            };
            let Next::Message(message) = next else {
                // What was still to come may have been taken away.
                left = consumer.info().await.map_err(unreadable)?.num_pending;
                looks += 1;
                continue;
            };
            let message = async_nats::jetstream::Message {
                message: *message,
                context: self.nats.jetstream().clone(),
            };
            let info = message.info().map_err(unreadable)?;
            let (seq, stored) = (info.stream_sequence, timestamp(info.published.unix_timestamp_nanos()));
            (left, looks) = (info.pending, 0);
            take(seq, stored, &message.message);
        }
        if left > 0 {
            return Err(unreadable("some are left, and none comes"));
        }
        // It goes away by itself too, a while later.
        let _ = stream.delete_consumer(&name).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    /// The janitor takes letters away while somebody reads through all of them.
    #[tokio::test(flavor = "multi_thread")]
    async fn reading_all_letters_ends_when_some_are_taken_away_meanwhile() {
        let world = World::new(&[]).await;
        let stored = (0..AT_A_TIME as u128 + 100).map(|n| {
            let lane = if n < AT_A_TIME as u128 {
                "cmd-books"
            } else {
                "cmd-members"
            };
            let mut headers = async_nats::HeaderMap::new();
            headers.insert(STATE, "dead");
            let subject = format!("dead.{lane}.{}", Uuid::from_u128(n));
            let js = world.nats.jetstream().clone();
            async move {
                js.publish_with_headers(subject, headers, "{}".into())
                    .await
                    .unwrap()
                    .await
                    .unwrap()
            }
        });
        // In their order: those that go are not delivered with the first.
        for one in stored {
            one.await;
        }
        let stream = world.nats.jetstream().get_stream(DEAD).await.unwrap();
        let runtime = tokio::runtime::Handle::current();
        let mut seen = 0;
        let reading = world.engine.letters.each_header(|_| {
            seen += 1;
            if seen == 1 {
                let purging = async { stream.purge().filter("dead.cmd-members.>").await };
                tokio::task::block_in_place(|| runtime.block_on(purging)).unwrap();
            }
        });
        tokio::time::timeout(Duration::from_secs(20), reading)
            .await
            .expect("it ends")
            .unwrap();
        assert_eq!(seen, AT_A_TIME);
    }
}
