//! Books: writing them, publishing, looking, reading. How they are written and painted for their author
//! is in `work`.
//!
//! The way of a command, from here: `schemas/src/books.rs`, `workers/src/contexts/books/decide.rs`,
//! `workers/src/flows/authoring.rs`, `workers/src/jobs/write_story.rs`, `workers/src/views/book_home.rs`,
//! and the GET is back in this file.

mod work;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use garde::Validate;
use maru_schemas::books::{Book, Books, CONTEXT, Command, Edition, Refusal, Status, WorkStatus};
use maru_schemas::ids::{self, BookId, PurchaseId};
use maru_schemas::members::Role;
use maru_schemas::purchases::{self, Purchase};
use maru_schemas::refusal::Refusal as _;
use maru_schemas::views::{BOOK_DETAIL, BOOK_HOME, BookDetail, BookHome, MY_BOOKS, MyBook};
use maru_streams::store::{Key, Part};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accept::{Accepted, Wants};
use crate::door::{Door, Here};
use crate::look::{Items, MinSeq, Page};
use crate::problem::{CHANGED_MEANWHILE, NOT_PAID, Problem};
use crate::story;
use crate::valid::{Body, Named, Params, line, some_text, text};
use crate::who::{Author, Member};

/// The context's addresses.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(list_books, create_book))
        .routes(routes!(get_book, edit_book, withdraw_book))
        .routes(routes!(publish_book))
        .routes(routes!(read_contents))
        .routes(routes!(my_books))
        .merge(work::routes())
}

/// The dearest that a book may be, in won.
const DEAREST: u32 = 10_000_000;

/// A new book: with its contents, or with a synopsis to have a story written from.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewBook {
    /// One line, up to 200 characters.
    #[garde(length(chars, max = 200), custom(line))]
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// What it is about, up to 2,000 characters.
    #[serde(default)]
    #[garde(length(chars, max = 2000), custom(text))]
    #[schema(max_length = 2000)]
    synopsis: String,
    /// The story, up to 100,000 characters.
    #[serde(default)]
    #[garde(length(chars, max = 100_000), custom(text))]
    #[schema(max_length = 100_000)]
    contents: String,
    /// In won.
    #[serde(default)]
    #[garde(range(max = DEAREST))]
    #[schema(maximum = 10_000_000)]
    price: u32,
    /// Publish right away. A book that comes with its contents is published, unless this says `false`; one
    /// without is a draft.
    #[garde(skip)]
    publish: Option<bool>,
}

#[utoipa::path(post, path = "/v1/books", tag = "books", security(("bearer" = [])), request_body = NewBook,
    responses((status = 201, description = "The book is there.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Begin a book.
async fn create_book(
    State(door): Here,
    Author(author): Author,
    wants: Wants,
    Body(asked): Body<NewBook>,
) -> Result<Response, Problem> {
    let order = door.order(wants, &author.id.to_string(), "POST /v1/books", &asked)?;
    let book = BookId(ids::derive(order.id, "book"));
    let has_contents = !asked.contents.trim().is_empty();
    let command = Command::CreateBook {
        title: asked.title,
        synopsis: asked.synopsis,
        contents: if has_contents { asked.contents } else { String::new() },
        price: asked.price,
        publish: asked.publish.unwrap_or(has_contents),
    };
    let taken = door.accept::<Books>(order, author.actor(), book, &command).await?;
    Ok(taken.respond(StatusCode::CREATED, Some(format!("/v1/books/{book}"))))
}

/// What to change; what is not given stays.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EditBook {
    /// One line, up to 200 characters.
    #[garde(length(chars, max = 200), inner(custom(line)))]
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// Up to 2,000 characters.
    #[garde(length(chars, max = 2000), inner(custom(text)))]
    #[schema(max_length = 2000)]
    synopsis: Option<String>,
    /// Up to 100,000 characters, and not nothing.
    #[garde(length(chars, max = 100_000), inner(custom(some_text)))]
    #[schema(min_length = 1, max_length = 100_000)]
    contents: Option<String>,
    /// In won.
    #[garde(range(max = DEAREST))]
    #[schema(maximum = 10_000_000)]
    price: Option<u32>,
}

#[utoipa::path(patch, path = "/v1/books/{book}", tag = "books", security(("bearer" = [])), request_body = EditBook,
    params(("book" = BookId, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the book as you read it.")),
    responses((status = 200, description = "Changed.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Change a book of mine.
async fn edit_book(
    State(door): Here,
    Author(author): Author,
    Named(book): Named<BookId>,
    headers: HeaderMap,
    wants: Wants,
    Body(asked): Body<EditBook>,
) -> Result<Response, Problem> {
    let expected = if_match(&headers)?;
    let order = door.order(
        wants,
        &author.id.to_string(),
        &format!("PATCH /v1/books/{book}"),
        &asked,
    )?;
    let command = Command::EditBook {
        title: asked.title,
        synopsis: asked.synopsis,
        contents: asked.contents,
        price: asked.price,
        expected,
    };
    let taken = door.accept::<Books>(order, author.actor(), book, &command).await?;
    Ok(taken.respond(StatusCode::OK, Some(format!("/v1/books/{book}"))))
}

/// The version in `If-Match`; none if it is absent or `*`.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    match headers
        .get(header::IF_MATCH)
        .map(|value| value.to_str().unwrap_or_default().trim())
    {
        None | Some("*") => Ok(None),
        Some(tag) => {
            let version = tag
                .strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"')?.parse().ok());
            version.map(Some).ok_or_else(|| CHANGED_MEANWHILE.into())
        }
    }
}

#[utoipa::path(delete, path = "/v1/books/{book}", tag = "books", security(("bearer" = [])),
    params(("book" = BookId, Path)),
    responses((status = 200, description = "Out of the catalogue; who bought it keeps it.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Withdraw a book of mine.
async fn withdraw_book(
    State(door): Here,
    Author(author): Author,
    Named(book): Named<BookId>,
    wants: Wants,
) -> Result<Response, Problem> {
    let order = door.order(wants, &author.id.to_string(), &format!("DELETE /v1/books/{book}"), &())?;
    let taken = door
        .accept::<Books>(order, author.actor(), book, &Command::WithdrawBook {})
        .await?;
    Ok(taken.respond(StatusCode::OK, None))
}

#[utoipa::path(post, path = "/v1/books/{book}/publish", tag = "books", security(("bearer" = [])),
    params(("book" = BookId, Path)),
    responses((status = 200, description = "In the catalogue.", body = Accepted),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Publish a book of mine.
async fn publish_book(
    State(door): Here,
    Author(author): Author,
    Named(book): Named<BookId>,
    wants: Wants,
) -> Result<Response, Problem> {
    let order = door.order(
        wants,
        &author.id.to_string(),
        &format!("POST /v1/books/{book}/publish"),
        &(),
    )?;
    let taken = door
        .accept::<Books>(order, author.actor(), book, &Command::PublishBook {})
        .await?;
    Ok(taken.respond(StatusCode::OK, Some(format!("/v1/books/{book}"))))
}

#[utoipa::path(get, path = "/v1/books", tag = "books", security(("bearer" = [])), params(Page),
    responses((status = 200, description = "What is published, newest first.", body = Items<BookHome>)))]
/// The catalogue.
async fn list_books(
    State(door): Here,
    _: Member,
    Params(page): Params<Page>,
    wanted: MinSeq,
) -> Result<Response, Problem> {
    door.list::<BookHome>(BOOK_HOME, &[], page, wanted, "/v1/books").await
}

#[utoipa::path(get, path = "/v1/me/books", tag = "books", security(("bearer" = [])), params(Page),
    responses((status = 200, description = "My books, drafts and withdrawn ones too.", body = Items<MyBook>)))]
/// My own books.
async fn my_books(
    State(door): Here,
    member: Member,
    Params(page): Params<Page>,
    wanted: MinSeq,
) -> Result<Response, Problem> {
    let mine = [Part::from(member.id.0)];
    door.list::<MyBook>(MY_BOOKS, &mine, page, wanted, "/v1/me/books").await
}

/// One book; with its contents, for who may read them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BookPage {
    #[serde(flatten)]
    book: BookDetail,
    /// The story, for the author and for who bought the book.
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<String>,
    /// How many characters of the story there are so far: for the author, while it is being written.
    #[serde(skip_serializing_if = "Option::is_none")]
    story_characters: Option<usize>,
}

#[utoipa::path(get, path = "/v1/books/{book}", tag = "books", security(("bearer" = [])),
    params(("book" = BookId, Path)),
    responses((status = 200, description = "The book.", body = BookPage)))]
/// One book.
async fn get_book(
    State(door): Here,
    member: Member,
    Named(id): Named<BookId>,
    wanted: MinSeq,
) -> Result<Response, Problem> {
    let (read_as, row) = door
        .row::<BookDetail>(BOOK_DETAIL, &Key::of(BOOK_DETAIL, id), wanted)
        .await?;
    let book = row.ok_or(Refusal::NoSuchBook.entry())?;
    let contents = match may_read(&door, member, id).await {
        Ok(edition) => Some(edition.contents),
        // Not theirs to read, but theirs to look at.
        Err(problem) if problem.status == 402 => None,
        Err(problem) => return Err(problem),
    };
    let is_written_now = book.story_status == WorkStatus::Generating && book.author.member_id == member.id;
    let story_characters = match is_written_now {
        true => story::characters(&door, id).await?,
        false => None,
    };
    let tag = format!("\"{}\"", book.version);
    let mut response = read_as.respond(Json(BookPage {
        book,
        contents,
        story_characters,
    }));
    if let Ok(tag) = tag.parse() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// The contents of a book, as the reader has them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    book_id: BookId,
    title: String,
    contents: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<String>,
}

#[utoipa::path(get, path = "/v1/books/{book}/contents", tag = "books", security(("bearer" = [])),
    params(("book" = BookId, Path)),
    responses((status = 200, description = "The story, in the edition that was bought.", body = Contents),
        (status = 402, description = "Not bought.", body = Problem, content_type = "application/problem+json")))]
/// Read a book.
async fn read_contents(
    State(door): Here,
    member: Member,
    Named(book_id): Named<BookId>,
) -> Result<Json<Contents>, Problem> {
    let edition = may_read(&door, member, book_id).await?;
    Ok(Json(Contents {
        book_id,
        title: edition.title,
        contents: edition.contents,
        image_url: edition.image.map(maru_schemas::views::image_url),
    }))
}

/// The edition that somebody may read now, asked of the owners' own rows: a view could be behind, and
/// who has paid must not be turned away, nor the other way round.
async fn may_read(door: &Door, member: Member, id: BookId) -> Result<Edition, Problem> {
    let book: Option<(u64, Book)> = door.store.state(CONTEXT, id).await?;
    let (_, book) = book.ok_or(Refusal::NoSuchBook.entry())?;
    let number = if book.author == Some(member.id) || member.role == Role::Admin {
        book.edition
    } else {
        let purchase: Option<(u64, Purchase)> = door
            .store
            .state(purchases::CONTEXT, PurchaseId::of(member.id, id))
            .await?;
        match purchase {
            Some((_, purchase)) if purchase.entitles() => purchase.edition,
            _ if book.status == Status::Published => return Err(NOT_PAID.into()),
            _ => return Err(Refusal::NoSuchBook.entry().into()),
        }
    };
    let key = Key::new("books_edition", [Part::from(id.0), Part::Number(i64::from(number))]);
    let edition = door.store.get(&key).await?;
    edition.ok_or_else(|| Problem::internal("an edition is not where it should be"))
}
