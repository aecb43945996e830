//! Every address of the door, one file a context. A route that is not in the OpenAPI document cannot be
//! added: both come from the same line.

pub mod books;
pub mod commands;
pub mod documents;
pub mod images;
pub mod live;
pub mod members;
pub mod ops;
pub mod payments;
pub mod probes;
pub mod purchases;
pub mod reviews;

use std::sync::Arc;

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::door::Door;

/// The API and its document.
pub fn api() -> (Router<Arc<Door>>, OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(crate::documents::frame())
        .merge(members::routes())
        .merge(books::routes())
        .merge(purchases::routes())
        .merge(payments::routes())
        .merge(reviews::routes())
        .merge(images::routes())
        .merge(live::routes())
        .merge(commands::routes())
        .merge(ops::routes())
        .split_for_parts();
    (router, crate::documents::finish(document))
}
