//! What readers say of a book.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use garde::Validate;
use maru_schemas::books::{self, Book};
use maru_schemas::ids::{BookId, PurchaseId, ReviewId};
use maru_schemas::purchases::{self, Purchase};
use maru_schemas::refusal::Refusal as _;
use maru_schemas::reviews::{Command, HalfStars, Refusal, Reviews};
use maru_schemas::views::{BOOK_REVIEWS, BookReview};
use maru_streams::store::Part;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accept::{Accepted, Wants};
use crate::door::{Door, Here};
use crate::look::{Items, MinSeq, Page};
use crate::problem::Problem;
use crate::valid::{Body, Named, Params, some_text};
use crate::who::Member;

/// The context's addresses.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(book_reviews, write_review))
        .routes(routes!(edit_review, remove_review))
}

fn stars(value: &f64, _: &()) -> garde::Result {
    match HalfStars::from_stars(*value) {
        Some(_) => Ok(()),
        None => Err(garde::Error::new("goes from 0.5 to 5 in steps of a half")),
    }
}

/// What a reader says.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewReview {
    /// In words, up to 2,000 characters.
    #[garde(length(chars, max = 2000), custom(some_text))]
    #[schema(min_length = 1, max_length = 2000)]
    content: String,
    /// In stars, 0.5 to 5 in halves.
    #[garde(custom(stars))]
    #[schema(minimum = 0.5, maximum = 5.0, multiple_of = 0.5)]
    rating: f64,
}

#[utoipa::path(post, path = "/v1/books/{book}/reviews", tag = "reviews", security(("bearer" = [])),
    params(("book" = BookId, Path)), request_body = NewReview,
    responses((status = 201, description = "The review is there.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Review a book that I bought.
async fn write_review(
    State(door): Here,
    member: Member,
    Named(book): Named<BookId>,
    wants: Wants,
    Body(asked): Body<NewReview>,
) -> Result<Response, Problem> {
    let found: Option<(u64, Book)> = door.store.state(books::CONTEXT, book).await?;
    found.ok_or(books::Refusal::NoSuchBook.entry())?;
    // That the member bought it is the house's own claim, read from the owner now.
    let purchase: Option<(u64, Purchase)> = door
        .store
        .state(purchases::CONTEXT, PurchaseId::of(member.id, book))
        .await?;
    let order = door.order(
        wants,
        &member.id.to_string(),
        &format!("POST /v1/books/{book}/reviews"),
        &asked,
    )?;
    let review = ReviewId::of(member.id, book);
    let command = Command::WriteReview {
        member: member.id,
        book,
        rating: HalfStars::from_stars(asked.rating).ok_or(Refusal::NoSuchReview.entry())?,
        content: asked.content,
        bought: purchase.is_some_and(|(_, purchase)| purchase.entitles()),
    };
    let taken = door.accept::<Reviews>(order, member.actor(), review, &command).await?;
    Ok(taken.respond(StatusCode::CREATED, Some(format!("/v1/reviews/{review}"))))
}

/// What to change; what is not given stays.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EditReview {
    /// In words, up to 2,000 characters.
    #[garde(length(chars, max = 2000), inner(custom(some_text)))]
    #[schema(min_length = 1, max_length = 2000)]
    content: Option<String>,
    /// In stars, 0.5 to 5 in halves.
    #[garde(inner(custom(stars)))]
    #[schema(minimum = 0.5, maximum = 5.0, multiple_of = 0.5)]
    rating: Option<f64>,
}

#[utoipa::path(patch, path = "/v1/reviews/{review}", tag = "reviews", security(("bearer" = [])),
    params(("review" = ReviewId, Path)), request_body = EditReview,
    responses((status = 200, description = "Changed.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Change a review of mine.
async fn edit_review(
    State(door): Here,
    member: Member,
    Named(review): Named<ReviewId>,
    wants: Wants,
    Body(asked): Body<EditReview>,
) -> Result<Response, Problem> {
    let order = door.order(
        wants,
        &member.id.to_string(),
        &format!("PATCH /v1/reviews/{review}"),
        &asked,
    )?;
    let command = Command::EditReview {
        rating: asked.rating.and_then(HalfStars::from_stars),
        content: asked.content,
    };
    let taken = door.accept::<Reviews>(order, member.actor(), review, &command).await?;
    Ok(taken.respond(StatusCode::OK, None))
}

#[utoipa::path(delete, path = "/v1/reviews/{review}", tag = "reviews", security(("bearer" = [])),
    params(("review" = ReviewId, Path)),
    responses((status = 200, description = "Taken back.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Take a review of mine back.
async fn remove_review(
    State(door): Here,
    member: Member,
    Named(review): Named<ReviewId>,
    wants: Wants,
) -> Result<Response, Problem> {
    let order = door.order(
        wants,
        &member.id.to_string(),
        &format!("DELETE /v1/reviews/{review}"),
        &(),
    )?;
    let taken = door
        .accept::<Reviews>(order, member.actor(), review, &Command::RemoveReview {})
        .await?;
    Ok(taken.respond(StatusCode::OK, None))
}

#[utoipa::path(get, path = "/v1/books/{book}/reviews", tag = "reviews", security(("bearer" = [])),
    params(("book" = BookId, Path), Page),
    responses((status = 200, description = "What readers say, newest first.", body = Items<BookReview>)))]
/// The reviews of a book.
async fn book_reviews(
    State(door): Here,
    _: Member,
    Named(book): Named<BookId>,
    Params(page): Params<Page>,
    wanted: MinSeq,
) -> Result<Response, Problem> {
    let of_book = [Part::from(book.0)];
    let address = format!("/v1/books/{book}/reviews");
    door.list::<BookReview>(BOOK_REVIEWS, &of_book, page, wanted, &address)
        .await
}
