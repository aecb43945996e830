//! Reading through a stream without its bodies, for those who count and follow. Nothing is acknowledged and
//! nothing is left behind on the server. Bounded: who asks is told whether it was all.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures_util::TryStreamExt;
use jiff::Timestamp;

use crate::headers;
use crate::lanes::timestamp;
use crate::nats::Nats;
use crate::topology::{TopologyError, is_missing_stream};

/// How long a reading may go on.
const LONGEST: Duration = Duration::from_secs(20);

/// A message without its body.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Its sequence.
    pub seq: u64,
    /// When it was stored.
    pub stored: Timestamp,
    /// Where it lies.
    pub subject: String,
    headers: HeaderMap,
}

impl Scanned {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        headers::header(&self.headers, name)
    }
}

/// Reads what lies in a stream under `filter` at this moment, from a point on, `most` messages at most. False
/// if there was more. A stream that is not there holds nothing.
pub(crate) async fn scan(
    nats: &Nats,
    stream: &str,
    filter: &str,
    from: DeliverPolicy,
    most: u64,
    mut take: impl FnMut(Scanned),
) -> Result<bool, TopologyError> {
    let failed = |why: &dyn std::fmt::Display| TopologyError::new(format!("read through {stream}"), why);
    let found = match nats.jetstream().get_stream(stream).await {
        Ok(found) => found,
        Err(error) if is_missing_stream(&error) => return Ok(true),
        Err(error) => return Err(failed(&error)),
    };
    let newest = found.cached_info().state.last_sequence;
    let consumer = found
        .create_consumer(pull::OrderedConfig {
            deliver_policy: from,
            filter_subject: filter.to_owned(),
            headers_only: true,
            ..pull::OrderedConfig::default()
        })
        .await
        .map_err(|error| failed(&error))?;
    if consumer.cached_info().num_pending == 0 {
        return Ok(true);
    }
    let reading = async {
        let mut messages = consumer.messages().await.map_err(|error| failed(&error))?;
        let mut read = 0;
        while let Some(message) = messages.try_next().await.map_err(|error| failed(&error))? {
            let info = message.info().map_err(|error| failed(&error))?;
            let (seq, pending) = (info.stream_sequence, info.pending);
            let stored = timestamp(info.published.unix_timestamp_nanos());
            if seq <= newest {
                take(Scanned {
                    seq,
                    stored,
                    subject: message.subject.to_string(),
                    headers: message.headers.clone().unwrap_or_default(),
                });
                read += 1;
            }
            if seq >= newest || pending == 0 {
                return Ok(true);
            }
            if read >= most {
                return Ok(false);
            }
        }
        Ok(true)
    };
    match tokio::time::timeout(LONGEST, reading).await {
        Ok(read) => read,
        Err(_) => Ok(false),
    }
}
