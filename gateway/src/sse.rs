//! A stream of server-sent events to one member, whatever it tells: how many they may have open at once, how long, and what
//! keeps it open on its way.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use maru_schemas::ids::MemberId;

use crate::door::{Counted, Door};
use crate::problem::{Problem, TOO_MANY};
use crate::who::Member;

/// So many one member may have open at one gateway: some devices, with some pages on each. A stream costs next to nothing
/// while it is quiet, but each that catches up reads the stream of events for itself.
const MOST: usize = 16;
/// When one of them may be free again.
const SOON: u64 = 30;
/// How often something is said when there is nothing to say.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How many streams each member has open.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<MemberId, usize>>>);

/// One open stream, or one that is about to be.
pub struct Open {
    streams: Streams,
    member: MemberId,
    _counted: Counted,
}

impl Streams {
    /// Room for one more; taken before anything is done for it.
    ///
    /// # Errors
    /// When the member has too many open.
    pub fn open(&self, member: MemberId, route: &'static str) -> Result<Open, Problem> {
        // A panic while it is held leaves plain numbers behind.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = all.entry(member).or_default();
        if *open >= MOST {
            metrics::counter!("maru_http_refused_total", "reason" => "streams").increment(1);
            let why = format!("You have {MOST} live streams open here; close one, or wait until one ends.");
            return Err(Problem::from(TOO_MANY).because(why).retry_after(SOON));
        }
        *open += 1;
        drop(all);
        Ok(Open {
            streams: self.clone(),
            member,
            _counted: Counted::new(metrics::gauge!("maru_http_live_streams", "route" => route)),
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut all = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get_mut(&self.member) {
            *open -= 1;
            if *open == 0 {
                all.remove(&self.member);
            }
        }
    }
}

/// Tells a member these events until there are no more, the door closes, or their token is good no more: whoever has
/// logged out, or may do less by now, must not go on hearing. They come back with a new one, and the id they saw last.
pub fn tell<S>(door: &Door, member: Member, open: Open, events: S) -> Response
where
    S: Stream<Item = Event> + Send + 'static,
{
    let left = u64::try_from(member.until - door.clock.now().as_second()).unwrap_or_default();
    let events = events
        .take_until(door.stop.clone().cancelled_owned())
        .take_until(tokio::time::sleep(Duration::from_secs(left)))
        .map(move |event| {
            let _ = &open;
            Ok::<_, Infallible>(event)
        });
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE))
        .into_response();
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
