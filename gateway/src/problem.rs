//! Errors as the world sees them: RFC 9457, everywhere, with a stable `code` for programs and a
//! sentence for people that tells what to do.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maru_schemas::refusal;
use serde::Serialize;
use utoipa::ToSchema;

/// A problem of the door itself: code, status, sentence. Refusals of contexts stand in their contracts.
macro_rules! door_problems {
    ($($name:ident = $code:literal, $http:literal, $sentence:literal;)+) => {
        $(
            #[doc = $sentence]
            pub const $name: refusal::Entry =
                refusal::Entry { code: $code, http: $http, sentence: $sentence };
        )+

        /// Every problem that the door itself can have with a request.
        pub const OF_THE_DOOR: &[refusal::Entry] = &[$($name,)+];
    };
}

door_problems! {
    BAD_REQUEST = "BAD_REQUEST", 400,
        "The request cannot be understood; the detail says what is wrong with it.";
    VALIDATION = "VALIDATION", 400,
        "Some fields are not as they should be; `errors` names each with a pointer.";
    BAD_CURSOR = "BAD_CURSOR", 400,
        "The cursor is not one of this list's; begin again without one.";
    BAD_IDEMPOTENCY_KEY = "BAD_IDEMPOTENCY_KEY", 400,
        "An Idempotency-Key has 1 to 200 visible ASCII characters; send a new one, a UUID say.";
    NOT_SIGNED_IN = "NOT_SIGNED_IN", 401,
        "This needs a valid access token; log in and send it as `Authorization: Bearer …`.";
    WRONG_CREDENTIALS = "WRONG_CREDENTIALS", 401,
        "Username and password do not fit together; try again.";
    REFRESH_REFUSED = "REFRESH_REFUSED", 401,
        "The refresh token is not valid any more; log in again.";
    NOT_PAID = "NOT_PAID", 402,
        "The contents of a book are for who bought it; buy it with POST /v1/purchases.";
    NOT_ALLOWED = "NOT_ALLOWED", 403,
        "Your role does not allow this; it needs another account.";
    NOT_FOUND = "NOT_FOUND", 404,
        "There is nothing here; /docs lists what there is.";
    NOT_THERE = "NOT_THERE", 404,
        "What an operator asked about is not there; the detail says what.";
    NO_SUCH_COMMAND = "NO_SUCH_COMMAND", 404,
        "There is no such command of yours, or it is longer ago than they are kept.";
    NO_STORY = "NO_STORY", 404,
        "Nobody writes a story for this book; ask for one with POST /v1/books/{book}/ai-draft.";
    NO_SUCH_IMAGE = "NO_SUCH_IMAGE", 404,
        "There is no such image; books tell the addresses of theirs.";
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED", 405,
        "This address does not know the method; the Allow header says which it knows.";
    NOT_NOW = "NOT_NOW", 409,
        "What an operator asked for cannot be done as things are; the detail says why and what to do.";
    CHANGED_MEANWHILE = "PRECONDITION_UNREADABLE", 412,
        "If-Match takes the ETag of the book as you read it; read it again and send that.";
    TOO_LARGE = "TOO_LARGE", 413,
        "The request is larger than a megabyte; send less.";
    NOT_JSON = "NOT_JSON", 415,
        "Requests with a body are JSON; send `Content-Type: application/json`.";
    KEY_REUSED = "IDEMPOTENCY_KEY_REUSED", 422,
        "This Idempotency-Key was used for another request; use a new one.";
    NOT_A_TEST_CARD = "NOT_A_TEST_CARD", 422,
        "The payment sandbox takes its published test numbers only; 4242 4242 4242 4242 is approved.";
    TOO_MANY = "TOO_MANY_REQUESTS", 429,
        "You ask more often than the door can take from one person; wait as long as Retry-After says.";
    LANE_BUSY = "LANE_BUSY", 429,
        "So much waits before this that it would take too long; nothing was taken in, come again after Retry-After.";
    INTERNAL = "INTERNAL", 500,
        "Something went wrong inside; tell the operator the request id.";
    OVERLOADED = "OVERLOADED", 503,
        "The door has more to do than it can take; try again when Retry-After says.";
    UNAVAILABLE = "UNAVAILABLE", 503,
        "A part that this needs is away; nothing was taken in, try again when Retry-After says.";
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN", 503,
        "No answer came whether the request was stored; send it again with the same Idempotency-Key.";
    STREAM_FULL = "STREAM_FULL", 503,
        "The stream takes nothing more until it is cleared; nothing was taken in, try again later.";
    NO_WORKERS = "NO_WORKERS", 503,
        "No process with workers is there to answer an operator; start one and ask again.";
    VIEW_BEHIND = "VIEW_BEHIND", 503,
        "The view has not read as far as Maru-Min-Seq asks; try again when Retry-After says.";
    LEAVING = "LEAVING", 503,
        "This process is about to stop; try again, another one will answer.";
}

/// One field that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where in the body, as an RFC 6901 pointer.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// An RFC 9457 problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Where the problem is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
    /// Stable, for programs.
    pub code: String,
    /// Each field that is not as it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// For a view that is behind: by how many events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<refusal::Entry> for Problem {
    fn from(entry: refusal::Entry) -> Self {
        Self::new(entry.code, entry.http, entry.sentence)
    }
}

impl Problem {
    /// A problem of a code with its status and sentence.
    #[must_use]
    pub fn new(code: &str, http: u16, detail: &str) -> Self {
        let status = StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = Self {
            kind: format!("/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Problem").to_owned(),
            status: status.as_u16(),
            detail: detail.to_owned(),
            code: code.to_owned(),
            errors: Vec::new(),
            behind: None,
            headers: Vec::new(),
        };
        match status.as_u16() {
            401 => problem.with_header(header::WWW_AUTHENTICATE, "Bearer"),
            503 => problem.retry_after(2),
            _ => problem,
        }
    }

    /// With another detail than the code's own sentence.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// With the fields that are not as they should be.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// With the time after which asking again makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.headers.retain(|(name, _)| name != header::RETRY_AFTER);
        self.headers.push((header::RETRY_AFTER, seconds.into()));
        self
    }

    /// With a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// Something of ours failed. The cause goes to the log and never to the caller.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed inside");
        INTERNAL.into()
    }

    /// The database or the streaming server does not answer.
    pub fn unavailable(error: impl std::fmt::Display) -> Self {
        tracing::warn!(%error, "a part is away");
        UNAVAILABLE.into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = self.headers.clone();
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response.headers_mut().extend(headers);
        response
    }
}

impl From<maru_streams::store::StoreError> for Problem {
    fn from(error: maru_streams::store::StoreError) -> Self {
        match error {
            maru_streams::store::StoreError::Row(_) => Self::internal(error),
            _ => Self::unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_code_of_the_door_is_also_a_contexts() {
        let mut codes: HashSet<&str> = maru_schemas::refusal::all().iter().map(|entry| entry.code).collect();
        for entry in super::OF_THE_DOOR {
            assert!(codes.insert(entry.code), "{} is used twice", entry.code);
            assert!(entry.sentence.ends_with('.'), "{}", entry.code);
        }
    }
}
