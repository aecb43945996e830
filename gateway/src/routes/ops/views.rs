//! How views stand, and building them again beside the ones that people read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::{Door, Here};
use crate::problem::Problem;
use crate::valid::{Named, Params};
use crate::who::Administrator;

/// The addresses of views.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(views))
        .routes(routes!(rebuild_view))
        .routes(routes!(swap_view))
        .routes(routes!(drop_view))
}

#[utoipa::path(get, path = "/v1/ops/views", tag = "ops", security(("bearer" = [])),
    responses((status = 200, description = "How far each view has read, what it waits for, what is being built.",
        body = Value)))]
/// How every view stands.
async fn views(State(door): Here, _: Administrator) -> Result<Json<Value>, Problem> {
    door.ask("views.status", json!({})).await
}

/// What becomes of a version that is built.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Rebuild {
    /// Whether people read it as soon as it is found equal.
    #[serde(default)]
    #[param(default = false)]
    swap: bool,
}

#[utoipa::path(post, path = "/v1/ops/views/{view}/rebuild", tag = "ops", security(("bearer" = [])),
    params(("view" = String, Path, description = "Its name."), Rebuild),
    responses((status = 202, description = "It is being built beside the one that is read; GET /v1/ops/views tells how far it is.",
        body = Value)))]
/// Build a view again beside the one that people read, and compare the two.
async fn rebuild_view(
    State(door): Here,
    _: Administrator,
    Named(view): Named<String>,
    Params(Rebuild { swap }): Params<Rebuild>,
) -> Result<Response, Problem> {
    let stands = door.ask("views.rebuild", json!({ "view": view, "swap": swap })).await?;
    Ok((StatusCode::ACCEPTED, stands).into_response())
}

#[utoipa::path(post, path = "/v1/ops/views/{view}/swap", tag = "ops", security(("bearer" = [])),
    params(("view" = String, Path, description = "Its name.")),
    responses((status = 200, description = "People read the other version; the one before is kept.", body = Value)))]
/// Let people read the other version of a view.
async fn swap_view(State(door): Here, _: Administrator, Named(view): Named<String>) -> Result<Json<Value>, Problem> {
    door.ask("views.swap", json!({ "view": view })).await
}

#[utoipa::path(post, path = "/v1/ops/views/{view}/drop", tag = "ops", security(("bearer" = [])),
    params(("view" = String, Path, description = "Its name.")),
    responses((status = 202, description = "The version that nobody reads is being taken away.", body = Value)))]
/// Take away the version of a view that nobody reads.
async fn drop_view(State(door): Here, _: Administrator, Named(view): Named<String>) -> Result<Response, Problem> {
    let stands = door.ask("views.drop", json!({ "view": view })).await?;
    Ok((StatusCode::ACCEPTED, stands).into_response())
}
