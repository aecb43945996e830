//! What happens to my things, as it happens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::{Door, Here};
use crate::live::stream;
use crate::problem::Problem;
use crate::who::Member;

/// The address of the live stream.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new().routes(routes!(live))
}

#[utoipa::path(get, path = "/v1/live", tag = "live", security(("bearer" = [])),
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event you saw.")),
    responses((status = 200, description = "Server-sent events: `event` is the kind, `id` the place in the stream, `data` JSON.",
        body = String, content_type = "text/event-stream")))]
/// What happens to my books, purchases and reviews, as it happens.
async fn live(State(door): Here, member: Member, headers: HeaderMap) -> Result<Response, Problem> {
    stream(&door, member, &headers).await
}
