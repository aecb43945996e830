use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn, ready};
use maru_schemas::ids::MemberId;
use maru_schemas::outcome::Outcome;
use maru_streams::contract::{By, Context, ToldOf};
use maru_streams::heal::{Closed, Heal, Mark, Why, lost_context};
use maru_streams::jobs::{Delivery, Handler, Lane, Reason, Verdict};
use maru_streams::store::Store;
use maru_streams::testing::loss::set;
use maru_streams::testing::{World, until};
use maru_streams::topology::{COMMANDS, EVENTS};
use maru_streams::views::{self, View};
use maru_streams::write::inbox::{handled, last_word};
use maru_streams::write::transact::transact;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::losing::{History, lane, rows, settle, settle_by};
use crate::seeing::Sums;
use crate::toys::{self, Boxes, Command, Full, Held};

#[tokio::test(flavor = "multi_thread")]
async fn transactions_lost_anywhere_come_back_to_the_byte() {
    let history = History::new(60, 1).await;
    let events = history.world.count(EVENTS).await;
    for seed in 0..40 {
        let mut dice = StdRng::seed_from_u64(seed);
        let share = [0.02, 0.1, 0.4][usize::try_from(seed % 3).unwrap()];
        let lost: Vec<bool> = history.transactions.iter().map(|_| dice.random_bool(share)).collect();
        let store = history.without(|nth| lost[nth]).await;
        if lost.contains(&true) {
            assert_ne!(
                rows(&store).await,
                history.whole,
                "seed {seed}: without healing something is missing"
            );
        }
        let report = history.mend(&store).await;
        assert!(report.is_whole(), "seed {seed}: {report:?}");
        assert_eq!(report.missing_events, report.healed_events, "seed {seed}");
        assert_eq!(
            rows(&store).await,
            history.whole,
            "seed {seed}: what was published is not left to be published again"
        );
        history.sweep(&store).await;
        assert_eq!(rows(&store).await, history.whole, "seed {seed}");
        assert_eq!(
            history.world.count(EVENTS).await,
            events,
            "nothing happens a second time"
        );
        assert!(
            !history.mend(&store).await.found_anything(),
            "seed {seed}: healed is healed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_comes_back_whole() {
    let history = History::new(80, 2).await;
    let store = history.without(|_| true).await;
    let lost = async |store: &Store| lost_context(&history.world.nats, store, &["reviews"]).await.unwrap();
    // Nobody is to begin to work on it as it is.
    assert_eq!(lost(&history.world.store).await, None);
    assert_eq!(lost(&store).await, Some("reviews"));
    let report = history.mend(&store).await;
    assert_eq!(report.missing_events, history.world.count(EVENTS).await);
    assert_eq!(rows(&store).await, history.whole);
    assert_eq!(lost(&store).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_database_is_healed_from_its_own_mark() {
    let history = History::new(60, 3).await;
    let half = history.transactions.len() / 2;
    let store = history.without(|nth| nth >= half).await;
    assert_ne!(rows(&store).await, history.whole);
    let report = history.mend(&store).await;
    assert!(report.is_whole());
    assert_eq!(rows(&store).await, history.whole);
    let mark = Mark::of(&store).await.unwrap();
    assert_eq!(mark, report.to);
    assert_eq!(mark.events, history.world.count(EVENTS).await);
    let again = history.heal(&store).mend(mark, &|_| {}).await.unwrap();
    assert_eq!(
        (again.events, again.commands),
        (0, 0),
        "what is known to be whole is not looked at again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn healing_that_is_cut_off_at_any_step_is_finished_by_the_next() {
    let history = History::new(24, 4).await;
    let mut steps = 0;
    loop {
        let store = history.without(|nth| nth % 3 == 0 || nth > 30).await;
        let mut healing = pin!(history.heal(&store).mend(Mark::default(), &|_| {}));
        let mut left = steps;
        let is_done = poll_fn(|cx| match healing.as_mut().poll(cx) {
            Poll::Ready(report) => Poll::Ready(report.unwrap().is_whole()),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        })
        .await;
        assert!(history.mend(&store).await.is_whole(), "cut off after {steps} steps");
        history.sweep(&store).await;
        assert_eq!(rows(&store).await, history.whole, "cut off after {steps} steps");
        if is_done {
            break;
        }
        steps += 1;
    }
    assert!(steps > 10, "it has more steps than {steps}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    let history = History::new(60, 5).await;
    let store = history.without(|nth| nth % 5 == 0 || nth > 70).await;
    let before = rows(&store).await;
    let dry = history.heal(&store).look(Mark::default(), &|_| {}).await.unwrap();
    assert_eq!(rows(&store).await, before);
    assert_eq!(Mark::of(&store).await.unwrap(), Mark::default());
    let mut wet = history.mend(&store).await;
    wet.dry_run = true;
    assert!(dry.healed_events > 20 && dry.healed_outcomes > 0, "{dry:?}");
    assert_eq!(dry, wet);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_command_any_more_stays_and_the_rest_is_healed() {
    let history = History::new(60, 6).await;
    let poor = Uuid::from_u128(1);
    let store = history.without(|nth| nth > 60).await;
    let (before, missing) = (
        rows(&store).await,
        history.heal(&store).look(Mark::default(), &|_| {}).await.unwrap(),
    );
    let stream = history.world.nats.jetstream().get_stream(COMMANDS).await.unwrap();
    let is_poors = |command: Uuid| history.asked.contains(&(command, poor));
    for (command, _) in history.asked.iter().filter(|(command, _)| is_poors(*command)) {
        let subject = format!("cmd.reviews.put.v1.{command}");
        stream.purge().filter(subject).await.unwrap();
    }
    let report = history.mend(&store).await;
    assert!(!report.is_whole());
    assert_eq!(report.unhealable_aggregates, 1);
    assert_eq!(
        (report.unhealable[0].aggregate, report.unhealable[0].why),
        (poor, Why::NoCommand)
    );
    assert!(report.healed_events > 0 && report.healed_events < missing.healed_events);
    let after = rows(&store).await;
    for (at, row) in &history.whole {
        let ids = at.1.split('"').filter_map(|id| Uuid::parse_str(id).ok());
        if ids.into_iter().any(|id| id == poor || is_poors(id)) {
            assert_eq!(after.get(at), before.get(at), "left as it was: {at:?}");
        } else {
            assert_eq!(after.get(at), Some(row), "healed: {at:?}");
        }
    }
    assert_eq!(
        Mark::of(&store).await.unwrap(),
        Mark::default(),
        "the mark does not move over what is missing"
    );
}

/// Decides with a counter, as no context may.
struct Dice;

static THROWS: AtomicU64 = AtomicU64::new(1);

impl Context for Dice {
    type Says = Boxes;
    type State = Held;
    type Refusal = Full;

    fn decide(held: &Held, _: &Command, by: &By) -> Result<Vec<ToldOf<Self>>, Full> {
        let amount = THROWS.fetch_add(1, Ordering::SeqCst);
        Boxes::decide(held, &Command::Put { amount }, by)
    }

    fn evolve(held: Held, told: &ToldOf<Self>) -> Held {
        Boxes::evolve(held, told)
    }

    fn owner(held: &Held) -> Option<MemberId> {
        Boxes::owner(held)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_is_not_repeatable_is_caught_and_nothing_is_written() {
    let history = History::new(20, 7).await;
    // Cut behind a command whose outbox was cleared: what is only left in the outbox would rightly be mended.
    let store = history.without(|nth| nth > 11).await;
    let before = rows(&store).await;
    let heal = Heal::new(history.world.nats.clone(), store.clone(), Vec::new()).deciding::<Dice>();
    let report = heal.mend(Mark::default(), &|_| {}).await.unwrap();
    assert!(!report.unhealable.is_empty());
    assert!(
        report.unhealable.iter().all(|one| one.why == Why::Otherwise),
        "{report:?}"
    );
    assert_eq!((report.healed_events, report.healed_outcomes), (0, 0));
    assert_eq!(rows(&store).await, before);
}

/// Says of every command that it is done, or that it never can be, and does nothing.
struct Idle(fn() -> Verdict);

impl Handler for Idle {
    fn handle(self: Arc<Self>, _: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        ready((self.0)()).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_command_without_an_outcome_gets_one_and_changes_nothing() {
    let world = World::new(&[]).await;
    let subject = Uuid::from_u128(1);
    let ask = async |n: u128, amount: u64| {
        toys::put(&world.commands, Uuid::from_u128(n), subject, amount).await;
        Uuid::from_u128(n)
    };
    let outcome = async |id: Uuid| {
        handled(&world.store, "reviews", id)
            .await
            .unwrap()
            .map(|handled| handled.outcome)
    };
    let done = ask(1, 9_000).await;
    settle(&world).await;
    let (much, nothing) = (ask(2, 20_000).await, ask(3, 0).await);
    settle(&world).await;
    let (refused, idle) = (outcome(much).await, outcome(nothing).await);
    assert!(refused.is_some() && idle.is_some());
    for id in [much, nothing] {
        let at = ("inbox".to_owned(), serde_json::json!(["reviews", id]).to_string());
        set(&world.store, &at, None).await;
    }
    let lost = ask(4, 700).await;
    let idle_lane = |says| Lane {
        handler: Arc::new(Idle(says)),
        ..lane(&world)
    };
    settle_by(&world, idle_lane(|| Verdict::Done)).await;
    let dead = ask(5, 7).await;
    settle_by(
        &world,
        idle_lane(|| Verdict::Poison(Reason::new("poison", "on purpose"))),
    )
    .await;
    let waiting = ask(6, 50).await;

    let heal = Heal::new(world.nats.clone(), world.store.clone(), Vec::new()).deciding::<Boxes>();
    let report = heal.mend(Mark::default(), &|_| {}).await.unwrap();
    assert_eq!(
        (report.healed_outcomes, report.lost_outcomes, report.missing_events),
        (2, 1, 0)
    );
    assert_eq!(outcome(much).await, refused);
    assert_eq!(outcome(nothing).await, idle);
    let code = |outcome: Option<Outcome>| match outcome {
        Some(Outcome::Refused { code, .. }) => code,
        other => format!("{other:?}"),
    };
    assert_eq!(code(outcome(lost).await), "OUTCOME_LOST");
    assert_eq!(outcome(dead).await, None, "given up is given up");
    assert_eq!(outcome(waiting).await, None, "what waits is left alone");
    let held: Option<(u64, Held)> = world.store.state("reviews", subject).await.unwrap();
    assert_eq!(held, Some((2, Held { sum: 9_000 })), "nothing changed");

    settle(&world).await;
    assert!(matches!(outcome(waiting).await, Some(Outcome::Done { version: 4, .. })));
    assert!(outcome(done).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_last_event_is_not_out_has_no_last_word_yet() {
    let world = World::new(&[]).await;
    let (id, subject) = (Uuid::from_u128(1000), Uuid::from_u128(1));
    let amount = 9_000;
    toys::put(&world.commands, id, subject, amount).await;
    let (envelope, command) = (toys::envelope(id, subject), Command::Put { amount });
    let committed = transact::<Boxes>(&world.store, &envelope, &command).await.unwrap();
    assert_eq!(committed.pending.len(), 2);
    // The process was killed here.
    world.outbox().publish(&committed.pending[..1]).await.unwrap();

    let heal = Heal::new(world.nats.clone(), world.store.clone(), Vec::new()).deciding::<Boxes>();
    heal.mend(Mark::default(), &|_| {}).await.unwrap();
    let word = async || {
        last_word(&world.store, "reviews", id)
            .await
            .unwrap()
            .map(|word| word.outcome)
    };
    assert_eq!(word().await, None);

    let again = transact::<Boxes>(&world.store, &envelope, &command).await.unwrap();
    assert!(again.already && again.pending == committed.pending[1..]);
    let carried = world.outbox().publish(&again.pending).await.unwrap();
    world.outbox().clear(carried).await.unwrap();
    let Some(Outcome::Done { version, seq, .. }) = word().await else {
        panic!("it is done");
    };
    assert_eq!((version, seq), (2, Some(world.count(EVENTS).await)));
}

fn view() -> Arc<dyn View> {
    Arc::new(Sums::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_lost_a_batch_is_forgotten_and_one_that_only_lags_is_not() {
    let world = World::new(&[view().consumer()]).await;
    let stop = CancellationToken::new();
    let reading = tokio::spawn(views::read(
        world.nats.clone(),
        world.store.clone(),
        view(),
        stop.clone(),
    ));
    for n in 0..12 {
        toys::put(&world.commands, Uuid::from_u128(n), Uuid::from_u128(n % 3), 5).await;
        settle(&world).await;
        let newest = world.count(EVENTS).await;
        until("the view is where the stream is", async || {
            views::mark(&world.store, "book_home").await.unwrap() == Some(newest)
        })
        .await;
    }
    stop.cancel();
    reading.await.unwrap();
    let whole = rows(&world.store).await;
    let links: Vec<_> = whole
        .keys()
        .filter(|(table, _)| table == "view_batch")
        .cloned()
        .collect();
    assert!(links.len() > 4, "many batches: {links:?}");
    for link in &links {
        assert!(views::is_whole(&world.store, &*view()).await.unwrap());
        set(&world.store, link, None).await;
        assert!(
            !views::is_whole(&world.store, &*view()).await.unwrap(),
            "without {link:?}"
        );
        set(&world.store, link, whole.get(link)).await;
    }
    views::trust(&world.store, &*view()).await.unwrap();
    set(&world.store, &links[2], None).await;
    assert!(
        views::is_whole(&world.store, &*view()).await.unwrap(),
        "what was trusted is not looked at"
    );
}

#[test]
fn only_who_closed_the_database_finds_word_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mark = Mark { events: 7, commands: 5 };
    let first = Closed::take(folder.path()).unwrap();
    assert_eq!(first.at, None, "a new folder");
    first.leave(mark).unwrap();
    let second = Closed::take(folder.path()).unwrap();
    assert_eq!(second.at, Some(mark));
    assert_eq!(
        Closed::take(folder.path()).unwrap().at,
        None,
        "it was taken away at the first look"
    );
    std::fs::write(folder.path().join("closed.json"), "{\"events\": 7").unwrap();
    assert_eq!(Closed::take(folder.path()).unwrap().at, None, "half a word is none");
}
