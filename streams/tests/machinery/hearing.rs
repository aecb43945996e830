//! A lane to which nothing is delivered though it asks (the server lost its question, say) helps itself, and says so when
//! that does not help.

use std::sync::Arc;
use std::time::Duration;

use maru_streams::jobs::{Engine, Lane, Running, Verdict};
use maru_streams::nats::Nats;
use maru_streams::testing::conformance::{
    Backend, GRACE, LANE, POLICY, Scripted, Servers, lane, publish, scripted, settled,
};
use maru_streams::testing::{Proxy, until};
use maru_streams::topology::{self, JOBS};

/// The beginning of the subjects on which a lane asks for messages.
const QUESTIONS: &str = "$JS.API.CONSUMER.MSG.NEXT.";

async fn start(backend: &Servers, proxy: &Proxy, handler: Arc<Scripted>) -> (Running, Engine) {
    let world = &backend.0;
    let nats = Nats::connect(&proxy.url(), "lane").await.unwrap();
    let (jobs, letters) = (world.jobs.clone(), world.engine.letters.clone());
    let engine = Engine::new(nats, world.store.clone(), jobs, letters, world.clock.clock());
    let engine = engine.looking_every(Duration::from_millis(300));
    let lane: Lane = lane(POLICY, handler);
    (lane.start(&engine), engine)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deaf_lane_makes_its_consumer_anew_says_that_it_is_not_well_and_hears_when_it_can() {
    let backend = Servers::make().await;
    let proxy = Proxy::before(backend.0.server.url().to_owned()).await;
    let (handler, seen) = scripted(|_| async { Verdict::Done });
    let (running, engine) = start(&backend, &proxy, handler).await;
    publish(&backend, 0..20).await;
    settled(&backend).await;
    let made = async || {
        topology::consumer_info(&backend.0.nats, JOBS, LANE)
            .await
            .map(|info| info.created)
    };
    let at_first = made().await.unwrap();

    proxy.swallow(QUESTIONS);
    // What it has asked already is answered, and all after that waits.
    publish(&backend, 20..60).await;
    until("it makes its consumer anew", async || {
        made().await.is_ok_and(|made| made != at_first)
    })
    .await;
    until("it says that it is not well", async || {
        engine.health.troubles().get(LANE) == Some(&"deaf")
    })
    .await;

    proxy.swallow("");
    settled(&backend).await;
    assert_eq!(seen.counts(), (0..60).map(|n| (n, 1)).collect());
    until("it is well again", async || engine.health.troubles().is_empty()).await;
    running.stop(GRACE).await;
}
