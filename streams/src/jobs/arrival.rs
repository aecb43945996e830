//! What the server says of a delivery, apart from the message itself: so that this can be handed on without a copy.

use async_nats::jetstream::message::Info;

use super::lease::Ticket;

/// A delivery, as the server counts it.
pub(super) struct Arrival {
    pub(super) ticket: Ticket,
    /// How often the message was delivered by now.
    pub(super) deliveries: u64,
    /// How many messages wait behind it.
    pub(super) behind: u64,
}

impl From<&Info<'_>> for Arrival {
    fn from(info: &Info<'_>) -> Self {
        Self {
            ticket: (info.stream_sequence, info.published.unix_timestamp_nanos()),
            deliveries: u64::try_from(info.delivered).unwrap_or(1),
            behind: info.pending,
        }
    }
}
