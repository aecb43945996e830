//! What members may have done for them by the lanes that cost money.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::door::{Door, Here};
use crate::problem::Problem;
use crate::valid::Body;
use crate::who::Administrator;

/// The addresses of budgets.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new().routes(routes!(budgets, set_budget))
}

#[utoipa::path(get, path = "/v1/ops/budgets", tag = "ops", security(("bearer" = [])),
    responses((status = 200, description = "Every member's budget, and how many of their jobs wait for a top-up.", body = Value)))]
/// What members may have done for them.
async fn budgets(State(door): Here, _: Administrator) -> Result<Json<Value>, Problem> {
    door.ask("budgets.list", json!({})).await
}

/// A member's budget in one kind of job.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct NewBudget {
    /// The kind of job: `write_story`, `paint_image`.
    kind: String,
    /// Whose.
    member: Uuid,
    /// How many runs they may have altogether.
    runs: u32,
    /// So many more than now, instead.
    #[serde(default)]
    add: bool,
}

#[utoipa::path(put, path = "/v1/ops/budgets", tag = "ops", security(("bearer" = [])), request_body = NewBudget,
    responses((status = 200, description = "Set; `letGo` jobs that waited go on.", body = Value)))]
/// Set or top up a member's budget.
async fn set_budget(State(door): Here, _: Administrator, Body(new): Body<NewBudget>) -> Result<Json<Value>, Problem> {
    door.ask("budgets.set", json!(new)).await
}
