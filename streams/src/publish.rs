//! Publishing, acknowledged: a message counts as sent when the server has said that it is stored.
//!
//! With `sync_interval: always` every stored message costs an fsync, so messages commit in groups by
//! arrival: one waiting is published alone, eight or more go as one atomic batch that shares a single
//! flush. Whatever goes wrong with a batch, its messages are published one by one, and those that had
//! been stored after all say so.
//!
//! A message with its own subject for ever (a command, a job) expects that subject to be empty: a
//! repeat is refused by the server, with the sequence of the first one, however long ago it was.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderValue, Request};
use bytes::Bytes;
use futures_util::future::join_all;
use maru_schemas::envelope::Envelope;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;
use uuid::Uuid;

use crate::batches;
use crate::nats::Nats;
use crate::spans;

/// From how many waiting messages on a batch pays; below, its fixed cost is more than the fsyncs.
const BATCH_FROM: usize = 8;
/// The most messages in one batch; the server takes 1000, and shorter ones keep the wait short.
const BATCH_MOST: usize = 200;
/// After this an answer counts as lost, and the outcome as unknown.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

const EXPECTS: &str = "Nats-Expected-Last-Subject-Sequence";
const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// A message ready to be published.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where it will lie.
    pub subject: String,
    /// About it.
    pub headers: Vec<(&'static str, String)>,
    /// Itself.
    pub body: Bytes,
    /// The sequence of the newest message under the subject, if that matters: 0 for none yet.
    pub expects: Option<u64>,
}

impl Outgoing {
    /// A message under an envelope. `once`: its subject is its own for ever.
    pub fn new(subject: impl std::fmt::Display, envelope: &Envelope, body: Bytes, once: bool) -> Self {
        Self {
            subject: subject.to_string(),
            headers: envelope.headers(),
            body,
            expects: once.then_some(0),
        }
    }

    /// The same message as part of a [batch](crate::batches), or of none.
    #[must_use]
    pub fn in_batch(mut self, batch: Option<Uuid>) -> Self {
        self.headers.extend(batches::header(batch));
        self
    }
}

/// Where a published message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its sequence in the stream.
    pub seq: u64,
    /// Whether it had been there before.
    pub already: bool,
}

/// Why a message is not known to be stored.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum PublishError {
    /// The stream takes no more until something is purged or the limit is raised.
    #[error("the stream is full")]
    Full,
    /// No server, or nobody there who keeps the stream. Nothing was stored.
    #[error("the streaming server is not there")]
    Unavailable,
    /// No answer came; it may be stored. Publishing it again tells.
    #[error("the streaming server did not answer in time")]
    Unknown,
    /// The server will not take this message, now or later.
    #[error("the streaming server refused the message: {0}")]
    Refused(String),
}

struct Waiting {
    message: Outgoing,
    done: oneshot::Sender<Result<Published, PublishError>>,
}

/// Publishes into one stream. Cheap to clone; all clones share one queue, so that what arrives
/// together is stored together.
#[derive(Clone)]
pub struct Publisher {
    stream: &'static str,
    queue: mpsc::Sender<Waiting>,
}

impl Publisher {
    /// Starts a publisher. It ends by itself when its last clone is dropped.
    #[must_use]
    pub fn start(nats: Nats, stream: &'static str) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Waiting>(4096);
        tokio::spawn(async move {
            let mut group = Vec::with_capacity(BATCH_MOST);
            while waiting.recv_many(&mut group, BATCH_MOST).await > 0 {
                metrics::histogram!("maru_publish_group_messages", "stream" => stream)
                    .record(u32::try_from(group.len()).unwrap_or(u32::MAX));
                publish_group(&nats, stream, std::mem::take(&mut group)).await;
            }
        });
        Self { stream, queue }
    }

    /// Publishes and waits for the server's word.
    ///
    /// # Errors
    /// When the message is not known to be stored; see [`PublishError`] for what that means.
    pub async fn publish(&self, mut message: Outgoing) -> Result<Published, PublishError> {
        let span = spans::sending(self.stream, &mut message);
        let sent = self.send(message).instrument(span.clone()).await;
        match &sent {
            Ok(published) => {
                span.record("maru.sequence", published.seq);
                span.record("maru.already", published.already);
            }
            Err(error) => spans::failed(&span, reason(error)),
        }
        sent
    }

    async fn send(&self, message: Outgoing) -> Result<Published, PublishError> {
        let (done, outcome) = oneshot::channel();
        self.queue
            .send(Waiting { message, done })
            .await
            .map_err(|_| PublishError::Unavailable)?;
        outcome.await.map_err(|_| PublishError::Unknown)?
    }
}

async fn publish_group(nats: &Nats, stream: &'static str, group: Vec<Waiting>) {
    let started = std::time::Instant::now();
    if group.len() >= BATCH_FROM
        && let Ok(Some(first)) = publish_together(nats, group.iter().map(|waiting| &waiting.message)).await
    {
        for (nth, waiting) in (0_u64..).zip(group) {
            let _ = waiting.done.send(Ok(Published {
                seq: first + nth,
                already: false,
            }));
        }
    } else {
        join_all(group.into_iter().map(|waiting| async move {
            let outcome = publish_one(nats, &waiting.message).await;
            if let Err(error) = &outcome {
                metrics::counter!("maru_publish_failures_total", "stream" => stream, "reason" => reason(error))
                    .increment(1);
            }
            let _ = waiting.done.send(outcome);
        }))
        .await;
    }
    metrics::histogram!("maru_publish_seconds", "stream" => stream).record(started.elapsed());
}

fn headers_of(message: &Outgoing) -> Result<HeaderMap, PublishError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        // A value with a line break would panic in the shorter conversion.
        let value: HeaderValue = value
            .parse()
            .map_err(|_| PublishError::Refused(format!("header {name} has a line break")))?;
        headers.insert(*name, value);
    }
    if let Some(expected) = message.expects {
        headers.insert(EXPECTS, expected.to_string());
    }
    Ok(headers)
}

async fn publish_one(nats: &Nats, message: &Outgoing) -> Result<Published, PublishError> {
    let request = Request::new()
        .headers(headers_of(message)?)
        .payload(message.body.clone());
    ask(nats, &message.subject, request).await
}

/// Publishes all or nothing, in one flush. Returns the sequence of the first message; none if what one of
/// them expected to be the newest of its subject is not, so that nothing was stored.
///
/// # Errors
/// When nothing is known to be stored.
pub async fn publish_together(
    nats: &Nats,
    group: impl ExactSizeIterator<Item = &Outgoing>,
) -> Result<Option<u64>, PublishError> {
    let batch = nats.client().new_inbox();
    let batch = batch.rsplit('.').next().unwrap_or(&batch);
    let count = group.len();
    for (nth, message) in (1..).zip(group) {
        let mut headers = headers_of(message)?;
        headers.insert(BATCH_ID, batch);
        headers.insert(BATCH_SEQUENCE, nth.to_string());
        let (subject, body) = (message.subject.clone(), message.body.clone());
        if nth < count {
            let sent = nats.client().publish_with_headers(subject, headers, body);
            tokio::time::timeout(ACK_TIMEOUT, sent)
                .await
                .map_err(|_| PublishError::Unavailable)?
                .map_err(|error| PublishError::Refused(error.to_string()))?;
        } else {
            headers.insert(BATCH_COMMIT, "1");
            let request = Request::new().headers(headers).payload(body);
            let stored = ask(nats, &subject, request).await?;
            let before = u64::try_from(count - 1).unwrap_or(u64::MAX);
            return Ok((!stored.already).then(|| stored.seq.saturating_sub(before)));
        }
    }
    Err(PublishError::Refused("an empty batch".to_owned()))
}

/// What the server answers to a publish.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

async fn ask(nats: &Nats, subject: &str, request: Request) -> Result<Published, PublishError> {
    if !nats.is_connected() {
        return Err(PublishError::Unavailable);
    }
    let request = request.timeout(Some(ACK_TIMEOUT));
    // The client's own timeout does not cover waiting for a place in its queue.
    let answer = tokio::time::timeout(
        ACK_TIMEOUT + Duration::from_secs(1),
        nats.client().send_request(subject.to_owned(), request),
    )
    .await
    .map_err(|_| PublishError::Unknown)?
    .map_err(|error| match error.kind() {
        async_nats::RequestErrorKind::NoResponders => PublishError::Unavailable,
        async_nats::RequestErrorKind::MaxPayloadExceeded => {
            PublishError::Refused("it is larger than the server's max_payload".to_owned())
        }
        _ => PublishError::Unknown,
    })?;
    read_answer(&answer.payload)
}

fn read_answer(payload: &[u8]) -> Result<Published, PublishError> {
    let answer: Answer = serde_json::from_slice(payload)
        .map_err(|_| PublishError::Refused("an answer that is not an acknowledgement".to_owned()))?;
    match answer.error {
        None => Ok(Published {
            seq: answer.seq,
            already: answer.duplicate,
        }),
        // "wrong last sequence: 17": it lies there already, under 17.
        Some(AnswerError {
            err_code: 10071,
            description,
        }) => Ok(Published {
            seq: description
                .rsplit(' ')
                .next()
                .and_then(|seq| seq.parse().ok())
                .unwrap_or_default(),
            already: true,
        }),
        Some(AnswerError {
            err_code: 10077 | 10047 | 10023,
            ..
        }) => Err(PublishError::Full),
        Some(error) => Err(PublishError::Refused(format!(
            "{} ({})",
            error.description, error.err_code
        ))),
    }
}

const fn reason(error: &PublishError) -> &'static str {
    match error {
        PublishError::Full => "full",
        PublishError::Unavailable => "unavailable",
        PublishError::Unknown => "unknown",
        PublishError::Refused(_) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_tells_where_the_first_one_lies() {
        let answer = br#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 17"},"stream":"COMMANDS","seq":0}"#;
        assert_eq!(read_answer(answer), Ok(Published { seq: 17, already: true }));
    }

    #[test]
    fn a_full_stream_is_told_apart_from_a_refusal() {
        let full = br#"{"error":{"code":400,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
        assert_eq!(read_answer(full), Err(PublishError::Full));
        assert!(matches!(read_answer(b"?"), Err(PublishError::Refused(_))));
    }
}
