//! Following EVENTS as it grows, for people who watch. Nothing is acknowledged and no place is kept:
//! who was away says the last sequence they saw.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use maru_schemas::envelope::Envelope;

use crate::headers;
use crate::nats::Nats;
use crate::topology::EVENTS;

/// An event as it passes by.
#[derive(Debug, Clone)]
pub struct Passing {
    /// Its sequence.
    pub seq: u64,
    /// About it.
    pub envelope: Envelope,
    /// Itself.
    pub body: Bytes,
}

/// Why nothing more passes by.
#[derive(Debug, thiserror::Error)]
#[error("follow EVENTS: {0}")]
pub struct TailError(String);

/// The events after a sequence, or from now on; then on and on.
///
/// # Errors
/// When the stream cannot be followed (any more).
pub async fn events(
    nats: &Nats,
    after: Option<u64>,
) -> Result<impl Stream<Item = Result<Passing, TailError>> + Send + use<>, TailError> {
    let stream = nats
        .jetstream()
        .get_stream_no_info(EVENTS)
        .await
        .map_err(|error| TailError(error.to_string()))?;
    let consumer = stream
        .create_consumer(pull::OrderedConfig {
            deliver_policy: match after {
                Some(seq) => DeliverPolicy::ByStartSequence {
                    start_sequence: seq + 1,
                },
                None => DeliverPolicy::New,
            },
            ..pull::OrderedConfig::default()
        })
        .await
        .map_err(|error| TailError(error.to_string()))?;
    let messages = consumer
        .messages()
        .await
        .map_err(|error| TailError(error.to_string()))?;
    Ok(messages
        .map_err(|error| TailError(error.to_string()))
        .filter_map(async |message| match message {
            Ok(message) => read(&message).map(Ok),
            Err(error) => Some(Err(error)),
        }))
}

/// None for what is not ours: who watches has no use for it.
fn read(message: &async_nats::jetstream::Message) -> Option<Passing> {
    let envelope = headers::envelope(message.headers.as_ref()).ok()?;
    Some(Passing {
        seq: message.info().ok()?.stream_sequence,
        envelope,
        body: message.payload.clone(),
    })
}

/// The newest sequence of EVENTS.
///
/// # Errors
/// When the server does not say.
pub async fn last_sequence(nats: &Nats) -> Result<u64, TailError> {
    let asked = tokio::time::timeout(Duration::from_secs(3), nats.jetstream().get_stream(EVENTS)).await;
    match asked {
        Ok(Ok(stream)) => Ok(stream.cached_info().state.last_sequence),
        Ok(Err(error)) => Err(TailError(error.to_string())),
        Err(_) => Err(TailError("no answer".to_owned())),
    }
}
