//! Dead letters: replayed once when the fault is gone, kept when it is not, in order where order matters.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::letters::{Done, Letter, Listing, State, What, Which};
use maru_streams::jobs::{Delivery, Handler, Lane, Policy, Reason, Running, Verdict};
use maru_streams::letters::{Because, Letters, of_command};
use maru_streams::publish::Outgoing;
use maru_streams::store::{Key, Part};
use maru_streams::subject::Subject;
use maru_streams::testing::faults::{CrashOnce, Twice};
use maru_streams::testing::{World, until};
use maru_streams::topology::{COMMANDS, DEAD, EVENTS};
use maru_streams::write::commands::Commands;
use uuid::Uuid;

use crate::toys::{self, Boxes, Held};

mod forgotten;
mod keeping;
mod once_more;
mod order;
mod replays;
mod stale;

const POLICY: Policy = Policy {
    concurrency: 8,
    timeout: Duration::from_secs(5),
    retries: 1,
    first_retry: Duration::from_millis(50),
    ..Policy::QUICK
};

const CMD: &str = "cmd-reviews";
const FLOW: &str = "flow-boxes";

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Fails for good what is broken, and has somebody else do the rest.
struct Faulty {
    broken: Arc<Broken>,
    inner: Arc<dyn Handler>,
}

#[derive(Default)]
struct Broken {
    poison: Mutex<HashSet<Uuid>>,
    flaky: Mutex<HashSet<Uuid>>,
    homeless: Mutex<HashSet<Uuid>>,
    attempts: Mutex<Vec<(Uuid, u32)>>,
}

impl Broken {
    fn poisons(&self, ids: impl IntoIterator<Item = u128>) {
        self.poison.lock().unwrap().extend(ids.into_iter().map(id));
    }

    fn mends(&self) {
        self.poison.lock().unwrap().clear();
        self.flaky.lock().unwrap().clear();
        self.homeless.lock().unwrap().clear();
    }
}

impl Handler for Faulty {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        let id = delivery.envelope.id;
        self.broken.attempts.lock().unwrap().push((id, delivery.attempt));
        if self.broken.poison.lock().unwrap().contains(&id) {
            return async { Verdict::Poison(Reason::new("broken", "as the test wants it")) }.boxed();
        }
        if self.broken.flaky.lock().unwrap().contains(&id) {
            let reason = Reason::new("no_luck", "as the test wants it");
            return async { Verdict::Retry { reason, at_least: None } }.boxed();
        }
        if self.broken.homeless.lock().unwrap().contains(&id) {
            return async { Verdict::Later(Reason::new("house_out_of_order", "as the test wants it")) }.boxed();
        }
        Arc::clone(&self.inner).handle(delivery)
    }
}

/// Writes down what it did, in order.
#[derive(Default)]
struct Diary(Mutex<Vec<Uuid>>);

impl Handler for Diary {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            // Long enough that whoever may overtake does.
            tokio::time::sleep(Duration::from_millis(3)).await;
            self.0.lock().unwrap().push(delivery.envelope.id);
            Verdict::Done
        }
        .boxed()
    }
}

impl Diary {
    fn of(&self, ids: impl IntoIterator<Item = u128>) -> Vec<u128> {
        let wanted: HashSet<u128> = ids.into_iter().collect();
        let all = self.0.lock().unwrap();
        all.iter().map(Uuid::as_u128).filter(|id| wanted.contains(id)).collect()
    }
}

fn faulty(mut lane: Lane, broken: &Arc<Broken>) -> Lane {
    lane.handler = Arc::new(Faulty {
        broken: Arc::clone(broken),
        inner: lane.handler,
    });
    lane
}

/// The commands of boxes, decided and committed as always.
fn deciding(world: &World) -> Lane {
    let (nats, store) = (world.nats.clone(), world.store.clone());
    Lane {
        name: CMD.into(),
        stream: COMMANDS,
        filters: vec!["cmd.reviews.>".into()],
        policy: POLICY,
        handler: Arc::new(Commands::<Boxes>::new(nats, store, world.outbox())),
    }
}

fn flow(diary: &Arc<Diary>) -> Lane {
    Lane {
        name: FLOW.into(),
        stream: EVENTS,
        filters: vec!["evt.reviews.>".into()],
        policy: POLICY,
        handler: Arc::clone(diary) as Arc<dyn Handler>,
    }
}

async fn start(world: &World, lane: Lane) -> Running {
    world.apply(&lane.consumers()).await;
    lane.start(&world.engine)
}

/// Something happened to a box: `n` is the event, `about` the box.
async fn tell(world: &World, n: u128, about: u128) {
    let at = Subject::Event {
        context: "reviews",
        kind: "added",
        aggregate: id(about),
    };
    let body = r#"{"kind":"added","data":{"amount":1}}"#;
    let message = Outgoing::new(at, &toys::envelope(id(n), id(about)), body.into(), false);
    world.events.publish(message).await.unwrap();
}

fn letters(world: &World) -> &Letters {
    &world.engine.letters
}

async fn open(world: &World) -> Vec<u64> {
    let page = letters(world).list(&Listing::default()).await.unwrap();
    page.items.iter().map(|line| line.number).collect()
}

async fn letter(world: &World, message: u128) -> Option<Letter> {
    let stream = world.nats.jetstream().get_stream_no_info(DEAD).await.unwrap();
    let subject = format!("dead.*.{}", id(message));
    let newest = stream.direct_get_last_for_subject(subject).await.ok()?;
    let mut letter: Letter = serde_json::from_slice(&newest.payload).unwrap();
    if letter.number == 0 {
        letter.number = newest.sequence;
    }
    Some(letter)
}

async fn number(world: &World, message: u128) -> u64 {
    letter(world, message).await.unwrap().number
}

async fn becomes(world: &World, message: u128, state: State) -> Letter {
    until(&format!("letter {message} is {state:?}"), async || {
        letter(world, message).await.is_some_and(|letter| letter.state == state)
    })
    .await;
    letter(world, message).await.unwrap()
}

async fn replay(world: &World, which: &Which) -> Done {
    let lanes = [CMD.to_owned(), FLOW.to_owned()];
    letters(world)
        .replay(which, "operator:mina", None, &lanes, |_, _, _| {})
        .await
        .unwrap()
}

fn these(numbers: impl IntoIterator<Item = u64>) -> Which {
    Which {
        letters: numbers.into_iter().collect(),
        ..Which::default()
    }
}

fn everything() -> Which {
    Which {
        all: true,
        ..Which::default()
    }
}

async fn sum(world: &World, about: u128) -> u64 {
    let held: Option<(u64, Held)> = world.store.state("reviews", id(about)).await.unwrap();
    held.map_or(0, |(_, held)| held.sum)
}

fn story(letter: &Letter) -> Vec<What> {
    letter.history.iter().map(|entry| entry.what).collect()
}

async fn kept_body(world: &World, message: u128) -> Option<String> {
    let key = Key::new("letter_body", [Part::from(CMD), Part::from(id(message))]);
    world.store.get(&key).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_letter_takes_effect_once_when_the_fault_is_gone() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1]);
    let running = start(&world, faulty(Twice::wrap(deciding(&world)), &broken)).await;
    toys::put(&world.commands, id(1), id(7), 5).await;
    let dead = becomes(&world, 1, State::Dead).await;
    assert_eq!((dead.reason.as_str(), dead.attempts, dead.replays), ("broken", 1, 0));
    assert_eq!(sum(&world, 7).await, 0);
    let asked = of_command(&world.nats, id(1)).await.unwrap().unwrap();
    assert_eq!(asked.number, dead.number);

    broken.mends();
    let done = replay(&world, &these([dead.number])).await;
    assert_eq!(done.replayed, [dead.number]);
    let resolved = becomes(&world, 1, State::Resolved).await;
    assert_eq!(story(&resolved), [What::Died, What::Replayed, What::Resolved]);
    assert_eq!(resolved.history[1].by, "operator:mina");
    assert_eq!(sum(&world, 7).await, 5);
    until("its body is forgotten", async || kept_body(&world, 1).await.is_none()).await;
    assert!(open(&world).await.is_empty());
    let again = replay(&world, &these([dead.number, 999_999])).await;
    assert!(again.replayed.is_empty() && again.skipped.len() == 2, "{again:?}");
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_fails_again_stays_with_its_history_and_is_tried_as_often_as_at_first() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1]);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    toys::put(&world.commands, id(1), id(7), 5).await;
    let dead = becomes(&world, 1, State::Dead).await;
    broken.mends();
    broken.flaky.lock().unwrap().insert(id(1));
    broken.attempts.lock().unwrap().clear();
    replay(&world, &everything()).await;
    until("it has failed again", async || {
        letter(&world, 1).await.unwrap().history.len() == 3
    })
    .await;
    let again = becomes(&world, 1, State::Dead).await;
    assert_eq!(again.number, dead.number);
    assert_eq!(story(&again), [What::Died, What::Replayed, What::FailedAgain]);
    assert_eq!(
        (again.reason.as_str(), again.attempts, again.replays),
        ("no_luck", 2, 1)
    );
    assert_eq!(again.history[0].reason, "broken");
    assert_eq!(*broken.attempts.lock().unwrap(), [(id(1), 1), (id(1), 2)]);
    broken.mends();
    replay(&world, &everything()).await;
    becomes(&world, 1, State::Resolved).await;
    assert_eq!(sum(&world, 7).await, 5);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_operators_at_once_one_decides() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1]);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    toys::put(&world.commands, id(1), id(7), 5).await;
    let number = becomes(&world, 1, State::Dead).await.number;
    running.stop(Duration::from_secs(5)).await;
    let because = Because::new("nobody wants it").unwrap();
    let which = these([number]);
    let replays = futures_util::future::join_all((0..8).map(|_| replay(&world, &which)));
    let discards = futures_util::future::join_all((0..8).map(|n| {
        let (which, because) = (&which, &because);
        let letters = letters(&world);
        async move { letters.discard(which, &format!("operator:{n}"), because).await.unwrap() }
    }));
    let (replays, discards) = tokio::join!(replays, discards);
    let won = replays.iter().filter(|done| !done.replayed.is_empty()).count()
        + discards.iter().filter(|done| !done.discarded.is_empty()).count();
    assert_eq!(won, 1);
    assert_eq!(letter(&world, 1).await.unwrap().history.len(), 2);
    assert_eq!(
        world.count(DEAD).await,
        3,
        "the letter, the decision, and one pointer for the lane"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_a_replay_loses_and_doubles_nothing() {
    let world = World::new(&[]).await;
    let crashes = Arc::new(AtomicUsize::new(0));
    for step in 0..6 {
        let broken = Arc::new(Broken::default());
        let me = 100 + u128::try_from(step).unwrap();
        broken.poisons([me]);
        let lane = CrashOnce::wrap(deciding(&world), step, Arc::clone(&crashes));
        let running = start(&world, faulty(lane, &broken)).await;
        toys::put(&world.commands, id(me), id(me), 5).await;
        becomes(&world, me, State::Dead).await;
        broken.mends();
        replay(&world, &everything()).await;
        let resolved = becomes(&world, me, State::Resolved).await;
        assert_eq!(story(&resolved), [What::Died, What::Replayed, What::Resolved]);
        assert_eq!(sum(&world, me).await, 5);
        running.stop(Duration::from_secs(5)).await;
    }
    assert!(crashes.load(Ordering::SeqCst) > 0, "nothing crashed");
}

/// A worker that can be killed with everything it is doing.
fn doomed(lane: Lane, world: &World) -> tokio::runtime::Runtime {
    let doomed = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let engine = world.engine.clone();
    doomed.spawn(async move {
        let _running = lane.start(&engine);
        std::future::pending::<()>().await;
    });
    doomed
}

/// The whole worker goes away in the middle of it, with whatever it was doing.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_among_replays_loses_and_doubles_nothing() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons(1..=60);
    let first = start(&world, faulty(deciding(&world), &broken)).await;
    futures_util::future::join_all((1..=60).map(|n| toys::put(&world.commands, id(n), id(n), 5))).await;
    until("all are dead", async || {
        let all = Listing {
            limit: Some(100),
            ..Listing::default()
        };
        letters(&world).list(&all).await.unwrap().items.len() == 60
    })
    .await;
    first.stop(Duration::from_secs(5)).await;
    broken.mends();
    // Handed over while nobody is there.
    assert_eq!(replay(&world, &everything()).await.replayed.len(), 60);

    let doomed = doomed(faulty(deciding(&world), &broken), &world);
    until("some are resolved", async || {
        sum(&world, 1).await + sum(&world, 2).await > 0
    })
    .await;
    doomed.shutdown_background();

    let second = start(&world, faulty(deciding(&world), &broken)).await;
    until("all are resolved", async || open(&world).await.is_empty()).await;
    for n in 1..=60 {
        assert_eq!(sum(&world, n).await, 5, "{n}");
        assert_eq!(
            story(&letter(&world, n).await.unwrap()),
            [What::Died, What::Replayed, What::Resolved]
        );
    }
    second.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pointer_that_comes_again_changes_nothing() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1, 2]);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    for n in [1, 2] {
        toys::put(&world.commands, id(n), id(n), 5).await;
        becomes(&world, n, State::Dead).await;
    }
    broken.mends();
    replay(&world, &these([number(&world, 1).await])).await;
    becomes(&world, 1, State::Resolved).await;
    broken.attempts.lock().unwrap().clear();
    for (n, of) in [(1, 900), (2, 901), (3, 902)] {
        let stray = Outgoing {
            subject: format!("redo.{CMD}.{}.{of}", id(n)),
            headers: Vec::new(),
            body: "".into(),
            expects: None,
        };
        world.events.publish(stray).await.unwrap();
    }
    replay(&world, &these([number(&world, 2).await])).await;
    becomes(&world, 2, State::Resolved).await;
    assert_eq!(*broken.attempts.lock().unwrap(), [(id(2), 1)], "strays run nothing");
    assert_eq!(story(&letter(&world, 1).await.unwrap()).len(), 3);
    running.stop(Duration::from_secs(5)).await;
}
