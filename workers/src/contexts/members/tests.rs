use maru_schemas::members::{Command, Event, Refusal, Role, Text};
use maru_schemas::message::Told;

use super::Members;
use crate::contexts::given::{JUNHO, MINA, given};

fn register(member: maru_schemas::ids::MemberId) -> Command {
    Command::RegisterAccount {
        member,
        username: "mina".into(),
        nickname: "Mina".into(),
        role: Role::Author,
        sealed_hash: "sealed".into(),
    }
}

fn registered() -> Told<Event, Text> {
    given::<Members>([]).when(register(MINA)).told().remove(0)
}

#[test]
fn the_first_to_ask_gets_the_username() {
    given::<Members>([])
        .when(register(MINA))
        .then([Event::AccountRegistered {
            member: MINA,
            role: Role::Author,
        }]);
}

#[test]
fn a_username_is_given_once() {
    given::<Members>([registered()])
        .when(register(JUNHO))
        .then_refused(Refusal::UsernameTaken);
}

#[test]
fn the_public_event_names_nobody() {
    let public = serde_json::to_string(&registered().event).unwrap();
    assert!(!public.contains("mina") && !public.contains("Mina") && !public.contains("sealed"));
}
