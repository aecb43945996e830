//! Logs, metrics and traces. [`log`] writes lines for people on a terminal and JSON otherwise, [`traces`]
//! sends spans to a collector when one is named; metrics are listed in `observability/README.md`.

mod lines;
mod log;
mod traces;

use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use maru_streams::jobs::Health;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub use self::log::log;
pub use self::traces::end;

/// Bounds for requests and transactions, in seconds.
const QUICK: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Bounds for the work of a lane, in seconds.
const LONG: &[f64] = &[
    0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];
/// Bounds for group sizes, in messages.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 200.0];

/// Starts counting.
pub fn measure() -> Result<Measured, Box<dyn std::error::Error>> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("maru_lane_handler_seconds".to_owned()), LONG)?
        .set_buckets_for_metric(Matcher::Full("maru_ai_call_seconds".to_owned()), LONG)?
        .set_buckets_for_metric(Matcher::Full("maru_ai_first_piece_seconds".to_owned()), LONG)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), QUICK)?
        .set_buckets_for_metric(Matcher::Suffix("_messages".to_owned()), COUNTS)?
        .install_recorder()?;
    metrics::gauge!("maru_build_info", "version" => env!("CARGO_PKG_VERSION"), "commit" => env!("MARU_COMMIT"))
        .set(1.0);
    let process = metrics_process::Collector::default();
    process.describe();
    let upkeep = recorder.clone();
    tokio::spawn(async move {
        // Histograms hold every sample until they are drained here.
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(Measured { recorder, process })
}

/// What was counted so far.
pub struct Measured {
    recorder: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Measured {
    /// Serves `/metrics`, `/livez` for whoever starts this process again when it is not well, and `/readyz` for
    /// whoever waits until it takes work.
    pub fn serve(self, listener: TcpListener, health: Health) {
        let (ready, alive) = (health.clone(), health.clone());
        let app = Router::new()
            .route(
                "/metrics",
                get(async move || {
                    self.process.collect();
                    look(&alive);
                    (
                        [("content-type", "text/plain; version=0.0.4; charset=utf-8")],
                        self.recorder.render(),
                    )
                }),
            )
            .route("/livez", get(async move || livez(&health)))
            .route("/readyz", get(async move || readyz(&ready)));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
    }
}

/// What is only known by looking, at the moment when somebody asks.
fn look(health: &Health) {
    metrics::gauge!("maru_ready").set(f64::from(u8::from(health.is_ready())));
    let runtime = tokio::runtime::Handle::current().metrics();
    metrics::gauge!("maru_runtime_tasks").set(runtime.num_alive_tasks() as f64);
    metrics::gauge!("maru_runtime_queued_tasks").set(runtime.global_queue_depth() as f64);
}

/// It takes work, or does not yet, or not any more.
fn readyz(health: &Health) -> (StatusCode, Json<Value>) {
    if health.is_ready() {
        (StatusCode::OK, Json(json!({ "status": "ready" })))
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "starting or draining" })),
        )
    }
}

/// Well, or what is not, part by part.
fn livez(health: &Health) -> (StatusCode, Json<Value>) {
    let troubles = health.troubles();
    if troubles.is_empty() {
        (StatusCode::OK, Json(json!({ "status": "alive" })))
    } else {
        let body = json!({ "status": "unwell", "troubles": troubles });
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    }
}
