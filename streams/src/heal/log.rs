//! Reading what a stream holds, in order and to an end. No consumer is made for it and no place is kept:
//! the server is asked for the messages after a sequence, many in one answer.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{DirectGetError, DirectGetErrorKind, RawMessageErrorKind};
use async_nats::jetstream::{self, consumer::pull};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use maru_schemas::envelope::{Envelope, EnvelopeError};

use super::HealError;
use crate::headers;
use crate::nats::{API_TIMEOUT, Nats, latest};

/// The most messages of one answer.
const BATCH: usize = 1024;
/// The most bytes of one answer; a command may be as large as a megabyte.
const BATCH_BYTES: usize = 8 << 20;
/// After this much silence the server is taken to be away.
const SILENCE: Duration = Duration::from_secs(10);
/// How often, and after what pause, a replica is asked again that lags behind the leader.
const LAGS: u32 = 50;
const LAG: Duration = Duration::from_millis(200);

/// A message as the stream holds it.
pub(super) struct Stored {
    pub seq: u64,
    pub subject: String,
    pub envelope: Result<Envelope, EnvelopeError>,
    pub body: Bytes,
}

fn stored(seq: u64, subject: String, headers: &HeaderMap, body: Bytes) -> Stored {
    Stored {
        seq,
        subject,
        envelope: headers::envelope(Some(headers)),
        body,
    }
}

fn failed(doing: &str) -> impl Fn(&dyn std::fmt::Display) -> HealError {
    move |why| HealError::Stream(format!("{doing}: {why}"))
}

/// The sequences before the first and of the last message; a stream that is not there yet is empty.
pub(super) async fn ends(nats: &Nats, stream: &str) -> Result<(u64, u64), HealError> {
    match nats.jetstream().get_stream(stream).await {
        Ok(stream) => {
            let state = &stream.cached_info().state;
            Ok((state.first_sequence.saturating_sub(1), state.last_sequence))
        }
        Err(error) if is_missing(&error) => Ok((0, 0)),
        Err(error) => Err(failed("read a stream")(&error)),
    }
}

fn is_missing(error: &jetstream::context::GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(inner) if inner.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND)
}

/// Up to which sequence a lane has settled everything that was meant for it.
pub(super) async fn settled(nats: &Nats, stream: &str, lane: &str, last: u64) -> Result<u64, HealError> {
    let failed = failed("read where a lane stands");
    let stream = match nats.jetstream().get_stream(stream).await {
        Ok(stream) => stream,
        Err(error) if is_missing(&error) => return Ok(0),
        Err(error) => return Err(failed(&error)),
    };
    match stream.get_consumer::<pull::Config>(lane).await {
        Ok(consumer) => {
            let info = consumer.cached_info();
            let is_idle = info.num_pending == 0 && info.num_ack_pending == 0;
            Ok(if is_idle { last } else { info.ack_floor.stream_sequence })
        }
        Err(error) if error.to_string().contains("not found") => Ok(0),
        Err(error) => Err(failed(&error)),
    }
}

/// The newest message under a subject, which may have wildcards, as the leader knows it: what is missing there is missing.
pub(super) async fn newest(nats: &Nats, stream: &str, subject: String) -> Result<Option<Stored>, HealError> {
    let found = latest(nats, stream, &subject).await;
    let found = found.map_err(|error| failed("look for a message")(&error))?;
    Ok(found.map(|found| stored(found.sequence, found.subject.to_string(), &found.headers, found.payload)))
}

/// The first message under a subject after a sequence.
pub(super) async fn next(nats: &Nats, stream: &str, subject: String, after: u64) -> Result<Option<Stored>, HealError> {
    let stream = stream_of(nats, stream).await?;
    one(stream.direct_get_next_for_subject(subject, Some(after + 1)).await)
}

async fn stream_of(nats: &Nats, stream: &str) -> Result<jetstream::stream::Stream<()>, HealError> {
    let stream = nats.jetstream().get_stream_no_info(stream).await;
    stream.map_err(|error| failed("reach a stream")(&error))
}

fn one(found: Result<StreamMessage, DirectGetError>) -> Result<Option<Stored>, HealError> {
    match found {
        Ok(found) => Ok(Some(stored(
            found.sequence,
            found.subject.to_string(),
            &found.headers,
            found.payload,
        ))),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look for a message")(&error)),
    }
}

/// Every message after one sequence and up to another, in windows.
pub(super) fn walk(
    nats: Nats,
    stream: &'static str,
    after: u64,
    to: u64,
) -> impl Stream<Item = Result<Vec<Stored>, HealError>> {
    stream::try_unfold(after, move |after| {
        let nats = nats.clone();
        async move {
            if after >= to {
                return Ok(None);
            }
            let mut window = whole_window(&nats, stream, after + 1, to).await?;
            window.retain(|message| message.seq <= to);
            Ok(window.last().map(|last| last.seq).map(|last| (window, last)))
        }
    })
}

/// A window that is empty only if there is nothing up to `to`. Any replica may answer, and one that lags knows less than the
/// leader, who told how far to go.
async fn whole_window(nats: &Nats, stream: &'static str, from: u64, to: u64) -> Result<Vec<Stored>, HealError> {
    for _ in 0..LAGS {
        let window = window(nats, stream, from).await?;
        if !window.is_empty() {
            return Ok(window);
        }
        match stream_of(nats, stream)
            .await?
            .get_first_raw_message_by_subject(">", from)
            .await
        {
            Ok(first) if first.sequence <= to => tokio::time::sleep(LAG).await,
            Ok(_) => return Ok(Vec::new()),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(stream)(&error)),
        }
    }
    Err(failed(stream)(&format!(
        "a replica does not have what the leader has after {from}; try again later"
    )))
}

async fn window(nats: &Nats, stream: &'static str, from: u64) -> Result<Vec<Stored>, HealError> {
    let failed = failed(stream);
    let inbox = nats.client().new_inbox();
    let subscribed = tokio::time::timeout(API_TIMEOUT, nats.client().subscribe(inbox.clone()));
    let mut answers = subscribed
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    let question =
        serde_json::json!({ "seq": from, "next_by_subj": ">", "batch": BATCH, "max_bytes": BATCH_BYTES }).to_string();
    let asked = nats
        .client()
        .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, question.into());
    tokio::time::timeout(API_TIMEOUT, asked)
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    let mut window = Vec::new();
    loop {
        let answer = tokio::time::timeout(SILENCE, answers.next()).await;
        let Ok(Some(message)) = answer else {
            return Err(failed(&"the server fell silent"));
        };
        match message.status.map(|status| status.as_u16()) {
            None => {}
            // The end of the answer, or of the stream.
            Some(204 | 404) => return Ok(window),
            Some(status) => {
                let why = message.description.unwrap_or_default();
                return Err(failed(&format!("{status} {why}")));
            }
        }
        let headers = message.headers.unwrap_or_default();
        let header = |name: &str| headers::header(&headers, name);
        let seq = header("Nats-Sequence").and_then(|seq| seq.parse().ok());
        let (Some(seq), Some(subject)) = (seq, header("Nats-Subject").map(str::to_owned)) else {
            return Err(failed(&"an answer does not say where its message lies"));
        };
        window.push(stored(seq, subject, &headers, message.payload));
    }
}
