//! `given(events).when(command).then(…)`: contexts tested as sentences, without a server or a clock.

use jiff::Timestamp;
use maru_schemas::envelope::Actor;
use maru_schemas::ids::MemberId;
use maru_schemas::message::Told;
use maru_streams::contract::{By, CommandOf, Context, EventOf, ToldOf};
use proptest::prelude::*;
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
    standing::<C>(after::<C>(events))
}

/// What these events leave behind.
pub fn after<C: Context>(events: impl IntoIterator<Item = ToldOf<C>>) -> C::State {
    events
        .into_iter()
        .fold(C::State::default(), |state, told| C::evolve(state, &told))
}

/// How things stand.
pub fn standing<C: Context>(state: C::State) -> Given<C> {
    Given {
        state,
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

    /// On which version it is decided.
    pub fn at_version(mut self, version: u64) -> Self {
        self.by.version = version;
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

/// One event in a long course of things, with the state before and after it.
pub struct Step<C: Context> {
    pub before: C::State,
    pub told: ToldOf<C>,
    pub after: C::State,
}

/// Asks one thing after the other, each under an id of its own and on what those before it left behind.
/// A refusal leaves everything as it was.
pub fn play<C: Context, M>(moves: &[M], ask: impl Fn(&C::State, &M) -> (Actor, CommandOf<C>)) -> Vec<Step<C>>
where
    ToldOf<C>: PartialEq,
{
    let mut state = C::State::default();
    let mut steps = Vec::new();
    for (number, next) in (0_u128..).zip(moves) {
        let (actor, command) = ask(&state, next);
        let mut asked = standing::<C>(state.clone()).by(actor);
        asked.by.command = Uuid::from_u128(number);
        for told in asked.when(command).0.unwrap_or_default() {
            let before = state.clone();
            state = C::evolve(state, &told);
            steps.push(Step {
                before,
                told,
                after: state.clone(),
            });
        }
    }
    steps
}

/// Who asks in a long course of things: mostly who may (none), now and then anybody.
pub fn anybody() -> impl Strategy<Value = Option<Actor>> {
    let people = vec![
        Actor::Member(MINA),
        Actor::Member(JUNHO),
        Actor::Admin(JUNHO),
        Actor::Anonymous,
        Actor::System,
    ];
    prop::option::weighted(0.25, prop::sample::select(people))
}
