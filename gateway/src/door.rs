//! The door itself: what it holds, the order of its layers, and how it opens and closes.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use maru_streams::durability::Durability;
use maru_streams::intention::Clock;
use maru_streams::nats::Nats;
use maru_streams::objects::Images;
use maru_streams::partial::Partials;
use maru_streams::publish::Publisher;
use maru_streams::spans;
use maru_streams::store::Store;
use maru_streams::topology::COMMANDS;
use metrics::Gauge;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::accept::{new_id, theirs, traceparent};
use crate::keys::Keys;
use crate::limits::{Limits, limit};
use crate::live::Live;
use crate::outcomes::{ListenError, Outcomes};
use crate::problem::{LEAVING, METHOD_NOT_ALLOWED, NOT_FOUND, Problem};
use crate::proxies::Proxies;
use crate::sse::Streams;
use crate::waits::Waits;
use crate::{routes, who};

/// How long open requests may go on when the door closes.
const GRACE: Duration = Duration::from_secs(10);

/// How the door is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Requests a second that one person may make on average; bursts are twice that.
    pub requests_per_second: NonZeroU32,
    /// Requests that are served at the same time.
    pub requests_at_once: usize,
    /// What would take longer than this is turned away.
    pub longest_wait: Duration,
    /// Whose word is taken about where a request came from.
    pub proxies: Proxies,
}

/// What every request can reach.
pub struct Door {
    /// The streaming server.
    pub nats: Nats,
    /// The database: views and owners' rows to read, and the refresh tokens.
    pub store: Store,
    /// Into COMMANDS.
    pub commands: Publisher,
    /// What became of commands.
    pub outcomes: Outcomes,
    /// Generated images.
    pub images: Images,
    /// What is half done.
    pub partials: Partials,
    /// What happens, as it happens.
    pub live: Live,
    /// The installation's keys.
    pub keys: Keys,
    /// The time.
    pub clock: Clock,
    /// What "accepted" is worth, as read from the servers at the start.
    pub durability: Durability,
    /// How much the door takes.
    pub limits: Limits,
    /// Who has how many live streams open.
    pub streams: Streams,
    /// How long what is asked now will take.
    pub waits: Waits,
    /// Ends live streams when the door closes.
    pub stop: CancellationToken,
    is_leaving: AtomicBool,
}

/// The id of a request: the correlation of everything that follows from it.
#[derive(Debug, Clone, Copy)]
pub struct RequestId(pub Uuid);

/// The trace that a request belongs to, as W3C trace context.
#[derive(Debug, Clone)]
pub struct TraceContext(pub String);

impl Door {
    /// A door on these servers.
    ///
    /// # Errors
    /// When it cannot listen for outcomes.
    pub async fn new(
        nats: Nats,
        store: Store,
        keys: Keys,
        clock: Clock,
        durability: Durability,
        settings: Settings,
    ) -> Result<Arc<Self>, ListenError> {
        let stop = CancellationToken::new();
        let outcomes = Outcomes::listen(&nats, store.clone(), new_id()).await?;
        Ok(Arc::new(Self {
            commands: Publisher::start(nats.clone(), COMMANDS),
            images: Images::new(nats.clone()),
            partials: Partials::new(store.clone(), nats.clone()),
            live: Live::follow(nats.clone(), stop.clone()),
            limits: Limits::new(
                settings.requests_per_second,
                settings.requests_at_once,
                settings.proxies,
            ),
            streams: Streams::default(),
            waits: Waits::follow(nats.clone(), settings.longest_wait, stop.clone()),
            nats,
            store,
            outcomes,
            keys,
            clock,
            durability,
            stop,
            is_leaving: AtomicBool::new(false),
        }))
    }

    /// Whether requests can be served right now.
    ///
    /// # Errors
    /// What is away.
    pub async fn is_ready(&self) -> Result<(), Problem> {
        if self.is_leaving.load(Ordering::Acquire) {
            return Err(LEAVING.into());
        }
        if !self.nats.is_connected() {
            return Err(Problem::unavailable("nats-server is away"));
        }
        Ok(self.store.ping().await?)
    }

    /// Everything that answers, with its layers. From the outside in: panics are caught, the request
    /// gets its id, is measured, the headers are set, who asks is known, the limits apply.
    pub fn router(self: &Arc<Self>) -> Router {
        let (api, document) = routes::api();
        let limited = api
            .layer(from_fn_with_state(Arc::clone(self), limit))
            .layer(from_fn_with_state(Arc::clone(self), who::identify));
        Router::new()
            .merge(limited)
            .merge(routes::probes::routes())
            .merge(routes::documents::routes(document))
            .fallback(async || Problem::from(NOT_FOUND))
            .method_not_allowed_fallback(async || Problem::from(METHOD_NOT_ALLOWED))
            .layer(from_fn(headers))
            .layer(from_fn(measure))
            .layer(from_fn(request_id))
            .layer(CatchPanicLayer::custom(panicked))
            .with_state(Arc::clone(self))
    }
}

/// Serves until told to stop: then `/readyz` says so, live streams end, and what is open may finish.
///
/// # Errors
/// When the listener fails.
pub async fn serve(door: Arc<Door>, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let quiet = Arc::clone(&door);
    let tidy = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            quiet.limits.forget_the_quiet();
        }
    });
    let app = door.router().into_make_service_with_connect_info::<SocketAddr>();
    let closing = {
        let (door, stop) = (Arc::clone(&door), stop.clone());
        async move {
            stop.cancelled().await;
            door.is_leaving.store(true, Ordering::Release);
            door.stop.cancel();
        }
    };
    let serving = axum::serve(listener, app).with_graceful_shutdown(closing).into_future();
    let served = tokio::select! {
        served = serving => served,
        // A client that never finishes must not keep the process.
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
    };
    tidy.abort();
    served
}

async fn request_id(mut request: Request, next: Next) -> Response {
    const NAME: HeaderName = HeaderName::from_static("x-request-id");
    let given = request
        .headers()
        .get(&NAME)
        .and_then(|value| Uuid::parse_str(value.to_str().ok()?).ok());
    let id = given.unwrap_or_else(new_id);
    let traced = traced(&request, id);
    let context = spans::of(&traced).unwrap_or_else(|| traceparent(request.headers(), id));
    let known = tracing::info_span!(
        "request",
        requestId = %id,
        traceId = spans::trace_id(&context),
        commandId = Empty,
        method = %request.method(),
        route = route(&request),
    );
    request.extensions_mut().insert(RequestId(id));
    request.extensions_mut().insert(TraceContext(context));
    let mut response = next.run(request).instrument(known).instrument(traced.clone()).await;
    let status = response.status();
    traced.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        spans::failed(&traced, server_error(status));
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(NAME, value);
    }
    response
}

/// A request's span. Probes have none: they come every few seconds, and lead nowhere.
fn traced(request: &Request, id: Uuid) -> Span {
    let route = route(request);
    if !spans::are_kept() || matches!(route.as_str(), "/livez" | "/readyz") {
        return Span::none();
    }
    let method = method_label(request.method());
    let span = tracing::debug_span!(
        target: spans::TARGET,
        parent: None,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        "error.type" = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        maru.request.id = display(id),
    );
    spans::child(&span, theirs(request.headers()));
    span
}

/// Our refusals are no errors of ours; these are.
fn server_error(status: StatusCode) -> &'static str {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => "503",
        _ => "500",
    }
}

/// The pattern of the address, never the address itself: that has ids in it, and there are many.
fn route(request: &Request) -> String {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned())
}

async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (route, method) = (route(&request), method_label(request.method()));
    let _in_flight = Counted::new(metrics::gauge!("maru_http_in_flight"));
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    tracing::debug!(status, "answered");
    metrics::counter!("maru_http_requests_total", "route" => route.clone(), "method" => method, "status" => status)
        .increment(1);
    metrics::histogram!("maru_http_request_seconds", "route" => route, "method" => method).record(started.elapsed());
    response
}

/// One more of something for as long as this is there.
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Anybody can invent a method; labels are not for anybody to make.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Answers are data: nothing in them may be taken for a page, framed, or kept by somebody in between.
async fn headers(request: Request, next: Next) -> Response {
    let is_page = request.uri().path().starts_with("/docs");
    let mut response = next.run(request).await;
    let policy = if is_page {
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; frame-ancestors 'none'"
    } else {
        "default-src 'none'; frame-ancestors 'none'"
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    Problem::internal("a handler panicked; the log has the place").into_response()
}

/// The door as handlers take it.
pub type Here = State<Arc<Door>>;
