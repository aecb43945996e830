//! A context for tests: a box that counts what is put in, and refuses to hold more than ten thousand.
//! It lives in the tables of reviews, because tables are made by migrations and this is none.

use jiff::Timestamp;
use maru_schemas::envelope::{Actor, Envelope};
use maru_schemas::ids::MemberId;
use maru_schemas::message::{Contract, Message, Told};
use maru_schemas::refusal;
use maru_streams::contract::{By, Context, Row, ToldOf};
use maru_streams::publish::{Outgoing, Published, Publisher};
use maru_streams::store::{Key, Part};
use maru_streams::subject::{Subject, kind_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug)]
pub struct Boxes;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Command {
    Put { amount: u64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Event {
    Added { amount: u64 },
}

impl Message for Command {
    const KINDS: &'static [&'static str] = &["put"];
    fn kind(&self) -> &'static str {
        "put"
    }
}

impl Message for Event {
    const KINDS: &'static [&'static str] = &["added"];
    fn kind(&self) -> &'static str {
        "added"
    }
}

impl Contract for Boxes {
    const CONTEXT: &'static str = "reviews";
    type Command = Command;
    type Event = Event;
    type Text = ();
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub sum: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Full;

impl refusal::Refusal for Full {
    const ALL: &'static [Self] = &[Self];
    fn code(&self) -> &'static str {
        "BOXES_FULL"
    }
    fn http(&self) -> u16 {
        409
    }
    fn sentence(&self) -> &'static str {
        "The box holds no more than ten thousand; take another one."
    }
}

impl Context for Boxes {
    type Says = Self;
    type State = Held;
    type Refusal = Full;

    /// Two events for each command, so that order within one command is seen too; none for nothing.
    fn decide(held: &Held, command: &Command, _: &By) -> Result<Vec<ToldOf<Self>>, Full> {
        let Command::Put { amount } = command;
        if *amount == 0 {
            return Ok(Vec::new());
        }
        if held.sum + amount > 10_000 {
            return Err(Full);
        }
        let first = amount / 2;
        let both = [first, amount - first].map(|amount| Told::plain(Event::Added { amount }));
        Ok(both.into())
    }

    fn evolve(held: Held, told: &ToldOf<Self>) -> Held {
        let Event::Added { amount } = told.event;
        Held { sum: held.sum + amount }
    }

    fn owner(_: &Held) -> Option<MemberId> {
        None
    }

    /// A page for each hundred, with the sum as it was when the page was left.
    fn keeps(subject: Uuid, held: &Held, _: &ToldOf<Self>) -> Vec<Row> {
        let page = i64::try_from(held.sum / 100).unwrap();
        vec![Row {
            key: Key::new("books_edition", [Part::from(subject), Part::from(page)]),
            doc: serde_json::json!({ "sum": held.sum }),
        }]
    }
}

/// The envelope of a command about a box.
pub fn envelope(id: Uuid, subject: Uuid) -> Envelope {
    Envelope {
        id,
        kind: kind_of("reviews", "put"),
        source: "test".into(),
        time: Timestamp::UNIX_EPOCH,
        subject,
        actor: Actor::System,
        correlation: id,
        causation: None,
        version: None,
        owner: None,
        fingerprint: None,
        reply: None,
        traceparent: None,
    }
}

/// Sends a command, as the door does.
pub async fn put(commands: &Publisher, id: Uuid, subject: Uuid, amount: u64) -> Published {
    let at = Subject::Command {
        context: "reviews",
        kind: "put",
        id,
    };
    let body = serde_json::to_vec(&Command::Put { amount }).unwrap();
    let message = Outgoing::new(at, &envelope(id, subject), body.into(), true);
    commands.publish(message).await.expect("stored")
}
