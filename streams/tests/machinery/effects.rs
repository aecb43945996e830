//! The ledger of calls, and what is kept of those that take long.

use futures_util::StreamExt;
use maru_streams::effects::{Begun, Effect, Effects, Known};
use maru_streams::partial::Partials;
use maru_streams::testing::World;
use uuid::Uuid;

const JOB: Uuid = Uuid::from_u128(1);

async fn begin(effects: &Effects) -> Effect {
    match effects.begin::<String>(JOB, "call").await.unwrap() {
        Begun::Now(effect) => effect,
        Begun::Before(answer) => panic!("made before: {answer}"),
    }
}

/// What an operator sees: what is known, how often it was begun, how many tries were lost.
async fn line(effects: &Effects) -> (Known, i64, i64) {
    let lines = effects.status(JOB).await.unwrap();
    assert_eq!((lines.len(), lines[0].step.as_str()), (1, "call"));
    (lines[0].known, lines[0].tries, lines[0].lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_says_once_maybe_and_not() {
    let world = World::new(&[]).await;
    let effects = Effects::new(world.store.clone());
    let job = Uuid::from_u128(1);
    let Begun::Now(lost) = effects.begin::<String>(job, "call").await.unwrap() else {
        panic!("new")
    };
    assert_eq!(lost.lost, 0);
    // Whoever began it is not heard of again; the next one is told that it may have been made.
    let Begun::Now(second) = effects.begin::<String>(job, "call").await.unwrap() else {
        panic!("open")
    };
    assert_eq!(second.lost, 1);
    assert!(
        !effects.done(&lost, &"late").await.unwrap(),
        "an old fence counts no more"
    );
    assert!(effects.failed(&second).await.unwrap());
    let Begun::Now(third) = effects.begin::<String>(job, "call").await.unwrap() else {
        panic!("failed")
    };
    assert_eq!(third.lost, 1, "that the second failed says nothing of the first");
    assert!(effects.done(&third, &"answer").await.unwrap());
    assert!(matches!(effects.begin::<String>(job, "call").await.unwrap(), Begun::Before(answer) if answer == "answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_was_done_once_and_what_maybe_twice() {
    let world = World::new(&[]).await;
    let effects = Effects::new(world.store.clone());
    assert_eq!(effects.status(JOB).await.unwrap(), []);
    let first = begin(&effects).await;
    assert_eq!(line(&effects).await, (Known::Maybe, 1, 0));
    effects.failed(&first).await.unwrap();
    assert_eq!(line(&effects).await, (Known::NotDone, 1, 0));
    begin(&effects).await;
    let third = begin(&effects).await;
    effects.failed(&third).await.unwrap();
    assert_eq!(line(&effects).await, (Known::Maybe, 3, 1), "the second was lost");
    let fourth = begin(&effects).await;
    effects.cancelled(&fourth).await.unwrap();
    assert_eq!(line(&effects).await, (Known::Cancelled, 4, 1));
    let fifth = begin(&effects).await;
    effects.done(&fifth, &"answer").await.unwrap();
    assert_eq!(line(&effects).await, (Known::MaybeTwice, 5, 1));
    effects.begin::<String>(Uuid::from_u128(2), "call").await.unwrap();
    assert_eq!(
        effects.status(JOB).await.unwrap().len(),
        1,
        "another job is another matter"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_goes_on_where_the_last_one_was_makes_it_no_second_call() {
    let world = World::new(&[]).await;
    let effects = Effects::new(world.store.clone());
    begin(&effects).await;
    for tries in 2..=3 {
        let mut next = begin(&effects).await;
        effects.goes_on(&mut next).await.unwrap();
        assert_eq!(line(&effects).await, (Known::Maybe, tries, 0));
    }
    let mut last = begin(&effects).await;
    effects.goes_on(&mut last).await.unwrap();
    effects.done(&last, &"answer").await.unwrap();
    assert_eq!(line(&effects).await, (Known::DoneOnce, 4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_a_text_up_has_all_that_was_kept_and_the_one_before_writes_no_more() {
    let world = World::new(&[]).await;
    let effects = Effects::new(world.store.clone());
    let partials = Partials::new(world.store.clone(), world.nats.clone());
    assert_eq!(partials.read(JOB).await.unwrap(), None);
    let first = begin(&effects).await;
    let mine = partials.take_up(JOB, &first).await.unwrap();
    assert_eq!(
        (mine.text.as_str(), partials.read(JOB).await.unwrap().as_deref()),
        ("", Some(""))
    );
    assert!(partials.keep(&mine, "Once upon").await.unwrap());

    let second = begin(&effects).await;
    let taken = partials.take_up(JOB, &second).await.unwrap();
    assert_eq!(taken.text, "Once upon");
    assert!(!partials.keep(&mine, "Once more, by a ghost").await.unwrap());
    assert!(
        partials.take_up(JOB, &first).await.is_err(),
        "what was overtaken is not taken back"
    );
    assert!(partials.keep(&taken, "Once upon a time").await.unwrap());
    assert_eq!(partials.read(JOB).await.unwrap().as_deref(), Some("Once upon a time"));

    partials.forget(JOB).await.unwrap();
    partials.forget(JOB).await.unwrap();
    assert_eq!(partials.read(JOB).await.unwrap(), None);
    assert!(!partials.keep(&taken, "What is forgotten stays so").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_a_text_hears_that_it_grows_and_no_word_of_it() {
    let world = World::new(&[]).await;
    let partials = Partials::new(world.store.clone(), world.nats.clone());
    let effect = begin(&Effects::new(world.store.clone())).await;
    let mine = partials.take_up(JOB, &effect).await.unwrap();
    let mut overheard = world.nats.client().subscribe("partial.>").await.unwrap();
    let mut news = partials.news(JOB).await;
    let mut of_another = partials.news(Uuid::from_u128(2)).await;
    world.nats.client().flush().await.unwrap();
    partials.keep(&mine, "옛날 옛적에").await.unwrap();
    news.next().await.unwrap();
    let said = overheard.next().await.unwrap();
    assert_eq!(
        (said.subject.as_str(), &said.payload[..]),
        (format!("partial.{JOB}").as_str(), &b"6"[..])
    );
    assert!(futures_util::poll!(of_another.next()).is_pending());
}
