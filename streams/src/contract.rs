//! What a context brings: a pure decision and its consequence.
//!
//! Deciding is repeatable: the same command on the same state gives the same events to the byte,
//! today or from a log. So nothing here may ask the time, make up an id, or wait.

use jiff::Timestamp;
use maru_schemas::envelope::Actor;
use maru_schemas::ids::MemberId;
use maru_schemas::message::{Contract, Told};
use maru_schemas::refusal::Refusal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::store::Key;

/// What is known about a command beside what it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Who asks.
    pub actor: Actor,
    /// When it was asked: the only time a decision knows.
    pub at: Timestamp,
    /// The command's id: what new ids derive from.
    pub command: Uuid,
    /// The aggregate it is about.
    pub subject: Uuid,
    /// The version that the decision is made on; 0 for an aggregate that is not there yet.
    pub version: u64,
}

/// A document that a context keeps beside its states, in its own tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where.
    pub key: Key,
    /// What.
    pub doc: serde_json::Value,
}

/// The commands of a context.
pub type CommandOf<C> = <<C as Context>::Says as Contract>::Command;
/// The events of a context in public form.
pub type EventOf<C> = <<C as Context>::Says as Contract>::Event;
/// The events of a context in whole form.
pub type ToldOf<C> = Told<EventOf<C>, <<C as Context>::Says as Contract>::Text>;

/// A context that decides.
pub trait Context: Send + Sync + 'static {
    /// What it promises to everybody else.
    type Says: Contract;
    /// An aggregate as it stands; the default is one that is not there yet.
    type State: Serialize + DeserializeOwned + Default + Clone + Send + Sync;
    /// Why it says no.
    type Refusal: Refusal;

    /// The one word: URL, subject, table, module, metric.
    const NAME: &'static str = <Self::Says as Contract>::CONTEXT;

    /// What happens if this is asked now; nothing, if it has happened already.
    ///
    /// # Errors
    /// The refusal, if it may not happen.
    fn decide(state: &Self::State, command: &CommandOf<Self>, by: &By) -> Result<Vec<ToldOf<Self>>, Self::Refusal>;

    /// The aggregate after an event.
    #[must_use]
    fn evolve(state: Self::State, told: &ToldOf<Self>) -> Self::State;

    /// Whose thing it is; live streams are cut by it.
    fn owner(state: &Self::State) -> Option<MemberId>;

    /// The further documents that belong to the state after an event, committed with it. Their tables begin with the
    /// context's name, by which they are found where it has a database of its own.
    fn keeps(_subject: Uuid, _state: &Self::State, _told: &ToldOf<Self>) -> Vec<Row> {
        Vec::new()
    }
}
