//! Letters that are closed, and have been for long, go: with every state they were in, and with the pointers
//! that brought them back to their lanes. What was open stays, however old it is.
//!
//! A letter keeps its message from taking effect again, and tells whoever asks about a command that it was given
//! up. So it stays as long as its message lies in the stream where anybody could meet it, and until its lane has
//! done what follows from closing it.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::stream::RawMessageErrorKind;
use jiff::{SignedDuration, Timestamp};
use maru_schemas::letters::Letter;

use super::log::{is_open, unreadable};
use super::{LetterError, Letters};
use crate::jobs::settled_up_to;
use crate::subject::Subject;
use crate::topology::{self, COMMANDS, DEAD, JOBS, SCHEDULES};

/// The most letters that one look takes away; the next look comes soon.
const AT_ONCE: usize = 2000;

/// A letter that was closed before.
struct Closed {
    subject: String,
    seq: u64,
}

/// The stream in which a message may come a second time as long as it lies there.
fn stream_of(subject: &str) -> Option<&'static str> {
    match subject.split('.').next()? {
        "cmd" => Some(COMMANDS),
        "job" | "late" | "held" => Some(JOBS),
        "due" | "sched" => Some(SCHEDULES),
        _ => None,
    }
}

impl Letters {
    /// Takes away the letters that were closed so long ago, and returns how many messages that were.
    ///
    /// # Errors
    /// When the server does not answer. What was taken away by then is gone for good reason.
    pub async fn purge_closed(&self, keep: Duration) -> Result<u64, LetterError> {
        let age = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        let Ok(before) = self.clock.now().checked_sub(age) else {
            return Ok(0);
        };
        let stream = self.nats.jetstream().get_stream_no_info(DEAD).await;
        let stream = stream.map_err(unreadable)?;
        let mut settled: HashMap<String, u64> = HashMap::new();
        let mut purged = 0;
        for closed in self.closed_before(before).await? {
            let Some(Subject::Dead { lane, id }) = Subject::parse(&closed.subject) else {
                continue;
            };
            if !settled.contains_key(lane) {
                settled.insert(lane.to_owned(), self.redone_up_to(lane).await);
            }
            // Its pointer was stored with it, right behind it, if it was discarded; before it otherwise.
            if settled.get(lane).is_none_or(|floor| *floor <= closed.seq) || self.may_come_again(closed.seq).await? {
                continue;
            }
            // It may have been opened again since: whatever came behind stays.
            if self
                .newest(lane, id)
                .await?
                .is_none_or(|newest| newest.seq != closed.seq)
            {
                continue;
            }
            // The pointers first: a letter without them is closed all the same, and they mean nothing without it.
            let pointers = (format!("redo.{lane}.{id}.*"), closed.seq + 2);
            for (filter, keep_from) in [pointers, (closed.subject.clone(), closed.seq + 1)] {
                let purge = stream.purge().filter(filter).sequence(keep_from);
                purged += purge.await.map_err(unreadable)?.purged;
            }
        }
        if purged > 0 {
            tracing::info!(stream = DEAD, purged, "took away what nobody needs");
            metrics::counter!("maru_janitor_messages_total", "stream" => DEAD).increment(purged);
        }
        Ok(purged)
    }

    async fn closed_before(&self, before: Timestamp) -> Result<Vec<Closed>, LetterError> {
        let mut closed = Vec::new();
        self.each_header(|head| {
            if !is_open(head.state) && head.stored < before && closed.len() < AT_ONCE {
                closed.push(Closed {
                    subject: head.subject.to_owned(),
                    seq: head.seq,
                });
            }
        })
        .await?;
        Ok(closed)
    }

    /// Up to where a lane has done what operators wanted of it; 0 if nobody knows.
    async fn redone_up_to(&self, lane: &str) -> u64 {
        match topology::consumer_info(&self.nats, DEAD, &format!("redo-{lane}")).await {
            Ok(info) if info.num_pending == 0 && info.num_ack_pending == 0 => u64::MAX,
            Ok(info) => info.ack_floor.stream_sequence,
            Err(_) => 0,
        }
    }

    /// Whether the message of a letter lies where it could be delivered once more. The leaders are asked: a replica
    /// may lack what is there.
    async fn may_come_again(&self, seq: u64) -> Result<bool, LetterError> {
        let dead = self.nats.jetstream().get_stream_no_info(DEAD).await;
        let newest = match dead.map_err(unreadable)?.get_raw_message(seq).await {
            Ok(newest) => newest,
            // It has changed since it was seen.
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(true),
            Err(error) => return Err(unreadable(error)),
        };
        // What this build cannot read is left alone.
        let Ok(letter) = serde_json::from_slice::<Letter>(&newest.payload) else {
            return Ok(true);
        };
        let Some(stream) = stream_of(&letter.subject) else {
            // Of EVENTS nothing is ever taken away. A consumer that is made anew begins where all is settled.
            return Ok(settled_up_to(&self.store, &letter.lane).await? < letter.seq);
        };
        let stream = self.nats.jetstream().get_stream_no_info(stream).await;
        match stream.map_err(unreadable)?.get_raw_message(letter.seq).await {
            Ok(there) => Ok(there.subject.as_str() == letter.subject),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(unreadable(error)),
        }
    }
}
