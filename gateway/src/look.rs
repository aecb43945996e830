//! Reading rows: lists in pages, and one's own writes.
//!
//! A write answers with a token, the sequence of its event. A read that carries it in `Maru-Min-Seq`
//! waits until its view has read that far, for a moment, or says honestly how far behind it is. Which of
//! its two places a view is read from is found out in the reading itself, so nothing here has to know.

use std::time::Duration;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use maru_streams::store::{Key, Part};
use maru_streams::views::{self, Look};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use crate::door::Door;
use crate::problem::{BAD_CURSOR, BAD_REQUEST, Problem, VIEW_BEHIND};

/// How long a read waits for its view.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// How many items, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// Where the page before ended: its `nextCursor`.
    cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Items<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// The token of a write that the reader wants to see.
#[derive(Debug, Clone, Copy)]
pub struct MinSeq(Option<u64>);

impl<S: Sync> FromRequestParts<S> for MinSeq {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("maru-min-seq") else {
            return Ok(Self(None));
        };
        let seq = value.to_str().ok().and_then(|text| text.trim().parse().ok());
        seq.map(|seq| Self(Some(seq)))
            .ok_or_else(|| Problem::from(BAD_REQUEST).because("Maru-Min-Seq takes the number from a Maru-Seq header."))
    }
}

/// How far a view had read when it was asked; goes out as `Maru-View-Seq`.
#[derive(Debug, Clone, Copy)]
pub struct ReadAs {
    seq: u64,
}

impl ReadAs {
    /// An answer from the view.
    pub fn respond(self, body: impl IntoResponse) -> Response {
        let mut response = body.into_response();
        response.headers_mut().insert("maru-view-seq", self.seq.into());
        response
    }
}

/// A reader who waits until the view has read as far as they need.
struct Waiting {
    wanted: u64,
    until: Instant,
}

impl Waiting {
    fn new(wanted: MinSeq) -> Self {
        Self {
            wanted: wanted.0.unwrap_or_default(),
            until: Instant::now() + PATIENCE,
        }
    }

    /// Waits for a moment more, unless that was the last one.
    async fn a_little(&self, seq: u64) -> Result<(), Problem> {
        if Instant::now() >= self.until {
            let mut problem = Problem::from(VIEW_BEHIND);
            problem.behind = Some(self.wanted.saturating_sub(seq));
            return Err(problem);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        Ok(())
    }
}

impl Door {
    /// One row of a view, if there is one.
    ///
    /// # Errors
    /// When the view is behind: by how many events.
    pub async fn row<T: DeserializeOwned>(
        &self,
        view: &'static str,
        key: &Key,
        wanted: MinSeq,
    ) -> Result<(ReadAs, Option<T>), Problem> {
        let waiting = Waiting::new(wanted);
        loop {
            let Look { seq, rows } = views::get(&self.store, view, key, waiting.wanted).await?;
            match rows {
                Some(row) => return Ok((ReadAs { seq }, row)),
                None => waiting.a_little(seq).await?,
            }
        }
    }

    /// A page of a list that stands under a prefix of keys.
    ///
    /// # Errors
    /// When the page is not one, or the view is behind.
    pub async fn list<T: DeserializeOwned + Serialize>(
        &self,
        view: &'static str,
        prefix: &[Part],
        page: Page,
        wanted: MinSeq,
        address: &str,
    ) -> Result<Response, Problem> {
        let limit = usize::from(page.limit.unwrap_or(20));
        if !(1..=100).contains(&limit) {
            return Err(Problem::from(BAD_REQUEST).because("limit is a number from 1 to 100."));
        }
        let after = page.cursor.as_deref().map(read_cursor).transpose()?.unwrap_or_default();
        let waiting = Waiting::new(wanted);
        let (read_as, mut rows) = loop {
            // One more than asked for tells whether there is a next page.
            let Look { seq, rows } =
                views::page::<T>(&self.store, view, prefix, &after, limit + 1, waiting.wanted).await?;
            match rows {
                Some(rows) => break (ReadAs { seq }, rows),
                None => waiting.a_little(seq).await?,
            }
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = match rows.last() {
            Some((key, _)) if more => Some(write_cursor(key)),
            _ => None,
        };
        let link = next_cursor
            .as_ref()
            .map(|cursor| format!("<{address}?limit={limit}&cursor={cursor}>; rel=\"next\""));
        let items = rows.into_iter().map(|(_, row)| row).collect();
        let mut response = read_as.respond(Json(Items { items, next_cursor }));
        if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }
}

fn write_cursor(key: &[Part]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

fn read_cursor(cursor: &str) -> Result<Vec<Part>, Problem> {
    BASE64_URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|json| serde_json::from_slice::<Vec<Part>>(&json).ok())
        .filter(|key| matches!(key.as_slice(), [Part::Number(_), Part::Text(_)]))
        .ok_or_else(|| BAD_CURSOR.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let key = vec![Part::Number(7), Part::Text("x".into())];
        assert_eq!(read_cursor(&write_cursor(&key)).unwrap(), key);
        for bad in ["", "!", "W10", "bnVsbA", &write_cursor(&[Part::Number(1)])] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
