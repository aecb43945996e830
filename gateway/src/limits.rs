//! How much the door takes: from one person, and altogether. What is over is told so at once, in a
//! problem with `Retry-After`, while everybody else is served.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use maru_schemas::ids::MemberId;
use tokio::sync::Semaphore;

use crate::door::Door;
use crate::problem::{OVERLOADED, Problem, TOO_MANY};
use crate::proxies::Proxies;
use crate::who::Member;

/// The longest that a request may take; the longest `Prefer: wait` fits in.
const LONGEST: Duration = Duration::from_secs(45);

/// Who is counted: a signed-in person, else where the request came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Caller {
    Member(MemberId),
    Address(IpAddr),
}

/// The door's measures.
pub struct Limits {
    callers: DefaultKeyedRateLimiter<Caller>,
    proxies: Proxies,
    places: Arc<Semaphore>,
    clock: DefaultClock,
}

impl Limits {
    /// So many requests a second from one caller on average, bursts of twice that at once, and so many
    /// requests altogether at the same time. Who comes through one of these proxies counts for themselves.
    #[must_use]
    pub fn new(per_second: NonZeroU32, at_once: usize, proxies: Proxies) -> Self {
        let quota =
            Quota::per_second(per_second).allow_burst(per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)));
        Self {
            callers: RateLimiter::keyed(quota),
            proxies,
            places: Arc::new(Semaphore::new(at_once)),
            clock: DefaultClock::default(),
        }
    }

    /// Forgets callers who have not asked for a while. Without it the table of callers only grows.
    pub fn forget_the_quiet(&self) {
        self.callers.retain_recent();
        self.callers.shrink_to_fit();
    }

    fn admit(&self, caller: &Caller) -> Result<(), Problem> {
        self.callers.check_key(caller).map_err(|not_until| {
            metrics::counter!("maru_http_refused_total", "reason" => "rate").increment(1);
            let wait = not_until.wait_time_from(self.clock.now());
            Problem::from(TOO_MANY).retry_after(wait.as_secs() + 1)
        })
    }
}

/// Lets a request in, or says when to come again.
pub async fn limit(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let caller = match request.extensions().get::<Member>() {
        Some(member) => Caller::Member(member.id),
        None => {
            let connected = request.extensions().get::<ConnectInfo<SocketAddr>>();
            let connected = connected.map_or(IpAddr::from([0, 0, 0, 0]), |from| from.0.ip());
            Caller::Address(door.limits.proxies.origin(connected, request.headers()))
        }
    };
    if let Err(problem) = door.limits.admit(&caller) {
        return problem.into_response();
    }
    let Ok(_place) = Arc::clone(&door.limits.places).try_acquire_owned() else {
        metrics::counter!("maru_http_refused_total", "reason" => "load").increment(1);
        return Problem::from(OVERLOADED).into_response();
    };
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::from(OVERLOADED)
            .because("The request took too long; send it again with the same Idempotency-Key.")
            .into_response(),
    }
}
