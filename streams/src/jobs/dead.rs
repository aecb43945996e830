//! Dead letters: what a lane gave up on, as it was, with why. First the letter is stored and confirmed,
//! then the message is taken off; a crash in between finds the letter there already.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::publish::{Outgoing, PublishError, Publisher};
use crate::subject::Subject;

/// The headers that say why, beside the message's own.
const REASON: &str = "maru-dead-reason";
const DETAIL: &str = "maru-dead-detail";
const ATTEMPTS: &str = "maru-dead-attempts";
const SUBJECT: &str = "maru-dead-subject";
const SEQUENCE: &str = "maru-dead-sequence";

/// What is known about a letter beside the message itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The lane that gave up.
    pub lane: String,
    /// Where the message lay.
    pub subject: String,
    /// Its sequence there.
    pub seq: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why, as a code.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
}

/// Stores a letter, once. Headers of the server are left out, ours go with it.
pub(super) async fn store(
    dead: &Publisher,
    letter: &DeadLetter,
    message: &async_nats::Message,
) -> Result<(), PublishError> {
    let id = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get("ce-id"))
        .and_then(|id| Uuid::parse_str(id.as_str()).ok())
        // A message that was not ours has no id; where it lies is as unique.
        .unwrap_or_else(|| maru_schemas::ids::named("dead", &format!("{}/{}", letter.subject, letter.seq)));
    let mut headers: Vec<(&'static str, String)> = [
        "ce-id",
        "ce-type",
        "ce-source",
        "ce-time",
        "ce-subject",
        "maru-actor",
        "maru-correlation",
        "maru-causation",
        "maru-version",
        "maru-owner",
        "maru-fingerprint",
        "traceparent",
        "content-type",
    ]
    .into_iter()
    .filter_map(|name| Some((name, message.headers.as_ref()?.get(name)?.as_str().to_owned())))
    .collect();
    headers.extend([
        (REASON, letter.reason.clone()),
        (DETAIL, one_line(&letter.detail)),
        (ATTEMPTS, letter.attempts.to_string()),
        (SUBJECT, letter.subject.clone()),
        (SEQUENCE, letter.seq.to_string()),
    ]);
    let outgoing = Outgoing {
        subject: Subject::Dead { lane: &letter.lane, id }.to_string(),
        headers,
        body: Bytes::clone(&message.payload),
        once: true,
    };
    dead.publish(outgoing).await.map(|_| ())
}

/// A header holds one line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(1000)
        .collect()
}
