//! A command that was given up and closed may be sent once more under its old id, when it has left its stream: whoever
//! repeats a request with the old Idempotency-Key does that. It is another message, and none of it is passed over.

use rustix::process::Signal;

use super::*;

/// The stream forgets what it held, and the server the ids that it has heard lately.
async fn leaves_its_stream(world: &World) {
    let stream = world.nats.jetstream().get_stream_no_info(COMMANDS).await.unwrap();
    stream.purge().await.unwrap();
    let mut connects = world.nats.connects();
    connects.mark_unchanged();
    world.server.signal(Signal::KILL);
    connects.changed().await.unwrap();
    until("the stream is back", async || {
        world.nats.jetstream().get_stream(COMMANDS).await.is_ok()
    })
    .await;
}

async fn discard(world: &World, message: u128) {
    let because = Because::new("nobody wants it").unwrap();
    let which = these([number(world, message).await]);
    let done = letters(world).discard(&which, "operator:mina", &because).await.unwrap();
    assert_eq!(done.discarded.len(), 1);
    until("its lane knows", async || kept_body(world, message).await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_once_more_opens_its_closed_letter_again() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1]);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    toys::put(&world.commands, id(1), id(7), 5).await;
    let dead = becomes(&world, 1, State::Dead).await;
    discard(&world, 1).await;

    leaves_its_stream(&world).await;
    toys::put(&world.commands, id(1), id(7), 5).await;
    let again = becomes(&world, 1, State::Dead).await;
    assert_eq!(again.number, dead.number);
    assert_eq!(story(&again), [What::Died, What::Discarded, What::Died]);
    assert_eq!(open(&world).await, [dead.number]);
    broken.mends();
    replay(&world, &everything()).await;
    becomes(&world, 1, State::Resolved).await;
    assert_eq!(sum(&world, 7).await, 5);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_works_now_takes_effect_whatever_its_closed_letter_says() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    // Tried as often as may be.
    broken.flaky.lock().unwrap().insert(id(1));
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    toys::put(&world.commands, id(1), id(7), 5).await;
    becomes(&world, 1, State::Dead).await;
    discard(&world, 1).await;
    running.stop(Duration::from_secs(5)).await;

    leaves_its_stream(&world).await;
    broken.mends();
    broken.attempts.lock().unwrap().clear();
    toys::put(&world.commands, id(1), id(7), 5).await;
    // It is there before the lane is, so the lane cannot tell whether it was here before, and looks for its letter.
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    until("it took effect", async || sum(&world, 7).await == 5).await;
    let anew = broken.attempts.lock().unwrap().clone();
    assert_eq!(anew, [(id(1), 1)], "what it came to in its former life does not count");
    running.stop(Duration::from_secs(5)).await;
}
