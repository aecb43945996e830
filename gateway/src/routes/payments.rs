//! What one paid and got back. Nobody commands payments from outside; purchases do.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maru_schemas::views::{PAYMENT_HISTORY, PaymentEntry};
use maru_streams::store::Part;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::{Door, Here};
use crate::look::{Items, MinSeq, Page};
use crate::problem::Problem;
use crate::valid::Params;
use crate::who::Member;

/// The context's addresses.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new().routes(routes!(my_payments))
}

#[utoipa::path(get, path = "/v1/payments", tag = "payments", security(("bearer" = [])), params(Page),
    responses((status = 200, description = "My payments, newest first.", body = Items<PaymentEntry>)))]
/// My payments.
async fn my_payments(
    State(door): Here,
    member: Member,
    Params(page): Params<Page>,
    wanted: MinSeq,
) -> Result<Response, Problem> {
    let mine = [Part::from(member.id.0)];
    door.list::<PaymentEntry>(PAYMENT_HISTORY, &mine, page, wanted, "/v1/payments")
        .await
}
