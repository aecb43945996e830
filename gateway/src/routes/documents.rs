//! The published documents: OpenAPI with a page to read it, AsyncAPI, the schemas of messages, and what
//! each problem code means. Nothing here loads anything from elsewhere.

use std::sync::Arc;

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use maru_schemas::refusal::{self, Entry};
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use crate::door::Door;
use crate::problem::{NOT_FOUND, OF_THE_DOOR, Problem};

/// The addresses of documents.
pub fn routes(openapi: OpenApi) -> Router<Arc<Door>> {
    Router::new()
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi))
        .route(
            "/asyncapi.json",
            get(async || Json(maru_schemas::documents::asyncapi())),
        )
        .route("/schemas/{name}", get(schema))
        .route(
            "/problems",
            get(async || Json(all_problems().map(told).collect::<Vec<_>>())),
        )
        .route("/problems/{code}", get(problem))
}

async fn schema(Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let schemas = maru_schemas::documents::schemas();
    let found = schemas.into_iter().find(|(known, _)| format!("{known}.json") == name);
    found.map(|(_, schema)| Json(schema)).ok_or_else(|| NOT_FOUND.into())
}

/// Every code that a problem can have.
pub fn all_problems() -> impl Iterator<Item = Entry> {
    OF_THE_DOOR.iter().copied().chain(refusal::all())
}

fn told(entry: Entry) -> Value {
    json!({ "code": entry.code, "status": entry.http, "detail": entry.sentence })
}

async fn problem(Path(code): Path<String>) -> Result<Json<Value>, Problem> {
    let found = all_problems().find(|entry| entry.code == code);
    found.map(|entry| Json(told(entry))).ok_or_else(|| NOT_FOUND.into())
}
