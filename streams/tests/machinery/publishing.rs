use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use maru_streams::publish::{Outgoing, PublishError};
use maru_streams::testing::World;
use maru_streams::topology::{self, COMMANDS, Size};
use rustix::process::Signal;
use uuid::Uuid;

use crate::toys;

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_sent_twice_lies_there_once() {
    let world = World::new(&[]).await;
    let (id, subject) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let first = toys::put(&world.commands, id, subject, 5).await;
    let again = toys::put(&world.commands, id, subject, 5).await;
    assert!(!first.already && again.already);
    assert_eq!(first.seq, again.seq);
    assert_eq!(world.count(COMMANDS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_stored_in_groups_and_everyone_learns_their_own_place() {
    let world = World::new(&[]).await;
    let subject = Uuid::from_u128(2);
    // Some of the crowd come twice; that must fail no one's batch for good.
    let sent = join_all((0..600_u128).map(|n| {
        let id = Uuid::from_u128(1000 + n % 500);
        toys::put(&world.commands, id, subject, 1)
    }))
    .await;
    let places: HashSet<u64> = sent.iter().map(|published| published.seq).collect();
    assert_eq!(places.len(), 500);
    assert_eq!(world.count(COMMANDS).await, 500);
    for (n, published) in sent.iter().enumerate().take(500) {
        let stream = world.nats.jetstream().get_stream(COMMANDS).await.unwrap();
        let message = stream.direct_get(published.seq).await.unwrap();
        let id = Uuid::from_u128(1000 + n as u128).to_string();
        assert!(message.subject.ends_with(&id), "{} is not where it was said to be", id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_killed_server() {
    let world = World::new(&[]).await;
    let subject = Uuid::from_u128(2);
    let stop = Arc::new(AtomicBool::new(false));
    let writers = (0..16_u128).map(|writer| {
        let (commands, stop) = (world.commands.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let id = Uuid::from_u128(writer << 64 | kept.len() as u128);
                let at = maru_streams::subject::Subject::Command {
                    context: "reviews",
                    kind: "put",
                    id,
                };
                let message = Outgoing::new(at, &toys::envelope(id, subject), "{}".into(), true);
                // Unknown: it may be there. Sending it again tells, and stores it once.
                while let Err(error) = commands.publish(message.clone()).await {
                    assert!(
                        matches!(error, PublishError::Unavailable | PublishError::Unknown),
                        "{error}"
                    );
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                kept.push(id);
            }
            kept
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        world.server.signal(Signal::KILL);
    }
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    stop.store(true, Ordering::SeqCst);
    let mut kept = Vec::new();
    for writer in writers {
        kept.extend(writer.await.unwrap());
    }
    assert!(kept.len() > 100, "only {} were stored at all", kept.len());
    assert_eq!(world.count(COMMANDS).await, kept.len() as u64, "each of them once");
    let stream = world.nats.jetstream().get_stream(COMMANDS).await.unwrap();
    for id in kept {
        let found = stream
            .direct_get_last_for_subject(format!("cmd.reviews.put.v1.{id}"))
            .await;
        assert!(found.is_ok(), "{id} was acknowledged and is gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_says_so_and_drops_nothing() {
    let world = World::new(&[]).await;
    let small = Size {
        max_bytes: 64 << 10,
        replicas: 1,
    };
    topology::apply(&world.nats, &[], small).await.unwrap();
    let mut stored = 0;
    let error = loop {
        let id = Uuid::from_u128(stored);
        let at = maru_streams::subject::Subject::Command {
            context: "reviews",
            kind: "put",
            id,
        };
        let body = "x".repeat(4000).into();
        match world
            .commands
            .publish(Outgoing::new(at, &toys::envelope(id, id), body, true))
            .await
        {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, PublishError::Full);
    assert_eq!(u128::from(world.count(COMMANDS).await), stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topology_is_made_once_and_a_difference_is_shown() {
    let world = World::new(&[]).await;
    let wanted = Size {
        max_bytes: 256 << 20,
        replicas: 1,
    };
    assert_eq!(topology::plan(&world.nats, &[], wanted).await.unwrap(), []);
    let other = Size {
        max_bytes: 128 << 20,
        replicas: 1,
    };
    let plan = topology::plan(&world.nats, &[], other).await.unwrap();
    assert_eq!(plan.len(), 5, "four streams and the images: {plan:?}");
    for change in &plan {
        assert!(change.to_string().contains("max_bytes"), "{change}");
    }
    assert_eq!(topology::apply(&world.nats, &[], other).await.unwrap().len(), 5);
    assert_eq!(topology::plan(&world.nats, &[], other).await.unwrap(), []);
}
