//! What became of a command, for who sent it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use maru_schemas::CONTEXTS;
use maru_schemas::letters::{Letter, State as LetterState};
use maru_schemas::members::Role;
use maru_schemas::outcome::Outcome;
use maru_streams::letters::of_command;
use maru_streams::write::inbox::{last_word, sent};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::accept::CommandState;
use crate::door::{Door, Here};
use crate::problem::{NO_SUCH_COMMAND, Problem};
use crate::valid::Named;
use crate::who::Member;

/// What whoever sent it is told of a command in the dead letters. What went wrong is for operators.
const GIVEN_UP: &str = "Maru could not carry this out and has set it aside; an administrator can have it done again.";

/// The addresses of commands.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new().routes(routes!(get_command))
}

/// A command and what became of it.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandStatus {
    command_id: Uuid,
    /// `pending` until a worker has answered, or has given it up.
    #[schema(value_type = CommandState)]
    status: &'static str,
    /// What it was about, once done.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
    /// The version of what it was about, once done.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The token to read one's own write with, once published.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// The code of the refusal, or of why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The same as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[utoipa::path(get, path = "/v1/commands/{command}", tag = "commands", security(("bearer" = [])),
    params(("command" = Uuid, Path)),
    responses((status = 200, description = "What became of it.", body = CommandStatus)))]
/// What became of a command of mine.
async fn get_command(
    State(door): Here,
    member: Member,
    Named(command_id): Named<Uuid>,
) -> Result<Json<CommandStatus>, Problem> {
    let is_mine = |actor: &str| member.role == Role::Admin || actor == member.actor().to_string();
    // Whose it is stands nowhere in its id. A context may have a database of its own, and that be away: who is
    // found in another is not to wait for it.
    let store = &door.store;
    let look = |context| async move { (context, last_word(store, context, command_id).await) };
    let mut looks: FuturesUnordered<_> = CONTEXTS.into_iter().map(look).collect();
    let mut away = Vec::new();
    while let Some((context, looked)) = looks.next().await {
        let row = match looked {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            Err(error) => {
                away.push((context, error));
                continue;
            }
        };
        if !is_mine(&row.actor) {
            return Err(NO_SUCH_COMMAND.into());
        }
        let status = CommandStatus {
            command_id,
            ..CommandStatus::default()
        };
        return Ok(Json(match row.outcome {
            Outcome::Done { subject, version, seq } => CommandStatus {
                status: "done",
                id: Some(subject),
                version: Some(version),
                seq,
                ..status
            },
            Outcome::Refused { code, detail, .. } => CommandStatus {
                status: "refused",
                code: Some(code),
                detail: Some(detail),
                ..status
            },
        }));
    }
    // Nobody has handled it yet; the streams know whether it was sent, by whom, and whether it was given up.
    let sent = sent(&door.nats, command_id).await.map_err(Problem::unavailable)?;
    let is_its_own = |context: &str| sent.as_ref().is_none_or(|sent| sent.context == context);
    if let Some((_, error)) = away.into_iter().find(|(context, _)| is_its_own(context)) {
        return Err(error.into());
    }
    let letter = of_command(&door.nats, command_id).await.map_err(Problem::unavailable)?;
    // Sent once more under its old id, behind a letter that is closed: that letter is not about it.
    let is_anew = |letter: &Letter| !letter.state.is_open() && sent.as_ref().is_some_and(|sent| sent.seq > letter.seq);
    let letter = letter.filter(|letter| !is_anew(letter));
    let actor = sent.as_ref().map(|sent| sent.actor.clone());
    let actor = actor.or_else(|| letter.as_ref()?.headers.get("maru-actor").cloned());
    if !actor.is_some_and(|actor| is_mine(&actor)) {
        return Err(NO_SUCH_COMMAND.into());
    }
    let pending = CommandStatus {
        command_id,
        status: "pending",
        ..CommandStatus::default()
    };
    Ok(Json(match letter {
        Some(letter) if !matches!(letter.state, LetterState::Replaying | LetterState::Resolved) => CommandStatus {
            status: "given_up",
            code: Some(letter.reason),
            detail: Some(GIVEN_UP.to_owned()),
            ..pending
        },
        _ => pending,
    }))
}
