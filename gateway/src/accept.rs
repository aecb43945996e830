//! Taking a command in: give it its id, store it, wait for what becomes of it, and say so.
//!
//! ```text
//! Idempotency-Key ─▶ command id ─▶ COMMANDS (acknowledged) ─▶ wait ─▶ 200/201 · 4xx · 202 + Location
//! ```
//!
//! The same key from the same person for the same address gives the same command id, so a repeat joins
//! the first one and gets its answer. Two hundred means kept: only what the stream has acknowledged is
//! accepted, and `durability` says what that is worth on this installation.

use std::time::Duration;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maru_schemas::envelope::{Actor, Envelope, TRACEPARENT};
use maru_schemas::ids;
use maru_schemas::message::{Contract, Message};
use maru_schemas::outcome::Outcome;
use maru_streams::durability::Durability;
use maru_streams::publish::{Outgoing, PublishError};
use maru_streams::spans::trace_id;
use maru_streams::subject::{Subject, kind_of};
use maru_streams::write::inbox::{sent, sent_before};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::door::{Door, RequestId, TraceContext};
use crate::problem::{BAD_IDEMPOTENCY_KEY, KEY_REUSED, OUTCOME_UNKNOWN, Problem, STREAM_FULL, TOO_LARGE, UNAVAILABLE};
use crate::waits::seconds;

/// How long a caller waits for the outcome who does not say otherwise.
const WAIT: Duration = Duration::from_secs(5);
/// The longest wait that a caller can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How a caller wants to be answered.
#[derive(Debug, Clone)]
pub struct Wants {
    key: Option<String>,
    wait: Duration,
    is_async: bool,
    preference: Option<String>,
    correlation: Uuid,
    traceparent: String,
}

impl<S: Sync> FromRequestParts<S> for Wants {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let correlation = parts.extensions.get::<RequestId>().map_or_else(new_id, |id| id.0);
        let traced = parts.extensions.get::<TraceContext>();
        let (wait, is_async, preference) = preference(&parts.headers);
        Ok(Self {
            key: idempotency_key(&parts.headers)?,
            wait,
            is_async,
            preference,
            correlation,
            traceparent: traced.map_or_else(|| traceparent(&parts.headers, correlation), |traced| traced.0.clone()),
        })
    }
}

impl Wants {
    /// For what the house itself asks, once for ever under this key, without waiting.
    pub(crate) fn of_the_house(key: &str) -> Self {
        let correlation = new_id();
        Self {
            key: Some(key.to_owned()),
            wait: Duration::ZERO,
            is_async: true,
            preference: None,
            correlation,
            traceparent: traceparent(&HeaderMap::new(), correlation),
        }
    }
}

/// The one place where ids are minted: here, once, at the door.
#[expect(clippy::disallowed_methods, reason = "the door is where ids begin")]
#[must_use]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Quoted, as the draft has it, or bare.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().trim();
    let key = key
        .strip_prefix('"')
        .and_then(|key| key.strip_suffix('"'))
        .unwrap_or(key);
    if (1..=200).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Some(key.to_owned()))
    } else {
        Err(BAD_IDEMPOTENCY_KEY.into())
    }
}

/// RFC 7240: `wait=n` in seconds, `respond-async`. What we do not know or cannot read is ignored, as
/// it says there.
fn preference(headers: &HeaderMap) -> (Duration, bool, Option<String>) {
    let (mut wait, mut is_async, mut applied) = (WAIT, false, None);
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    for preference in preferences.flat_map(|value| value.split([',', ';'])) {
        let preference = preference.trim().to_ascii_lowercase();
        if preference == "respond-async" {
            is_async = true;
            applied = Some(preference);
        } else if let Some(seconds) = preference.strip_prefix("wait=").and_then(|n| n.trim().parse().ok()) {
            wait = Duration::from_secs(seconds).min(LONGEST_WAIT);
            applied = Some(format!("wait={}", wait.as_secs()));
        }
    }
    // "respond-async, wait=10" together: answer within ten seconds, and asynchronously if it takes longer.
    let waits = applied.as_deref().is_some_and(|applied| applied.starts_with("wait="));
    (wait, is_async && !waits, applied)
}

/// The caller's trace context, if they have one.
pub(crate) fn theirs(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    trace_id(text).map(|_| text)
}

/// The caller's trace if they have one, else one that begins here.
pub(crate) fn traceparent(headers: &HeaderMap, correlation: Uuid) -> String {
    theirs(headers).map_or_else(
        || {
            let trace = correlation.simple().to_string();
            format!("00-{trace}-{}-01", &trace[16..])
        },
        str::to_owned,
    )
}

/// A command that is about to be sent: it has its id, so ids of new things can derive from it.
#[derive(Debug)]
pub struct Order {
    /// The command's id.
    pub id: Uuid,
    wants: Wants,
    fingerprint: Option<String>,
    jobs: Vec<String>,
}

impl Order {
    /// What is asked is done only when a job of this kind is.
    #[must_use]
    pub fn until_job(mut self, kind: &str) -> Self {
        self.jobs.push(format!("job-{kind}"));
        self
    }
}

/// A command that was taken in and not refused.
#[derive(Debug)]
pub struct Taken {
    /// The command's id.
    pub command: Uuid,
    /// What it is about.
    pub subject: Uuid,
    /// Version and token, if the outcome is known by now.
    pub done: Option<(u64, Option<u64>)>,
    /// How much of the caller's patience is left.
    pub until: Instant,
    is_replay: bool,
    expected: Option<Duration>,
    preference: Option<String>,
    durability: Durability,
}

/// The answer to a command that was taken in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// What the command is about: the new book, the purchase.
    pub id: Uuid,
    /// The command; `/v1/commands/{commandId}` tells what became of it.
    pub command_id: Uuid,
    /// `done`, or `pending` while no worker has answered.
    #[schema(value_type = CommandState)]
    pub status: &'static str,
    /// The version of what it is about, once done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The token to read one's own write with, in `Maru-Min-Seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What "accepted" is worth here.
    #[schema(value_type = DurabilityName)]
    pub durability: &'static str,
}

/// Where a command stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// Nobody has answered yet.
    Pending,
    /// It took effect.
    Done,
    /// It was turned down.
    Refused,
    /// It could be neither done nor turned down, and lies where an administrator sees it.
    GivenUp,
}

/// What "accepted" is worth.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityName {
    /// On disk.
    Fsynced,
    /// On a majority of servers.
    Replicated,
    /// With the operating system.
    Buffered,
}

impl Door {
    /// Gives a request its command id. `scope` is who asks, `address` method and path, `asked` the body.
    ///
    /// # Errors
    /// When the body cannot be written down again.
    pub fn order(&self, wants: Wants, scope: &str, address: &str, asked: &impl Serialize) -> Result<Order, Problem> {
        let asked = serde_json::to_string(asked).map_err(Problem::internal)?;
        let (id, fingerprint) = match &wants.key {
            Some(key) => (
                ids::named("request", &format!("{scope} {address} {key}")),
                Some(self.keys.fingerprint(format!("{scope} {address} {asked}").as_bytes())),
            ),
            None => (new_id(), None),
        };
        // For the lines of the log about this request.
        tracing::Span::current().record("commandId", tracing::field::display(id));
        Ok(Order {
            id,
            wants,
            fingerprint,
            jobs: Vec::new(),
        })
    }

    /// Sends a command and waits for its outcome as long as the caller wants to.
    ///
    /// # Errors
    /// The refusal, or why it could not be taken in.
    pub async fn accept<C: Contract>(
        &self,
        order: Order,
        actor: Actor,
        subject: impl Into<Uuid>,
        command: &C::Command,
    ) -> Result<Taken, Problem> {
        let subject = subject.into();
        let mut lanes = vec![format!("cmd-{}", C::CONTEXT)];
        lanes.extend(order.jobs.iter().cloned());
        let expected = self.waits.expected(&lanes);
        if let Some(busy) = self.waits.refusal(expected)
            && !self.is_repeat(&order).await?
        {
            return Err(busy);
        }
        let wait = self.outcomes.prepare(C::CONTEXT, order.id, order.fingerprint.clone());
        let envelope = Envelope {
            id: order.id,
            kind: kind_of(C::CONTEXT, command.kind()),
            source: "maru/gateway".to_owned(),
            time: self.clock.now(),
            subject,
            actor,
            correlation: order.wants.correlation,
            causation: None,
            version: None,
            owner: None,
            fingerprint: order.fingerprint.clone(),
            reply: Some(self.outcomes.reply_subject(order.id)),
            traceparent: Some(order.wants.traceparent.clone()),
        };
        let at = Subject::Command {
            context: C::CONTEXT,
            kind: command.kind(),
            id: order.id,
        };
        let body = serde_json::to_vec(command).map_err(Problem::internal)?;
        let published = self
            .commands
            .publish(Outgoing::new(at, &envelope, body.into(), true))
            .await
            .map_err(|error| not_taken(&error))?;
        if published.already {
            // Somebody sent this key before. If it was for something else, this is no repeat.
            let first = sent_before(&self.nats, order.id).await.map_err(Problem::unavailable)?;
            if first.is_some_and(|first| first.fingerprint != order.fingerprint) {
                return Err(KEY_REUSED.into());
            }
        }
        let until = Instant::now() + order.wants.wait;
        let taken = Taken {
            command: order.id,
            subject,
            done: None,
            until,
            is_replay: published.already,
            expected,
            preference: order.wants.preference,
            durability: self.durability,
        };
        if order.wants.is_async {
            // The stream forgets a key sooner than the inbox does.
            if order.wants.key.is_some() && wait.is_for_something_else().await {
                return Err(KEY_REUSED.into());
            }
            return Ok(taken);
        }
        let Some(outcome) = wait.outcome(until, published.already).await else {
            return Ok(taken);
        };
        match outcome {
            Outcome::Done { version, seq, subject } => Ok(Taken {
                done: Some((version, seq)),
                subject,
                ..taken
            }),
            Outcome::Refused { code, http, detail } => Err(Problem::new(&code, http, &detail)),
        }
    }

    /// Whether this was taken in before: then it is not one more.
    async fn is_repeat(&self, order: &Order) -> Result<bool, Problem> {
        if order.wants.key.is_none() {
            return Ok(false);
        }
        let first = sent(&self.nats, order.id).await.map_err(Problem::unavailable)?;
        Ok(first.is_some())
    }
}

fn not_taken(error: &PublishError) -> Problem {
    tracing::warn!(%error, "a command was not taken in");
    match error {
        PublishError::Full => Problem::from(STREAM_FULL).retry_after(30),
        PublishError::Unavailable => UNAVAILABLE.into(),
        PublishError::Unknown => OUTCOME_UNKNOWN.into(),
        PublishError::Refused(why) if why.contains("max_payload") => TOO_LARGE.into(),
        PublishError::Refused(why) => Problem::internal(why),
    }
}

impl Taken {
    /// The answer: `status` with `location` if the outcome is known, else 202 and where to ask for it.
    #[must_use]
    pub fn respond(self, status: StatusCode, location: Option<String>) -> Response {
        let (status, location) = match self.done {
            Some(_) => (status, location),
            None => (StatusCode::ACCEPTED, Some(format!("/v1/commands/{}", self.command))),
        };
        let body = Accepted {
            id: self.subject,
            command_id: self.command,
            status: if self.done.is_some() { "done" } else { "pending" },
            version: self.done.map(|(version, _)| version),
            seq: self.done.and_then(|(_, seq)| seq),
            durability: self.durability.as_str(),
        };
        self.respond_with(status, location, body)
    }

    /// The same with a body of one's own.
    pub fn respond_with(self, status: StatusCode, location: Option<String>, body: impl Serialize) -> Response {
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        let mut put = |name: &'static str, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        };
        put("location", location);
        put("preference-applied", self.preference);
        put(
            "maru-seq",
            self.done.and_then(|(_, seq)| seq).map(|seq| seq.to_string()),
        );
        put("maru-durability", Some(self.durability.as_str().to_owned()));
        put("etag", self.done.map(|(version, _)| format!("\"{version}\"")));
        put("idempotency-replayed", self.is_replay.then(|| "true".to_owned()));
        put("retry-after", (status == StatusCode::ACCEPTED).then(|| "1".to_owned()));
        let expected = self.expected.filter(|_| status == StatusCode::ACCEPTED);
        put("maru-expected-wait", expected.map(|wait| seconds(wait).to_string()));
        headers.insert(header::VARY, HeaderValue::from_static("Prefer"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).try_into().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_key_may_be_quoted_or_bare_but_not_anything() {
        let key = |value| idempotency_key(&headers(&[("idempotency-key", value)]));
        assert_eq!(key("\"abc\"").unwrap().as_deref(), Some("abc"));
        assert_eq!(key("abc").unwrap().as_deref(), Some("abc"));
        assert!(key("").is_err() && key("two words").is_err());
        assert_eq!(idempotency_key(&headers(&[])).unwrap(), None);
    }

    #[test]
    fn a_preference_is_kept_within_reason() {
        let preference = |value| preference(&headers(&[("prefer", value)]));
        assert_eq!(preference("wait=2").0, Duration::from_secs(2));
        assert_eq!(preference("wait=9999").0, LONGEST_WAIT);
        assert!(preference("respond-async").1);
        assert!(!preference("respond-async, wait=3").1);
        assert_eq!(preference("handling=strict, wait=x"), (WAIT, false, None));
    }

    #[test]
    fn a_trace_goes_on_or_begins() {
        let theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(&headers(&[("traceparent", theirs)]), Uuid::nil()), theirs);
        let ours = traceparent(&headers(&[("traceparent", "nonsense")]), Uuid::from_u128(7));
        assert!(ours.starts_with("00-") && ours.len() == theirs.len());
    }
}
