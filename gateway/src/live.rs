//! What happens to one's own things, as it happens: server-sent events at `/v1/live`.
//!
//! The id of an event is its sequence in EVENTS, so a browser that was away says `Last-Event-ID` and
//! gets what it missed. Everybody who is connected shares one reading of the stream; only who catches
//! up reads on their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use maru_schemas::ids::MemberId;
use maru_streams::nats::Nats;
use maru_streams::tail::{self, Passing};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::door::{Counted, Door};
use crate::problem::{BAD_REQUEST, Problem, UNAVAILABLE};

/// How many events a slow reader may fall behind before it is sent away to come back with its place.
const BACKLOG: usize = 1024;
/// How many events we read again for one who comes back; beyond, they begin from now.
const FURTHEST_BACK: u64 = 100_000;

/// What passes by, for everybody connected.
pub struct Live {
    passing: broadcast::Sender<Arc<Passing>>,
}

impl Live {
    /// Follows EVENTS until told to stop, again whenever that breaks.
    #[must_use]
    pub fn follow(nats: Nats, stop: CancellationToken) -> Self {
        let (passing, _) = broadcast::channel(BACKLOG);
        let sender = passing.clone();
        tokio::spawn(async move {
            let mut last = None;
            let following = async {
                loop {
                    if let Ok(events) = tail::events(&nats, last).await {
                        let mut events = std::pin::pin!(events);
                        while let Some(Ok(event)) = events.next().await {
                            last = Some(event.seq);
                            // Nobody listening is no error.
                            let _ = sender.send(Arc::new(event));
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            };
            stop.run_until_cancelled(following).await;
        });
        Self { passing }
    }
}

/// The live stream of a member.
///
/// # Errors
/// When `Last-Event-ID` is not a sequence, or the stream cannot be read.
pub async fn stream(door: &Arc<Door>, member: MemberId, headers: &HeaderMap) -> Result<Response, Problem> {
    let last = match headers.get("last-event-id") {
        Some(value) => Some(
            value
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse::<u64>().ok())
                .ok_or_else(|| {
                    Problem::from(BAD_REQUEST).because("Last-Event-ID takes the id of an event from here.")
                })?,
        ),
        None => None,
    };
    // Subscribed before asking how far the stream is: nothing can fall in between.
    let live = door.live.passing.subscribe();
    let newest = tail::last_sequence(&door.nats)
        .await
        .map_err(|_| Problem::from(UNAVAILABLE))?;
    // A place too far back, or one that this stream never had, is none: they begin anew.
    let last = last.filter(|last| newest.checked_sub(*last).is_some_and(|back| back <= FURTHEST_BACK));
    let hello = Event::default()
        .event("hello")
        .id(last.unwrap_or(newest).to_string())
        .retry(Duration::from_secs(2))
        .data("{}");
    let events = match last {
        Some(last) => {
            let events = tail::events(&door.nats, Some(last))
                .await
                .map_err(Problem::unavailable)?;
            events
                .take_while(|event| std::future::ready(event.is_ok()))
                .filter_map(move |event| std::future::ready(event.ok().and_then(|event| told(member, &event))))
                .boxed()
        }
        // Who follows the stream for all may not have come as far yet as `hello` said.
        None => broadcasts(live)
            .filter(move |event| std::future::ready(event.seq > newest))
            .filter_map(move |event| std::future::ready(told(member, &event)))
            .boxed(),
    };
    let stopped = door.stop.clone().cancelled_owned();
    let open = Counted::new(metrics::gauge!("maru_http_live_streams", "route" => "/v1/live"));
    let stream = stream::once(std::future::ready(hello))
        .chain(events)
        .take_until(stopped)
        .map(move |event| {
            let _ = &open;
            Ok::<_, Infallible>(event)
        });
    let mut response = Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response();
    response
        .headers_mut()
        .insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

/// Ends for who falls behind: they come back with their place.
fn broadcasts(live: broadcast::Receiver<Arc<Passing>>) -> impl Stream<Item = Arc<Passing>> + Send {
    stream::unfold(live, |mut live| async move {
        let event = live.recv().await.ok()?;
        Some((event, live))
    })
}

/// The event as its owner gets it; None for everybody else.
fn told(member: MemberId, event: &Passing) -> Option<Event> {
    if event.envelope.owner != Some(member) {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(&event.body).ok()?;
    let kind = body["kind"].as_str()?.to_owned();
    let context = event.envelope.kind.split('.').nth(1)?;
    let data = serde_json::json!({
        "context": context,
        "kind": kind,
        "id": event.envelope.subject,
        "version": event.envelope.version,
        "time": event.envelope.time.to_string(),
        "commandId": event.envelope.causation,
        "data": body["data"],
    });
    Some(
        Event::default()
            .event(kind)
            .id(event.seq.to_string())
            .data(data.to_string()),
    )
}
