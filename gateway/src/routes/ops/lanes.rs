//! How it stands and whether it is well, stopping a lane and letting it go on, and what became of a command.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::door::{Door, Here};
use crate::problem::Problem;
use crate::valid::Named;
use crate::who::Administrator;

/// The addresses of lanes.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(list_lanes))
        .routes(routes!(pause_lane))
        .routes(routes!(resume_lane))
        .routes(routes!(trace_command))
        .routes(routes!(doctor))
}

#[utoipa::path(get, path = "/v1/ops/lanes", tag = "ops", security(("bearer" = [])),
    responses((status = 200, description = "Every lane, view and stream, as `maru status --json` tells it.", body = Value)))]
/// How it stands.
async fn list_lanes(State(door): Here, _: Administrator) -> Result<Json<Value>, Problem> {
    door.ask("lanes.status", json!({})).await
}

#[utoipa::path(post, path = "/v1/ops/lanes/{lane}/pause", tag = "ops", security(("bearer" = [])),
    params(("lane" = String, Path, description = "`job-write_story`, or `write_story`.")),
    responses((status = 200, description = "Nothing more is delivered; what runs goes on.", body = Value)))]
/// Pause a lane.
async fn pause_lane(
    State(door): Here,
    Administrator(admin): Administrator,
    Named(lane): Named<String>,
) -> Result<Json<Value>, Problem> {
    let question = json!({ "lanes": [lane], "by": admin.actor().to_string() });
    door.ask("lanes.pause", question).await
}

#[utoipa::path(post, path = "/v1/ops/lanes/{lane}/resume", tag = "ops", security(("bearer" = [])),
    params(("lane" = String, Path, description = "`job-write_story`, or `write_story`.")),
    responses((status = 200, description = "The lane goes on.", body = Value)))]
/// Let a lane go on.
async fn resume_lane(
    State(door): Here,
    Administrator(admin): Administrator,
    Named(lane): Named<String>,
) -> Result<Json<Value>, Problem> {
    let question = json!({ "lanes": [lane], "by": admin.actor().to_string() });
    door.ask("lanes.resume", question).await
}

#[utoipa::path(get, path = "/v1/ops/doctor", tag = "ops", security(("bearer" = [])),
    responses((status = 200, description = "Every finding with what to do about it, as `maru doctor --json` tells it.", body = Value)))]
/// Whether it is as it should be.
async fn doctor(State(door): Here, _: Administrator) -> Result<Json<Value>, Problem> {
    door.ask("doctor", json!({})).await
}

#[utoipa::path(get, path = "/v1/ops/commands/{command}/trace", tag = "ops", security(("bearer" = [])),
    params(("command" = Uuid, Path)),
    responses((status = 200, description = "What became of it and of all that followed, as `maru trace --json` tells it.", body = Value)))]
/// Follow a command.
async fn trace_command(
    State(door): Here,
    _: Administrator,
    Named(command): Named<Uuid>,
) -> Result<Json<Value>, Problem> {
    door.ask("commands.trace", json!({ "id": command })).await
}
