//! The server may forget how often it delivered: after a power cut, and with a consumer that was made anew. What
//! was decided about a message holds all the same.

use maru_streams::topology::{self, Consumer};

use super::*;

/// The consumer goes and comes again, with everything still before it.
async fn begin_anew(world: &World, consumer: &Consumer) {
    let stream = world.nats.jetstream().get_stream(consumer.stream).await.unwrap();
    stream.delete_consumer(&consumer.name).await.unwrap();
    world.apply(std::slice::from_ref(consumer)).await;
    let info = topology::consumer_info(&world.nats, consumer.stream, &consumer.name).await;
    assert_eq!(info.unwrap().ack_floor.stream_sequence, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_command_is_not_carried_out_by_a_process_that_hears_it_first() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([50, 51]);
    let lane = faulty(deciding(&world), &broken);
    let consumer = lane.consumers().swap_remove(0);
    let running = start(&world, lane).await;
    // More than run at once, so that the ones it is about are not among the first.
    for n in 1..=20 {
        toys::put(&world.commands, id(n), id(n), 5).await;
    }
    for n in [50, 51] {
        toys::put(&world.commands, id(n), id(n), 5).await;
        becomes(&world, n, State::Dead).await;
    }
    let because = Because::new("nobody wants it").unwrap();
    let discarded = these([number(&world, 50).await]);
    letters(&world)
        .discard(&discarded, "operator:mina", &because)
        .await
        .unwrap();
    until("its lane knows", async || kept_body(&world, 50).await.is_none()).await;
    running.stop(Duration::from_secs(5)).await;

    begin_anew(&world, &consumer).await;
    broken.mends();
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    toys::put(&world.commands, id(60), id(60), 5).await;
    until("all are settled", async || world.unsettled(COMMANDS, CMD).await == 0).await;
    assert_eq!(sum(&world, 60).await, 5);
    for n in [50, 51] {
        assert_eq!(sum(&world, n).await, 0, "{n} lies in the dead letters");
    }
    assert_eq!(letter(&world, 51).await.unwrap().state, State::Dead);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_head_that_is_delivered_first_again_does_not_run_and_releases_nobody() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([11]);
    let lane = faulty(flow(&diary), &broken);
    let consumer = lane.consumers().swap_remove(0);
    let running = start(&world, lane).await;
    for n in 11..=13 {
        tell(&world, n, 1).await;
    }
    becomes(&world, 13, State::Behind).await;
    running.stop(Duration::from_secs(5)).await;

    begin_anew(&world, &consumer).await;
    broken.mends();
    let running = start(&world, faulty(flow(&diary), &broken)).await;
    tell(&world, 14, 1).await;
    tell(&world, 20, 2).await;
    becomes(&world, 14, State::Behind).await;
    until("the other key is through", async || diary.of([20]) == [20]).await;
    until("all are settled", async || world.unsettled(EVENTS, FLOW).await == 0).await;
    assert!(diary.of(11..=14).is_empty(), "{:?}", diary.of(11..=14));
    replay(&world, &everything()).await;
    until("all are through", async || diary.of(11..=14).len() == 4).await;
    assert_eq!(diary.of(11..=14), [11, 12, 13, 14]);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_go_on_where_they_were() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.flaky.lock().unwrap().insert(id(50));
    let lane = |broken: &Arc<Broken>| {
        let mut lane = faulty(deciding(&world), broken);
        lane.policy.retries = 3;
        lane.policy.first_retry = Duration::from_secs(20);
        lane
    };
    let consumer = lane(&broken).consumers().swap_remove(0);
    let running = start(&world, lane(&broken)).await;
    for n in 1..=20 {
        toys::put(&world.commands, id(n), id(n), 5).await;
    }
    toys::put(&world.commands, id(50), id(50), 5).await;
    let tries = || {
        let all = broken.attempts.lock().unwrap();
        all.iter()
            .filter(|(who, _)| *who == id(50))
            .map(|(_, nth)| *nth)
            .collect::<Vec<_>>()
    };
    until("it has failed", async || tries() == [1]).await;
    until("and all the others are settled", async || {
        world.unsettled(COMMANDS, CMD).await == 1
    })
    .await;
    running.stop(Duration::from_secs(5)).await;

    begin_anew(&world, &consumer).await;
    let running = start(&world, lane(&broken)).await;
    until("it is tried again", async || tries().len() == 2).await;
    assert_eq!(tries(), [1, 2]);
    running.stop(Duration::from_secs(5)).await;
}

/// A replica that is a moment behind would show the letter as it was before it was handed over.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_pointer_points_to_is_asked_of_the_leader() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1]);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    toys::put(&world.commands, id(1), id(1), 5).await;
    becomes(&world, 1, State::Dead).await;
    running.stop(Duration::from_secs(5)).await;
    broken.mends();
    replay(&world, &everything()).await;

    // Without direct reads only the leader answers.
    let js = world.nats.jetstream();
    let mut config = js.get_stream(DEAD).await.unwrap().cached_info().config.clone();
    config.allow_direct = false;
    js.update_stream(config).await.unwrap();
    let running = faulty(deciding(&world), &broken).start(&world.engine);
    until("it has taken effect", async || sum(&world, 1).await == 5).await;
    until("and its pointer is settled", async || {
        world.unsettled(DEAD, &format!("redo-{CMD}")).await == 0
    })
    .await;
    running.stop(Duration::from_secs(5)).await;
}

/// Holds runs back until they are let go.
struct Frozen {
    inner: Arc<dyn Handler>,
    came: tokio::sync::Semaphore,
    let_go: tokio::sync::Semaphore,
}

impl Frozen {
    fn wrap(lane: &mut Lane) -> Arc<Self> {
        let frozen = Arc::new(Self {
            inner: Arc::clone(&lane.handler),
            came: tokio::sync::Semaphore::new(0),
            let_go: tokio::sync::Semaphore::new(0),
        });
        lane.handler = Arc::clone(&frozen) as Arc<dyn Handler>;
        frozen
    }

    async fn has_come(&self) {
        self.came.acquire().await.unwrap().forget();
    }
}

impl Handler for Frozen {
    fn handle(self: Arc<Self>, delivery: Arc<Delivery>) -> BoxFuture<'static, Verdict> {
        async move {
            self.came.add_permits(1);
            self.let_go.acquire().await.unwrap().forget();
            Arc::clone(&self.inner).handle(delivery).await
        }
        .boxed()
    }
}

/// Who asks for nothing at the moment when a consumer goes is not told that it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_its_hands_full_notices_that_the_consumer_began_anew() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([2]);
    let mut lane = deciding(&world);
    lane.policy.concurrency = 1;
    let consumer = lane.consumers().swap_remove(0);
    let frozen = Frozen::wrap(&mut lane);
    let full = start(&world, lane).await;
    toys::put(&world.commands, id(1), id(1), 5).await;
    frozen.has_come().await;
    // The other one has nothing before it, and so takes what comes for new.
    let other = start(&world, faulty(deciding(&world), &broken)).await;
    toys::put(&world.commands, id(2), id(2), 5).await;
    becomes(&world, 2, State::Dead).await;
    other.stop(Duration::from_secs(5)).await;

    begin_anew(&world, &consumer).await;
    toys::put(&world.commands, id(3), id(3), 5).await;
    frozen.let_go.add_permits(10);
    until("all are settled", async || world.unsettled(COMMANDS, CMD).await == 0).await;
    assert_eq!((sum(&world, 1).await, sum(&world, 3).await), (5, 5));
    assert_eq!(sum(&world, 2).await, 0, "it lies in the dead letters");
    full.stop(Duration::from_secs(5)).await;
}

/// A letter that is closed keeps its event from happening, as long as that may be delivered again.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_letter_of_an_event_stays_until_its_lane_is_settled_beyond_it() {
    let world = World::new(&[]).await;
    let (broken, diary) = (Arc::new(Broken::default()), Arc::new(Diary::default()));
    broken.poisons([2]);
    let mut lane = flow(&diary);
    let frozen = Frozen::wrap(&mut lane);
    let running = start(&world, faulty(lane, &broken)).await;
    tell(&world, 1, 1).await;
    frozen.has_come().await;
    tell(&world, 2, 2).await;
    becomes(&world, 2, State::Dead).await;
    let because = Because::new("nobody wants it").unwrap();
    letters(&world)
        .discard(&everything(), "operator:mina", &because)
        .await
        .unwrap();
    until("its lane knows", async || {
        world.unsettled(DEAD, &format!("redo-{FLOW}")).await == 0
    })
    .await;
    let tomorrow = maru_streams::intention::Clock::from_fn(|| {
        maru_streams::intention::Clock::system().now() + jiff::SignedDuration::from_hours(25)
    });
    let old = Letters::new(world.nats.clone(), world.store.clone(), tomorrow);
    let purge = async || old.purge_closed(Duration::from_secs(24 * 3600)).await.unwrap();
    assert_eq!(
        purge().await,
        0,
        "the first is not settled, and everything after it may come again"
    );
    frozen.let_go.add_permits(1);
    until("all are settled", async || world.unsettled(EVENTS, FLOW).await == 0).await;
    running.stop(Duration::from_secs(5)).await;
    // A lane notes how far it is settled when it starts, and from time to time.
    let running = start(&world, flow(&diary)).await;
    until("it goes", async || purge().await == 3).await;
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_somebody_else_brought_to_another_end_tidies_nothing_up() {
    let world = World::new(&[]).await;
    let broken = Arc::new(Broken::default());
    broken.poisons([1]);
    let running = start(&world, faulty(deciding(&world), &broken)).await;
    toys::put(&world.commands, id(1), id(1), 5).await;
    becomes(&world, 1, State::Dead).await;
    running.stop(Duration::from_secs(5)).await;
    broken.mends();
    replay(&world, &everything()).await;

    let mut lane = deciding(&world);
    let frozen = Frozen::wrap(&mut lane);
    let running = lane.start(&world.engine);
    frozen.has_come().await;
    // Meanwhile another process has the pointer, and fails for good.
    let mut other = letter(&world, 1).await.unwrap();
    assert_eq!(other.state, State::Replaying);
    other.state = State::Dead;
    let dead = Outgoing {
        subject: format!("dead.{CMD}.{}", id(1)),
        headers: vec![("maru-letter-state", "dead".to_owned())],
        body: serde_json::to_vec(&other).unwrap().into(),
        expects: None,
    };
    world.events.publish(dead).await.unwrap();
    frozen.let_go.add_permits(1);
    until("its pointer is settled", async || {
        world.unsettled(DEAD, &format!("redo-{CMD}")).await == 0
    })
    .await;
    assert!(
        kept_body(&world, 1).await.is_some(),
        "a dead letter without its body is lost"
    );
    assert_eq!(letter(&world, 1).await.unwrap().state, State::Dead);
    frozen.let_go.add_permits(10);
    replay(&world, &everything()).await;
    becomes(&world, 1, State::Resolved).await;
    running.stop(Duration::from_secs(5)).await;
}
