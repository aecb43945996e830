//! How a message travels: CloudEvents 1.0.2 in binary mode, so the body is the message alone and
//! everything about it stands in headers. `ce-id` is minted once, at the door or from a cause, and
//! never on publish; `Nats-Msg-Id` repeats it for the server's own dedupe.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::MemberId;

/// Who caused a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A signed-in person.
    Member(MemberId),
    /// An administrator, for what members may not do.
    Admin(MemberId),
    /// Somebody who is not signed in (yet).
    Anonymous,
    /// Maru itself: a flow or a job.
    System,
}

impl Actor {
    /// The person behind it, if there is one.
    #[must_use]
    pub const fn member(&self) -> Option<MemberId> {
        match self {
            Self::Member(member) | Self::Admin(member) => Some(*member),
            Self::Anonymous | Self::System => None,
        }
    }

    /// Whether this is the given person.
    #[must_use]
    pub fn is(&self, member: MemberId) -> bool {
        self.member() == Some(member)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(member) => write!(f, "member:{member}"),
            Self::Admin(member) => write!(f, "admin:{member}"),
            Self::Anonymous => f.write_str("anonymous"),
            Self::System => f.write_str("system"),
        }
    }
}

impl std::str::FromStr for Actor {
    type Err = EnvelopeError;

    fn from_str(text: &str) -> Result<Self, EnvelopeError> {
        let person = |id: &str| {
            Uuid::parse_str(id)
                .map(MemberId)
                .map_err(|_| EnvelopeError::Unreadable(ACTOR))
        };
        match text.split_once(':') {
            Some(("member", id)) => Ok(Self::Member(person(id)?)),
            Some(("admin", id)) => Ok(Self::Admin(person(id)?)),
            None if text == "anonymous" => Ok(Self::Anonymous),
            None if text == "system" => Ok(Self::System),
            _ => Err(EnvelopeError::Unreadable(ACTOR)),
        }
    }
}

/// What is known about a message beside its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Unique for ever; a command's is minted once, an event's derives from its command.
    pub id: Uuid,
    /// `maru.<context>.<kind>.v1`.
    pub kind: String,
    /// Which part of Maru sent it: `maru/gateway`, `maru/workers`.
    pub source: String,
    /// When it was caused. Deciding uses this time and no clock.
    pub time: Timestamp,
    /// The aggregate it is about.
    pub subject: Uuid,
    /// Who caused it.
    pub actor: Actor,
    /// The request at the beginning of the chain.
    pub correlation: Uuid,
    /// The message that caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<Uuid>,
    /// For an event: the aggregate's version with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// For an event: the person whose thing it is about; live streams are cut by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<MemberId>,
    /// For a command from outside: a keyed hash of what was asked, to tell a repeat from a mix-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// For a command: the core NATS subject its sender listens on for the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Envelope {
    /// Of a message that the house sends by itself, and that nothing caused: it begins a chain of its own.
    #[must_use]
    pub fn of_the_house(id: Uuid, kind: String, time: Timestamp) -> Self {
        Self {
            id,
            kind,
            source: "maru/workers".to_owned(),
            time,
            subject: id,
            actor: Actor::System,
            correlation: id,
            causation: None,
            version: None,
            owner: None,
            fingerprint: None,
            reply: None,
            traceparent: None,
        }
    }
}

/// The server's own dedupe header; always equal to `ce-id`.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// The header that carries W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
const ACTOR: &str = "maru-actor";

/// Why headers could not be read as an envelope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// A header that every message has is not there.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header does not say what it should.
    #[error("header {0} cannot be read")]
    Unreadable(&'static str),
}

impl Envelope {
    /// The envelope as headers, in a stable order.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (MESSAGE_ID, self.id.to_string()),
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", self.id.to_string()),
            ("ce-type", self.kind.clone()),
            ("ce-source", self.source.clone()),
            ("ce-time", self.time.to_string()),
            ("ce-subject", self.subject.to_string()),
            ("ce-dataschema", format!("/schemas/{}.json", self.kind)),
            ("content-type", "application/json".to_owned()),
            (ACTOR, self.actor.to_string()),
            ("maru-correlation", self.correlation.to_string()),
        ];
        let mut put = |name, value: Option<String>| headers.extend(value.map(|value| (name, value)));
        put("maru-causation", self.causation.map(|id| id.to_string()));
        put("maru-version", self.version.map(|version| version.to_string()));
        put("maru-owner", self.owner.map(|owner| owner.to_string()));
        put("maru-fingerprint", self.fingerprint.clone());
        put("maru-reply", self.reply.clone());
        put(TRACEPARENT, self.traceparent.clone());
        headers
    }

    /// Reads an envelope back.
    ///
    /// # Errors
    /// When a header that every message has is missing or unreadable.
    pub fn read<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Result<Self, EnvelopeError> {
        let need = |name| header(name).ok_or(EnvelopeError::Missing(name));
        fn parse<T: std::str::FromStr>(name: &'static str, text: &str) -> Result<T, EnvelopeError> {
            text.parse().map_err(|_| EnvelopeError::Unreadable(name))
        }
        fn maybe<T: std::str::FromStr>(name: &'static str, text: Option<&str>) -> Result<Option<T>, EnvelopeError> {
            text.map(|text| parse(name, text)).transpose()
        }
        Ok(Self {
            id: parse("ce-id", need("ce-id")?)?,
            kind: need("ce-type")?.to_owned(),
            source: need("ce-source")?.to_owned(),
            time: parse("ce-time", need("ce-time")?)?,
            subject: parse("ce-subject", need("ce-subject")?)?,
            actor: parse(ACTOR, need(ACTOR)?)?,
            correlation: parse("maru-correlation", need("maru-correlation")?)?,
            causation: maybe("maru-causation", header("maru-causation"))?,
            version: maybe("maru-version", header("maru-version"))?,
            owner: maybe::<Uuid>("maru-owner", header("maru-owner"))?.map(MemberId),
            fingerprint: header("maru-fingerprint").map(str::to_owned),
            reply: header("maru-reply").map(str::to_owned),
            traceparent: header(TRACEPARENT).map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            id: Uuid::from_u128(1),
            kind: "maru.books.create_book.v1".into(),
            source: "maru/gateway".into(),
            time: Timestamp::from_second(1_700_000_000).unwrap(),
            subject: Uuid::from_u128(2),
            actor: Actor::Member(MemberId(Uuid::from_u128(3))),
            correlation: Uuid::from_u128(4),
            causation: Some(Uuid::from_u128(5)),
            version: Some(6),
            owner: Some(MemberId(Uuid::from_u128(3))),
            fingerprint: Some("abc".into()),
            reply: Some("reply.g.1".into()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        }
    }

    fn read(headers: &[(&'static str, String)]) -> Result<Envelope, EnvelopeError> {
        Envelope::read(|name| {
            headers
                .iter()
                .find(|(header, _)| *header == name)
                .map(|(_, value)| value.as_str())
        })
    }

    #[test]
    fn what_was_sent_is_what_is_read() {
        assert_eq!(read(&envelope().headers()), Ok(envelope()));
    }

    #[test]
    fn a_message_without_its_actor_is_not_read() {
        let mut headers = envelope().headers();
        headers.retain(|(name, _)| *name != ACTOR);
        assert_eq!(read(&headers), Err(EnvelopeError::Missing(ACTOR)));
    }

    #[test]
    fn an_actor_reads_back_as_it_was_written() {
        let mina = MemberId(Uuid::from_u128(9));
        for actor in [Actor::Member(mina), Actor::Admin(mina), Actor::Anonymous, Actor::System] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        assert!("member:nobody".parse::<Actor>().is_err());
    }
}
