//! What operators ask about budgets.

use futures_util::FutureExt;
use maru_streams::budgets::{BudgetError, Budgets};
use maru_streams::desk::{Desk, DeskError};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::jobs;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetBudget {
    kind: String,
    member: Uuid,
    runs: u32,
    #[serde(default)]
    add: bool,
}

pub(super) fn answers(desk: Desk, budgets: Budgets) -> Desk {
    let set = budgets.clone();
    desk.answers("budgets.list", move |_, _| {
        let budgets = budgets.clone();
        async move {
            let list = budgets.list().await.map_err(|error| failed(&error))?;
            Ok(json!({ "budgets": list }))
        }
        .boxed()
    })
    .answers("budgets.set", move |question, _| {
        let budgets = set.clone();
        async move {
            let asked: SetBudget = serde_json::from_value(question)
                .map_err(|error| DeskError::Question(format!("a budget takes kind, member, runs and add: {error}")))?;
            let is_metered = jobs::all()
                .iter()
                .any(|kind| kind.name == asked.kind && kind.policy.metered);
            if !is_metered {
                let metered: Vec<&str> = jobs::all()
                    .iter()
                    .filter(|kind| kind.policy.metered)
                    .map(|kind| kind.name)
                    .collect();
                let sentence = format!("`{}` has no budgets; these have: {}", asked.kind, metered.join(", "));
                return Err(DeskError::NotThere(sentence));
            }
            let set = budgets
                .set(&asked.kind, asked.member, i64::from(asked.runs), asked.add)
                .await;
            let let_go = set.map_err(|error| failed(&error))?;
            Ok(json!({ "letGo": let_go }))
        }
        .boxed()
    })
}

fn failed(error: &BudgetError) -> DeskError {
    DeskError::failed(error)
}
