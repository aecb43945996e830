//! `given(events).when(command).then(…)`: contexts tested as sentences, without a server or a clock.

use jiff::Timestamp;
use maru_schemas::envelope::Actor;
use maru_schemas::ids::MemberId;
use maru_schemas::message::Told;
use maru_streams::contract::{By, CommandOf, Context, EventOf, ToldOf};
use uuid::Uuid;

/// The aggregate that every sentence is about.
pub const SUBJECT: Uuid = Uuid::from_u128(0xb00c);
/// A member.
pub const MINA: MemberId = MemberId(Uuid::from_u128(0xa11ce));
/// Another one.
pub const JUNHO: MemberId = MemberId(Uuid::from_u128(0xb0b));

pub const COMMAND: Uuid = Uuid::from_u128(0xc0de);

pub struct Given<C: Context> {
    state: C::State,
    by: By,
}

/// What has happened so far.
pub fn given<C: Context>(events: impl IntoIterator<Item = ToldOf<C>>) -> Given<C> {
    Given {
        state: events.into_iter().fold(C::State::default(), |state, told| C::evolve(state, &told)),
        by: By {
            actor: Actor::System,
            at: Timestamp::UNIX_EPOCH,
            command: COMMAND,
            subject: SUBJECT,
            version: 1,
        },
    }
}

impl<C: Context> Given<C> {
    /// Who asks.
    pub fn by(mut self, actor: Actor) -> Self {
        self.by.actor = actor;
        self
    }

    /// What is asked. Deciding must give the same twice.
    pub fn when(self, command: CommandOf<C>) -> Then<C>
    where
        ToldOf<C>: PartialEq,
    {
        let first = C::decide(&self.state, &command, &self.by);
        let again = C::decide(&self.state, &command, &self.by);
        assert!(first == again, "deciding is not repeatable");
        Then(first)
    }
}

pub struct Then<C: Context>(Result<Vec<ToldOf<C>>, C::Refusal>);

impl<C: Context> Then<C>
where
    EventOf<C>: PartialEq,
{
    /// These events, words left aside.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = EventOf<C>>) {
        let told: Vec<EventOf<C>> = self.told().into_iter().map(|told| told.event).collect();
        assert_eq!(told, events.into_iter().collect::<Vec<_>>());
    }

    /// Nothing new: it has happened already.
    #[track_caller]
    pub fn then_nothing_new(self) {
        self.then([]);
    }

    /// The events with their words.
    #[track_caller]
    pub fn told(self) -> Vec<ToldOf<C>> {
        self.0.unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    /// No, and why.
    #[track_caller]
    pub fn then_refused(self, refusal: C::Refusal) {
        match self.0 {
            Err(found) => assert_eq!(found, refusal),
            Ok(told) => panic!("not refused, but: {told:?}"),
        }
    }
}

/// An event without words.
pub fn plain<C: Context>(event: EventOf<C>) -> ToldOf<C> {
    Told::plain(event)
}
