//! The dead letters, for administrators: look at them, have them replayed, discard them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use garde::Validate;
use maru_schemas::letters::{self, Discard, Done, Letter, Replay, Which};
use maru_schemas::replays::{Replays, Shown};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::door::{Door, Here};
use crate::problem::{NO_WORKERS, NOT_NOW, Problem};
use crate::valid::{Body, Named, Params, some_text};
use crate::who::Administrator;

/// How long a replay of many is waited for; then it is told where to ask how far it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// The addresses of dead letters.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .routes(routes!(dead_letters))
        .routes(routes!(replays))
        .routes(routes!(replay))
        .routes(routes!(dead_letter))
        .routes(routes!(replay_dead_letter))
        .routes(routes!(replay_dead_letters))
        .routes(routes!(discard_dead_letter))
}

/// Which letters to list, as the desk takes it.
#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct Wanted {
    /// Of this lane.
    lane: Option<String>,
    /// Given up for this reason.
    reason: Option<String>,
    /// Of this kind: `charge`, or the whole `ce-type`.
    kind: Option<String>,
    /// That stand here; the open ones if not said.
    state: Option<letters::State>,
    /// Given up since.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// How many at most; 50 if not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next` of the page before.
    cursor: Option<u64>,
}

/// Which letters to replay: some by number, or what they have in common, or all.
#[derive(Debug, Default, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ReplayOrder {
    /// These.
    letters: Vec<u64>,
    /// Of this lane.
    lane: Option<String>,
    /// Given up for this reason.
    reason: Option<String>,
    /// Of this kind: `charge`, or the whole `ce-type`.
    kind: Option<String>,
    /// Given up since.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Every open one.
    all: bool,
    /// Only say what would be replayed, in which order, and whether this build can read it.
    dry_run: bool,
    /// At most so many a second.
    #[schema(value_type = Option<u32>, minimum = 1)]
    per_second: Option<NonZeroU32>,
}

/// Why a letter is discarded.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiscardOrder {
    /// In your own words; it is kept with the letter.
    #[garde(length(chars, max = 1000), custom(some_text))]
    #[schema(min_length = 1, max_length = 1000)]
    because: String,
}

impl Door {
    async fn ask_typed<T: DeserializeOwned>(&self, name: &str, question: impl Serialize) -> Result<Json<T>, Problem> {
        let question = serde_json::to_value(question).map_err(Problem::internal)?;
        let Json(answer): Json<Value> = self.ask(name, question).await?;
        serde_json::from_value(answer).map(Json).map_err(Problem::internal)
    }

    /// A letter that is not there is 404, as when it is looked at; one that is settled stays as it is.
    async fn is_open(&self, number: u64) -> Result<(), Problem> {
        let question = json!({ "letter": number });
        let Json(letter): Json<Letter> = self.ask_typed("dead_letters.show", question).await?;
        if letter.state.is_open() {
            return Ok(());
        }
        let state = letter.state.as_str();
        Err(Problem::from(NOT_NOW).because(format!("letter {number} is {state}, and stays so")))
    }
}

/// The one letter that was meant was not left as it is.
fn done_to_it(Json(done): Json<Done>) -> Result<Json<Done>, Problem> {
    match done.skipped.first() {
        Some(left) => Err(Problem::from(NOT_NOW).because(format!("letter {}: {}", left.number, left.why))),
        None => Ok(Json(done)),
    }
}

fn only(number: u64) -> Which {
    Which {
        letters: vec![number],
        ..Which::default()
    }
}

#[utoipa::path(get, path = "/v1/ops/dead-letters", tag = "ops", security(("bearer" = [])), params(Wanted),
    responses((status = 200, description = "A page of letters, in the order in which they died.", body = letters::Page)))]
/// What lanes gave up on.
async fn dead_letters(
    State(door): Here,
    _: Administrator,
    Params(wanted): Params<Wanted>,
) -> Result<Json<letters::Page>, Problem> {
    door.ask_typed("dead_letters.list", wanted).await
}

#[utoipa::path(get, path = "/v1/ops/dead-letters/{number}", tag = "ops", security(("bearer" = [])),
    params(("number" = u64, Path)),
    responses((status = 200, description = "The letter with its history, and what waits behind it; words are hidden.",
        body = letters::Shown)))]
/// One letter.
async fn dead_letter(
    State(door): Here,
    _: Administrator,
    Named(number): Named<u64>,
) -> Result<Json<letters::Shown>, Problem> {
    door.ask_typed("dead_letters.show", json!({ "letter": number })).await
}

#[utoipa::path(post, path = "/v1/ops/dead-letters/{number}/replay", tag = "ops", security(("bearer" = [])),
    params(("number" = u64, Path)),
    responses((status = 200, description = "Handed to its lane.", body = Done)))]
/// Have a letter done again.
async fn replay_dead_letter(
    State(door): Here,
    Administrator(who): Administrator,
    Named(number): Named<u64>,
) -> Result<Json<Done>, Problem> {
    door.is_open(number).await?;
    let replay = Replay {
        which: only(number),
        by: who.actor().to_string(),
        ..Replay::default()
    };
    done_to_it(door.ask_typed("dead_letters.replay", replay).await?)
}

#[utoipa::path(post, path = "/v1/ops/dead-letters/replay", tag = "ops", security(("bearer" = [])),
    request_body = ReplayOrder,
    responses((status = 200, description = "What was handed to its lanes, or would be.", body = Done),
        (status = 202, description = "It goes on by itself; `Location` says how far it is.", body = Done,
            headers(("Location" = String, description = "The replay.")))))]
/// Have many letters done again.
async fn replay_dead_letters(
    State(door): Here,
    Administrator(who): Administrator,
    Body(order): Body<ReplayOrder>,
) -> Result<Response, Problem> {
    let replay = json!({
        "which": {
            "letters": order.letters,
            "lane": order.lane,
            "reason": order.reason,
            "kind": order.kind,
            "since": order.since,
            "all": order.all,
        },
        "dryRun": order.dry_run,
        "perSecond": order.per_second,
        "by": who.actor().to_string(),
    });
    if order.dry_run {
        let plan = door.ask("dead_letters.replay", replay).await;
        return plan.map(IntoResponse::into_response);
    }
    let mut told = Value::Null;
    let asked = door.ask_hearing("dead_letters.replay", replay, |word| told = word);
    if let Ok(answer) = tokio::time::timeout(PATIENCE, asked).await {
        return answer.map(IntoResponse::into_response);
    }
    let replay: Uuid = serde_json::from_value(told["replay"].take()).map_err(|_| {
        Problem::from(NO_WORKERS).because("No process with workers said that it began; look at the replays.")
    })?;
    let done = Done {
        replay: Some(replay),
        ..Done::default()
    };
    let location = format!("/v1/ops/dead-letters/replays/{replay}");
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(done)).into_response())
}

/// Which replays to list.
#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Newest {
    /// How many at most; 20 if not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[utoipa::path(get, path = "/v1/ops/dead-letters/replays", tag = "ops", security(("bearer" = [])), params(Newest),
    responses((status = 200, description = "The replays of the last weeks, the newest first, and how far each is.",
        body = Replays)))]
/// How replays stand.
async fn replays(
    State(door): Here,
    _: Administrator,
    Params(newest): Params<Newest>,
) -> Result<Json<Replays>, Problem> {
    door.ask_typed("dead_letters.replays", newest).await
}

#[utoipa::path(get, path = "/v1/ops/dead-letters/replays/{replay}", tag = "ops", security(("bearer" = [])),
    params(("replay" = Uuid, Path)),
    responses((status = 200, description = "How far it is, and what came of each letter.", body = Shown)))]
/// One replay with its letters.
async fn replay(State(door): Here, _: Administrator, Named(replay): Named<Uuid>) -> Result<Json<Shown>, Problem> {
    door.ask_typed("dead_letters.replay_status", json!({ "replay": replay }))
        .await
}

#[utoipa::path(post, path = "/v1/ops/dead-letters/{number}/discard", tag = "ops", security(("bearer" = [])),
    params(("number" = u64, Path)), request_body = DiscardOrder,
    responses((status = 200, description = "Discarded.", body = Done)))]
/// Decide that a letter shall not take effect.
async fn discard_dead_letter(
    State(door): Here,
    Administrator(who): Administrator,
    Named(number): Named<u64>,
    Body(order): Body<DiscardOrder>,
) -> Result<Json<Done>, Problem> {
    door.is_open(number).await?;
    let discard = Discard {
        which: only(number),
        because: order.because,
        by: who.actor().to_string(),
    };
    done_to_it(door.ask_typed("dead_letters.discard", discard).await?)
}
