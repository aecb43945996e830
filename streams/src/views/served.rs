//! What the server knows of a reading: how far it has delivered, and to whom.
//!
//! It gives away no message twice by itself. What it has delivered to a reader that did not fold it comes again only
//! when the consumer is set back.

use super::reader::{BATCH, ReadError};
use crate::nats::Nats;
use crate::topology::{EVENTS, consumer_info};

/// A consumer, as the server has it.
pub(super) struct Served {
    /// The last sequence that it gave to anybody.
    pub delivered: u64,
    /// Whom it serves.
    reader: Option<String>,
}

impl Served {
    /// Whether what lies behind the mark will not come to anybody who folds it, or all of the stream would come again.
    /// `pin` is who the server took us for: what it gave us then, and we have not folded, we have no more.
    pub fn is_lost(&self, mark: u64, pin: Option<&str>) -> bool {
        (self.delivered > mark && !self.is_with_another(pin)) || self.delivered + (BATCH as u64) < mark
    }

    /// Whether it serves somebody who is not `pin`.
    pub fn is_with_another(&self, pin: Option<&str>) -> bool {
        self.reader.is_some() && self.reader.as_deref() != pin
    }
}

pub(super) async fn at_server(nats: &Nats, consumer: &str) -> Result<Served, ReadError> {
    let info = consumer_info(nats, EVENTS, consumer).await?;
    Ok(Served {
        delivered: info.delivered.stream_sequence,
        reader: info
            .priority_groups
            .into_iter()
            .find_map(|group| group.pinned_client_id),
    })
}

/// The first event that there is.
pub(super) async fn first_event(nats: &Nats) -> Result<u64, ReadError> {
    let stream = nats.jetstream().get_stream(EVENTS).await;
    let stream = stream.map_err(|error| ReadError::Reset(error.to_string()))?;
    Ok(stream.cached_info().state.first_sequence)
}

pub(super) async fn set_back(nats: &Nats, consumer: &str, mark: u64) -> Result<(), ReadError> {
    let asked = |error: &dyn std::fmt::Display| ReadError::Reset(error.to_string());
    let stream = nats.jetstream().get_stream_no_info(EVENTS).await;
    let stream = stream.map_err(|error| asked(&error))?;
    let set = stream.reset_consumer(consumer, Some(mark + 1)).await;
    set.map(|_| ()).map_err(|error| asked(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_to_nobody_who_will_fold_it_is_lost() {
        let served = |delivered, reader: Option<&str>| Served {
            delivered,
            reader: reader.map(str::to_owned),
        };
        for (given, mark, pin, is_lost) in [
            // Nobody is served, and more was given away than is folded.
            (served(9, None), 7, None, true),
            (served(9, None), 7, Some("us"), true),
            (served(9, None), 9, None, false),
            // It was given to us, before we began anew.
            (served(9, Some("us")), 7, Some("us"), true),
            (served(9, Some("us")), 9, Some("us"), false),
            // Another one has it, or will be found to be gone.
            (served(9, Some("them")), 7, None, false),
            (served(9, Some("them")), 7, Some("us"), false),
            // A consumer that was made anew begins at the beginning.
            (served(0, None), 5_000, None, true),
            (served(0, Some("them")), 5_000, None, true),
        ] {
            let what = format!("{} of {:?}, mark {mark}, {pin:?}", given.delivered, given.reader);
            assert_eq!(given.is_lost(mark, pin), is_lost, "{what}");
        }
    }
}
