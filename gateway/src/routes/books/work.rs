//! Having a book written and painted: asking for it, watching it grow, calling it off.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use garde::Validate;
use maru_schemas::books::{Books, Command};
use maru_schemas::ids::BookId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accept::{Accepted, Wants};
use crate::door::{Door, Here};
use crate::problem::Problem;
use crate::story;
use crate::valid::{Body, Named, some_text};
use crate::who::{Author, Member};

/// The addresses of the work on a book.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(request_story))
        .routes(routes!(follow_story))
        .routes(routes!(cancel_story))
        .routes(routes!(request_image))
        .routes(routes!(cancel_image))
}

/// What the story is to be about.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoryWish {
    /// A few sentences, up to 2,000 characters; the book's own synopsis, if not given.
    #[garde(length(chars, max = 2000), inner(custom(some_text)))]
    #[schema(min_length = 1, max_length = 2000)]
    synopsis: Option<String>,
    /// Whether the image is painted after the story; yes, if not said.
    #[garde(skip)]
    image: Option<bool>,
}

#[utoipa::path(post, path = "/v1/books/{book}/ai-draft", tag = "books", security(("bearer" = [])),
    params(("book" = BookId, Path)), request_body = StoryWish,
    responses((status = 202, description = "A worker writes; the book tells how far it is.", body = Accepted)))]
/// Have the story written, and the image painted after it.
async fn request_story(
    State(door): Here,
    Author(author): Author,
    Named(book): Named<BookId>,
    wants: Wants,
    Body(asked): Body<StoryWish>,
) -> Result<Response, Problem> {
    let mut order = door
        .order(
            wants,
            &author.id.to_string(),
            &format!("POST /v1/books/{book}/ai-draft"),
            &asked,
        )?
        .until_job("write_story");
    let image = asked.image.unwrap_or(true);
    if image {
        order = order.until_job("paint_image");
    }
    let command = Command::RequestStory {
        synopsis: asked.synopsis,
        image,
    };
    let taken = door.accept::<Books>(order, author.actor(), book, &command).await?;
    Ok(taken.respond(StatusCode::ACCEPTED, Some(format!("/v1/books/{book}"))))
}

#[utoipa::path(get, path = "/v1/books/{book}/story", tag = "books", security(("bearer" = [])),
    params(("book" = BookId, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event you saw.")),
    responses((status = 200, description = "Server-sent events: `text` brings the next words, `restart` says to throw \
        away what came so far, `done`, `failed` or `cancelled` ends it. `data` is JSON.",
        body = String, content_type = "text/event-stream")))]
/// Read a story of mine while it is being written.
async fn follow_story(
    State(door): Here,
    member: Member,
    Named(book): Named<BookId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    story::follow(&door, member, book, &headers).await
}

#[utoipa::path(post, path = "/v1/books/{book}/ai-draft/cancel", tag = "books", security(("bearer" = [])),
    params(("book" = BookId, Path)),
    responses((status = 200, description = "Nobody writes it any more; an image that was to follow does not.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Have the writing of the story called off.
async fn cancel_story(
    State(door): Here,
    Author(author): Author,
    Named(book): Named<BookId>,
    wants: Wants,
) -> Result<Response, Problem> {
    let address = format!("POST /v1/books/{book}/ai-draft/cancel");
    let order = door.order(wants, &author.id.to_string(), &address, &())?;
    let taken = door
        .accept::<Books>(order, author.actor(), book, &Command::CancelStory {})
        .await?;
    Ok(taken.respond(StatusCode::OK, Some(format!("/v1/books/{book}"))))
}

#[utoipa::path(post, path = "/v1/books/{book}/ai-image", tag = "books", security(("bearer" = [])),
    params(("book" = BookId, Path)),
    responses((status = 202, description = "A worker paints; the book tells how far it is.", body = Accepted)))]
/// Have the image painted, whether there is a story or not.
async fn request_image(
    State(door): Here,
    Author(author): Author,
    Named(book): Named<BookId>,
    wants: Wants,
) -> Result<Response, Problem> {
    let order = door
        .order(
            wants,
            &author.id.to_string(),
            &format!("POST /v1/books/{book}/ai-image"),
            &(),
        )?
        .until_job("paint_image");
    let taken = door
        .accept::<Books>(order, author.actor(), book, &Command::RequestImage {})
        .await?;
    Ok(taken.respond(StatusCode::ACCEPTED, Some(format!("/v1/books/{book}"))))
}

#[utoipa::path(post, path = "/v1/books/{book}/ai-image/cancel", tag = "books", security(("bearer" = [])),
    params(("book" = BookId, Path)),
    responses((status = 200, description = "Nobody paints it any more.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Have the painting of the image called off.
async fn cancel_image(
    State(door): Here,
    Author(author): Author,
    Named(book): Named<BookId>,
    wants: Wants,
) -> Result<Response, Problem> {
    let address = format!("POST /v1/books/{book}/ai-image/cancel");
    let order = door.order(wants, &author.id.to_string(), &address, &())?;
    let taken = door
        .accept::<Books>(order, author.actor(), book, &Command::CancelImage {})
        .await?;
    Ok(taken.respond(StatusCode::OK, Some(format!("/v1/books/{book}"))))
}
