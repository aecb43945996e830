//! What happens to one's own things, as it happens: server-sent events at `/v1/live`.
//!
//! The id of an event is its sequence in EVENTS, so a browser that was away says `Last-Event-ID` and
//! gets what it missed. Everybody who is connected shares one reading of the stream; who catches up reads
//! on their own, up to where the stream was when they came.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::{Stream, StreamExt, stream};
use maru_schemas::ids::MemberId;
use maru_streams::nats::Nats;
use maru_streams::tail::{self, Passing, TailError};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::door::Door;
use crate::problem::{BAD_REQUEST, Problem, UNAVAILABLE};
use crate::sse;
use crate::who::Member;

/// How many events a slow reader may fall behind before it is sent away to come back with its place.
const BACKLOG: usize = 1024;
/// How many events we read again for one who comes back; beyond, they begin from now.
const FURTHEST_BACK: u64 = 100_000;

/// How soon following is tried again.
const AGAIN: Duration = Duration::from_millis(250);

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
            let following = async {
                // From here on none is left out, however often it breaks.
                let mut last = loop {
                    match tail::last_sequence(&nats).await {
                        Ok(last) => break Some(last),
                        Err(_) => tokio::time::sleep(AGAIN).await,
                    }
                };
                loop {
                    if let Ok(events) = tail::events(&nats, last).await {
                        let mut events = std::pin::pin!(events);
                        while let Some(Ok(event)) = events.next().await {
                            last = Some(event.seq);
                            // Nobody listening is no error.
                            let _ = sender.send(Arc::new(event));
                        }
                    }
                    tokio::time::sleep(AGAIN).await;
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
/// When `Last-Event-ID` is not a sequence, the stream cannot be read, or too many are open.
pub async fn stream(door: &Arc<Door>, who: Member, headers: &HeaderMap) -> Result<Response, Problem> {
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
    let open = door.streams.open(who.id, "/v1/live")?;
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
    // Who follows the stream for all may not have come as far yet as `hello` said.
    let live = broadcasts(live)
        .filter(move |event| std::future::ready(event.seq > newest))
        .map(Some);
    let events = match last.filter(|last| *last < newest) {
        Some(last) => {
            let events = tail::events(&door.nats, Some(last)).await;
            missed(events.map_err(Problem::unavailable)?, newest)
                .chain(live)
                .boxed()
        }
        None => live.boxed(),
    };
    let events = events
        .take_while(|event| std::future::ready(event.is_some()))
        .filter_map(move |event| std::future::ready(event.and_then(|event| told(who.id, &event))));
    let events = stream::once(std::future::ready(hello)).chain(events);
    Ok(sse::tell(door, who, open, events))
}

/// Ends for who falls behind: they come back with their place.
fn broadcasts(live: broadcast::Receiver<Arc<Passing>>) -> impl Stream<Item = Arc<Passing>> + Send {
    stream::unfold(live, |mut live| async move {
        let event = live.recv().await.ok()?;
        Some((event, live))
    })
}

/// What was missed, up to where the stream was; then the reading is over. None if it broke: what follows must not
/// be shown to who lacks what came before.
fn missed(
    events: impl Stream<Item = Result<Passing, TailError>> + Send,
    newest: u64,
) -> impl Stream<Item = Option<Arc<Passing>>> + Send {
    let reading = (Box::pin(events), false);
    let up_to = stream::unfold(reading, move |(mut events, is_over)| async move {
        if is_over {
            return None;
        }
        let event = events.next().await.and_then(Result::ok).map(Arc::new);
        let is_over = event.as_ref().is_none_or(|event| event.seq >= newest);
        Some((event, (events, is_over)))
    });
    // The last one of them may be nobody's; whatever ends the reading then comes from the others, too.
    up_to.filter(move |event| std::future::ready(event.as_ref().is_none_or(|event| event.seq <= newest)))
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
