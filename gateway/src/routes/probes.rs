//! Whether this process lives, and whether it can serve.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::door::{Door, Here};
use crate::problem::Problem;

/// For probes. Not limited and not in the API document: they belong to whoever runs the process.
pub fn routes() -> Router<Arc<Door>> {
    Router::new()
        .route(
            "/livez",
            get(async || (StatusCode::OK, Json(json!({ "status": "alive" })))),
        )
        .route("/readyz", get(ready))
}

async fn ready(State(door): Here) -> Result<Json<serde_json::Value>, Problem> {
    door.is_ready().await?;
    Ok(Json(
        json!({ "status": "ready", "durability": door.durability.as_str() }),
    ))
}
