//! A replay has an end, and comes to it whoever dies on the way.

use maru_schemas::replays::{Came, Replaying};

use super::*;

/// Looks after replays as every process with workers does.
async fn look_after(world: &World) {
    let lanes = [CMD.to_owned(), FLOW.to_owned()];
    let looked = letters(world).batches().look_after(letters(world), &lanes).await;
    looked.unwrap();
}

async fn finishes(world: &World, id: Uuid) -> Replaying {
    until("the replay is finished", async || {
        look_after(world).await;
        stands(world, id).await.finished.is_some()
    })
    .await;
    stands(world, id).await
}

async fn stands(world: &World, id: Uuid) -> Replaying {
    letters(world).replaying(id).await.unwrap().unwrap()
}

fn counts(replay: &Replaying) -> [u64; 5] {
    [replay.of, replay.done, replay.refused, replay.dead, replay.skipped]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tells_what_came_of_each_letter_and_is_written_down_once() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons(1..=6);
    let running = start(&world, faulty(Twice::wrap(deciding(&world)), &broken)).await;
    for n in 1..=6 {
        toys::put(&world.commands, id(n), id(n), 5).await;
        becomes(&world, n, State::Dead).await;
    }
    broken.mends();
    broken.poisons([2]);
    let because = Because::new("nobody wants it").unwrap();
    let third = these([number(&world, 3).await]);
    letters(&world)
        .discard(&third, "operator:mina", &because)
        .await
        .unwrap();
    let mut which = these([number(&world, 3).await]);
    for n in [1, 2, 4, 5, 6] {
        which.letters.push(number(&world, n).await);
    }
    let done = replay(&world, &which).await;
    assert_eq!((done.replayed.len(), done.skipped.len()), (5, 1));
    let replay = finishes(&world, done.replay.unwrap()).await;
    assert_eq!(counts(&replay), [6, 4, 0, 1, 1]);
    assert_eq!((replay.by.as_str(), &replay.which), ("operator:mina", &which));
    let shown = letters(&world).show_replay(replay.id).await.unwrap().unwrap();
    let came = |n: u128| {
        let found = shown.letters.iter().find(|letter| letter.message == id(n)).unwrap();
        (found.came, found.why.clone())
    };
    assert_eq!(came(1), (Some(Came::Done), None));
    assert_eq!(came(2), (Some(Came::Dead), None));
    assert_eq!(came(3), (Some(Came::Skipped), Some("it was discarded".to_owned())));
    let to_look_at: Vec<_> = shown.letters[..2].iter().map(|letter| letter.message).collect();
    assert!(
        to_look_at.contains(&id(2)) && to_look_at.contains(&id(3)),
        "{to_look_at:?}"
    );
    assert_eq!(
        letters(&world).replays(10).await.unwrap(),
        std::slice::from_ref(&replay)
    );

    // Its callback writes it down, and twice is once.
    let before = world.count(DEAD).await;
    for _ in 0..2 {
        assert_eq!(letters(&world).conclude(replay.id).await.unwrap(), Some(replay.clone()));
    }
    assert_eq!(world.count(DEAD).await, before + 1);
    assert_eq!(open(&world).await, [number(&world, 2).await], "it is no letter");
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_process_died_is_handed_over_by_another_one() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons(1..=40);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    futures_util::future::join_all((1..=40).map(|n| toys::put(&world.commands, id(n), id(n), 5))).await;
    until("all are dead", async || world.count(DEAD).await == 40).await;
    broken.mends();
    // Two a second: it dies when a few are handed over.
    let dying = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let theirs = Letters::new(
        maru_streams::nats::Nats::connect(world.server.url(), "dying")
            .await
            .unwrap(),
        world.store.clone(),
        world.clock.clock(),
    );
    dying.spawn(async move {
        let lanes = [CMD.to_owned()];
        let slowly = std::num::NonZeroU32::new(2);
        theirs
            .replay(&everything(), "operator:mina", slowly, &lanes, |_, _, _| {})
            .await
    });
    until("some took effect", async || sum(&world, 1).await == 5).await;
    dying.shutdown_background();
    let replays = letters(&world).replays(10).await.unwrap();
    assert!(
        replays[0].finished.is_none() && replays[0].settled() < 40,
        "{replays:?}"
    );
    let replay = finishes(&world, replays[0].id).await;
    assert_eq!(counts(&replay), [40, 40, 0, 0, 0]);
    for n in 1..=40 {
        assert_eq!(sum(&world, n).await, 5, "{n}");
        assert_eq!(letter(&world, n).await.unwrap().replays, 1, "{n} was handed over once");
    }
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_others_counts_in_their_replay_and_does_not_keep_it_from_ending() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([11]);
    let running = start(&world, faulty(flow(&diary), &broken)).await;
    for n in 11..17 {
        tell(&world, n, 1).await;
    }
    until("five wait", async || open(&world).await.len() == 6).await;
    broken.mends();
    broken.poisons([14]);
    let first = replay(&world, &everything()).await;
    assert_eq!(first.replayed, [number(&world, 11).await]);
    let first = finishes(&world, first.replay.unwrap()).await;
    // Three go through, the fourth fails, and the two behind it wait on.
    assert_eq!(counts(&first), [6, 3, 0, 1, 2]);
    assert_eq!(diary.of(10..20), [11, 12, 13]);
    broken.mends();
    let second = replay(&world, &everything()).await;
    let second = finishes(&world, second.replay.unwrap()).await;
    assert_eq!(counts(&second), [3, 3, 0, 0, 0]);
    assert_eq!(diary.of(10..20), (11..17).collect::<Vec<_>>());
    running.stop(Duration::from_secs(5)).await;
}
