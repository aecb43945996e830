//! What administrators may ask and do. The door only asks: whoever has workers answers, at the operators'
//! desk, and `maru …` on the command line asks the same questions.

mod budgets;
mod dead_letters;
mod lanes;
mod views;

use std::sync::Arc;

use axum::Json;
use maru_streams::desk::{self, DeskError};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use crate::door::Door;
use crate::problem::{BAD_REQUEST, NO_WORKERS, NOT_NOW, NOT_THERE, Problem};

/// The addresses of operators.
pub fn routes() -> OpenApiRouter<Arc<Door>> {
    OpenApiRouter::new()
        .merge(lanes::routes())
        .merge(views::routes())
        .merge(dead_letters::routes())
        .merge(budgets::routes())
}

impl Door {
    /// Asks at the operators' desk.
    ///
    /// # Errors
    /// What the answer says, as a problem.
    pub async fn ask(&self, name: &str, question: Value) -> Result<Json<Value>, Problem> {
        self.ask_hearing(name, question, |_| {}).await
    }

    /// The same, with words of progress until there is an answer.
    ///
    /// # Errors
    /// What the answer says, as a problem.
    pub async fn ask_hearing(
        &self,
        name: &str,
        question: Value,
        word: impl FnMut(Value),
    ) -> Result<Json<Value>, Problem> {
        if !self.nats.is_connected() {
            return Err(Problem::unavailable("nats-server is away"));
        }
        let answer = desk::ask(&self.nats, name, &question, word).await;
        answer.map(Json).map_err(|error| {
            let because = error.to_string();
            match error {
                DeskError::Nobody | DeskError::Silent => Problem::from(NO_WORKERS).because(because),
                DeskError::Question(_) => Problem::from(BAD_REQUEST).because(because),
                DeskError::NotThere(_) => Problem::from(NOT_THERE).because(because),
                DeskError::Failed(_) => Problem::from(NOT_NOW).because(because),
                DeskError::Unknown(_) => Problem::internal(because),
            }
        })
    }
}
