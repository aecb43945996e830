//! May it happen?

use maru_schemas::members::{Command, Event, Refusal, Text};
use maru_schemas::message::Told;

use super::State;

pub(super) fn decide(state: &State, command: &Command) -> Result<Vec<Told<Event, Text>>, Refusal> {
    match command {
        Command::RegisterAccount {
            member,
            username,
            nickname,
            role,
            sealed_hash,
        } => {
            if state.0.is_some() {
                return Err(Refusal::UsernameTaken);
            }
            Ok(vec![Told::with(
                Event::AccountRegistered {
                    member: *member,
                    role: *role,
                },
                Text {
                    username: username.clone(),
                    nickname: nickname.clone(),
                    sealed_hash: sealed_hash.clone(),
                },
            )])
        }
    }
}
