//! Buying, giving back, and what one has.
//!
//! What a book costs and which edition it is are read from its owner when the order is taken, and go
//! with the command as the house's own claim: no client says what something costs.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use garde::Validate;
use maru_schemas::books::{self, Book};
use maru_schemas::ids::{BookId, MemberId, PaymentId, PurchaseId};
use maru_schemas::payments::TestCard;
use maru_schemas::purchases::{CONTEXT, Command, Purchase, Purchases, Refusal, RejectCode, Status};
use maru_schemas::refusal::Refusal as _;
use maru_schemas::views::{LibraryBook, MY_LIBRARY};
use maru_streams::store::Part;
use maru_streams::write::inbox::handled;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::accept::{Accepted, Wants};
use crate::door::{Door, Here};
use crate::look::{Items, MinSeq, Page};
use crate::problem::{NOT_A_TEST_CARD, Problem};
use crate::valid::{Body, Named, Params};
use crate::who::Member;

/// How often a waiting buyer's purchase is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The context's addresses.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(buy))
        .routes(routes!(get_purchase))
        .routes(routes!(request_refund))
        .routes(routes!(my_library))
}

/// What to buy, and with what.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// The book.
    #[garde(skip)]
    book_id: BookId,
    /// One of the sandbox's test numbers; 4242 4242 4242 4242, if not given.
    #[garde(length(chars, max = 40))]
    #[schema(max_length = 40, example = "4242 4242 4242 4242")]
    card: Option<String>,
}

/// A purchase.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PurchaseState {
    /// The purchase.
    id: PurchaseId,
    /// The book.
    book_id: BookId,
    /// Where it stands.
    state: Status,
    /// In won, at the time of the order.
    amount: u32,
    /// Which edition was bought.
    edition: u32,
    /// Its payment; none for a book that costs nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<PaymentId>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<RejectCode>,
    /// The command that was just taken in.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<Uuid>,
    /// The token to read one's own write with, in `Maru-Min-Seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

impl PurchaseState {
    fn of(id: PurchaseId, purchase: &Purchase) -> Option<Self> {
        Some(Self {
            id,
            book_id: purchase.book?,
            state: purchase.status,
            amount: purchase.amount,
            edition: purchase.edition,
            payment_id: purchase.payment,
            code: purchase.code,
            command_id: None,
            seq: None,
        })
    }
}

#[utoipa::path(post, path = "/v1/purchases", tag = "purchases", security(("bearer" = [])), request_body = Order,
    responses((status = 201, description = "Ordered; `state` says whether it is paid by now.", body = PurchaseState),
        (status = 202, description = "Taken in; not answered yet.", body = Accepted)))]
/// Buy a book.
async fn buy(State(door): Here, member: Member, wants: Wants, Body(asked): Body<Order>) -> Result<Response, Problem> {
    let card = match asked.card.as_deref() {
        // A number that is not published is never taken in, not even to be refused later.
        Some(number) => TestCard::of_number(number).ok_or(NOT_A_TEST_CARD)?,
        None => TestCard::default(),
    };
    let id = PurchaseId::of(member.id, asked.book_id);
    let order = door.order(
        wants,
        &member.id.to_string(),
        "POST /v1/purchases",
        &(asked.book_id, card),
    )?;
    let book: Option<(u64, Book)> = door.store.state(books::CONTEXT, asked.book_id).await?;
    let (_, book) = book.unwrap_or_default();
    // Who repeats an order gets its answer, though the book may be gone by now.
    if book.status != books::Status::Published && handled(&door.store, CONTEXT, order.id).await?.is_none() {
        return Err(books::Refusal::NoSuchBook.entry().into());
    }
    let command = Command::RequestPurchase {
        member: member.id,
        book: asked.book_id,
        edition: book.edition,
        price: book.price,
        card,
    };
    let mut taken = door.accept::<Purchases>(order, member.actor(), id, &command).await?;
    if taken.done.is_none() {
        return Ok(taken.respond(StatusCode::CREATED, None));
    }
    let mut state = match settled(&door, id, taken.until).await {
        // The order is taken in all the same; how it stands can be asked for later.
        Err(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => {
            taken.done = None;
            return Ok(taken.respond(StatusCode::CREATED, None));
        }
        settled => settled?,
    };
    state.command_id = Some(taken.command);
    state.seq = taken.done.and_then(|(_, seq)| seq);
    Ok(taken.respond_with(StatusCode::CREATED, Some(format!("/v1/purchases/{id}")), state))
}

/// The purchase once its payment is answered, or as it is when the buyer's patience ends.
async fn settled(door: &Door, id: PurchaseId, until: Instant) -> Result<PurchaseState, Problem> {
    loop {
        let found: Option<(u64, Purchase)> = door.store.state(CONTEXT, id).await?;
        let state = found.and_then(|(_, purchase)| PurchaseState::of(id, &purchase));
        let state = state.ok_or(Refusal::NoSuchPurchase.entry())?;
        if state.state != Status::Paying || Instant::now() >= until {
            return Ok(state);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn mine(door: &Door, member: MemberId, id: PurchaseId) -> Result<Purchase, Problem> {
    let found: Option<(u64, Purchase)> = door.store.state(CONTEXT, id).await?;
    match found {
        Some((_, purchase)) if purchase.member == Some(member) => Ok(purchase),
        _ => Err(Refusal::NoSuchPurchase.entry().into()),
    }
}

#[utoipa::path(get, path = "/v1/purchases/{purchase}", tag = "purchases", security(("bearer" = [])),
    params(("purchase" = PurchaseId, Path)),
    responses((status = 200, description = "The purchase as it stands.", body = PurchaseState)))]
/// A purchase of mine.
async fn get_purchase(
    State(door): Here,
    member: Member,
    Named(id): Named<PurchaseId>,
) -> Result<Json<PurchaseState>, Problem> {
    let purchase = mine(&door, member.id, id).await?;
    let state = PurchaseState::of(id, &purchase).ok_or(Refusal::NoSuchPurchase.entry())?;
    Ok(Json(state))
}

#[utoipa::path(post, path = "/v1/purchases/{purchase}/refund", tag = "purchases", security(("bearer" = [])),
    params(("purchase" = PurchaseId, Path)),
    responses((status = 202, description = "The money is on its way back.", body = Accepted)))]
/// Give a book back.
async fn request_refund(
    State(door): Here,
    member: Member,
    Named(id): Named<PurchaseId>,
    wants: Wants,
) -> Result<Response, Problem> {
    mine(&door, member.id, id).await?;
    let order = door.order(
        wants,
        &member.id.to_string(),
        &format!("POST /v1/purchases/{id}/refund"),
        &(),
    )?;
    let taken = door
        .accept::<Purchases>(order, member.actor(), id, &Command::RequestRefund {})
        .await?;
    Ok(taken.respond(StatusCode::ACCEPTED, Some(format!("/v1/purchases/{id}"))))
}

#[utoipa::path(get, path = "/v1/me/library", tag = "purchases", security(("bearer" = [])), params(Page),
    responses((status = 200, description = "What I bought, newest first.", body = Items<LibraryBook>)))]
/// My library.
async fn my_library(
    State(door): Here,
    member: Member,
    Params(page): Params<Page>,
    wanted: MinSeq,
) -> Result<Response, Problem> {
    let mine = [Part::from(member.id.0)];
    door.list::<LibraryBook>(MY_LIBRARY, &mine, page, wanted, "/v1/me/library")
        .await
}
