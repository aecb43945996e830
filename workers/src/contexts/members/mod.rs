//! # Members
//!
//! Somebody signs up under a username that nobody has. The account's id derives from the username, so
//! two who want the same one at the same moment meet at the same row, and one of them is refused.
//! Logging in needs no stream: the door reads the account and checks the password there.

mod decide;
mod evolve;
#[cfg(test)]
mod tests;

use maru_schemas::ids::{AccountId, MemberId};
use maru_schemas::members::{self, Account, Command, Event, Profile, Refusal, Text};
use maru_schemas::message::Told;
use maru_streams::contract::{By, Context, Row};
use maru_streams::store::Key;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An account as it stands; none until somebody registers it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(pub Option<Account>);

/// The context of members.
#[derive(Debug)]
pub struct Members;

impl Context for Members {
    type Says = members::Members;
    type State = State;
    type Refusal = Refusal;

    fn decide(state: &State, command: &Command, _: &By) -> Result<Vec<Told<Event, Text>>, Refusal> {
        decide::decide(state, command)
    }

    fn evolve(state: State, told: &Told<Event, Text>) -> State {
        evolve::evolve(state, told)
    }

    fn owner(state: &State) -> Option<MemberId> {
        state.0.as_ref().map(|account| account.member)
    }

    fn keeps(subject: Uuid, state: &State, _: &Told<Event, Text>) -> Vec<Row> {
        let Some(account) = &state.0 else { return Vec::new() };
        let profile = Profile {
            account: AccountId(subject),
            username: account.username.clone(),
            nickname: account.nickname.clone(),
            role: account.role,
        };
        vec![Row {
            key: Key::of("members_profile", account.member),
            doc: serde_json::json!(profile),
        }]
    }
}
