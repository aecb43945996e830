//! Addresses that others have replaced. They go on working, and whenever they have an answer it says since when they are old
//! (`Deprecation`, RFC 9745) and where to ask instead (`Link`, RFC 8288), so that whoever reads their client's log finds
//! out before it is too late. In the API's document they are marked `deprecated`.

use axum::http::header::LINK;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponseParts, ResponseParts};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");

/// What an old address says with each answer.
#[derive(Debug, Clone, Copy)]
pub struct Superseded {
    /// Since when, as RFC 9745 writes it: `@` and seconds since 1970.
    pub since: &'static str,
    /// Where to ask instead: `<address>; rel="successor-version"`.
    pub by: &'static str,
}

impl IntoResponseParts for Superseded {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        let headers = parts.headers_mut();
        headers.insert(DEPRECATION, HeaderValue::from_static(self.since));
        headers.insert(LINK, HeaderValue::from_static(self.by));
        Ok(parts)
    }
}
