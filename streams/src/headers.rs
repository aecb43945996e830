//! What a message's headers say. They are looked through instead of asked by name: there are a dozen, and the client
//! copies and hashes each name that it is asked for, which for a message read whole was a tenth of a lane's own work.

use async_nats::HeaderMap;
use maru_schemas::envelope::{Envelope, EnvelopeError};

/// The first value under a name.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let (_, values) = headers.iter().find(|(known, _)| AsRef::<str>::as_ref(known) == name)?;
    values.first().map(|value| value.as_str())
}

/// Everything about a message but its subject and its body.
pub(crate) fn envelope(headers: Option<&HeaderMap>) -> Result<Envelope, EnvelopeError> {
    Envelope::read(|name| header(headers?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_server_and_of_ours_are_found_and_the_first_value_counts() {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "one");
        headers.append("maru-owner", "two");
        headers.append("maru-owner", "three");
        for name in ["Nats-Msg-Id", "maru-owner", "Nats-Sequence", "maru-own"] {
            let asked = headers.get(name).map(|value| value.as_str());
            assert_eq!(header(&headers, name), asked, "{name}");
        }
        assert!(matches!(envelope(None), Err(EnvelopeError::Missing("ce-id"))));
    }
}
