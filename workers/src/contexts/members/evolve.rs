//! What it leaves behind.

use maru_schemas::members::{Account, Event, Text};
use maru_schemas::message::Told;

use super::State;

pub(super) fn evolve(_: State, told: &Told<Event, Text>) -> State {
    match &told.event {
        Event::AccountRegistered { member, role } => State(Some(Account {
            member: *member,
            username: told.text.username.clone(),
            nickname: told.text.nickname.clone(),
            role: *role,
            sealed_hash: told.text.sealed_hash.clone(),
        })),
    }
}
