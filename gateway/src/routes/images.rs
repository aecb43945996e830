//! Generated images, from our own object store. An image never changes under its id, so whoever has it
//! may keep it for ever.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maru_schemas::ids::ImageId;
use maru_schemas::images::media_type;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::{Door, Here};
use crate::problem::{NO_SUCH_IMAGE, Problem};
use crate::valid::Named;

/// The addresses of images.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new().routes(routes!(get_image))
}

#[utoipa::path(get, path = "/v1/images/{image}", tag = "books", params(("image" = ImageId, Path)),
    responses((status = 200, description = "The image.", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"))),
        (status = 304, description = "You have it already.")))]
/// An image.
async fn get_image(State(door): Here, Named(image): Named<ImageId>, headers: HeaderMap) -> Result<Response, Problem> {
    let tag = format!("\"{image}\"");
    let caching = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
    ];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| {
        known
            .split(',')
            .any(|known| known.trim().trim_start_matches("W/") == tag)
    }) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let bytes = door
        .images
        .get(&image.to_string())
        .await
        .map_err(Problem::unavailable)?
        .ok_or(NO_SUCH_IMAGE)?;
    let kind = media_type(&bytes).unwrap_or("application/octet-stream");
    Ok((caching, [(header::CONTENT_TYPE, kind)], bytes).into_response())
}
