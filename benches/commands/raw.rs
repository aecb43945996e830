//! What the machine and the two servers do without Maru: the disk, an acknowledged publish, a transaction.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use maru_schemas::books::{CONTEXT, Command};
use maru_schemas::envelope::{Actor, Envelope};
use maru_schemas::ids::MemberId;
use maru_schemas::outcome::Outcome;
use maru_streams::intention::Clock;
use maru_streams::publish::{Outgoing, Publisher};
use maru_streams::subject::{Subject, kind_of};
use maru_streams::testing::World;
use maru_streams::write::transact::transact;
use maru_workers::contexts::books::Books;
use uuid::Uuid;

use crate::new_id;
use crate::sheet::{Sheet, Speed, fly, thread};

/// Publishing into COMMANDS, one by one and 64 in flight.
pub struct Publishes {
    pub alone: Speed,
    pub crowd: Speed,
}

/// Appends half a kilobyte and waits for the disk, each thread in a file of its own.
pub fn disk(sheet: &mut Sheet, folder: &Path) {
    for threads in [1, 16] {
        let speed = thread(threads, || {
            let path = folder.join(format!("synced-{}", new_id()));
            let mut file = File::create(path).expect("a file");
            move || {
                file.write_all(&[7; 512]).expect("written");
                file.sync_data().expect("on disk");
            }
        });
        sheet.speed("fdatasync, a thread and file each", threads, &speed);
    }
}

/// An envelope and a command that begins a book, a different one each time.
fn ask(clock: &Clock) -> (Envelope, Command) {
    let (id, book) = (new_id(), new_id());
    let envelope = Envelope {
        id,
        kind: kind_of(CONTEXT, "create_book"),
        source: "bench".to_owned(),
        time: clock.now(),
        subject: book,
        actor: Actor::Member(MemberId(Uuid::from_u128(1))),
        correlation: id,
        causation: None,
        version: None,
        owner: None,
        fingerprint: None,
        reply: None,
        traceparent: None,
    };
    let command = Command::CreateBook {
        title: "The moon in the well".to_owned(),
        synopsis: "Once the moon fell into a well.".to_owned(),
        contents: String::new(),
        price: 9000,
        publish: false,
    };
    (envelope, command)
}

async fn publish(into: &Publisher, clock: &Clock) {
    let (envelope, command) = ask(clock);
    let at = Subject::Command {
        context: CONTEXT,
        kind: "create_book",
        id: envelope.id,
    };
    let body = serde_json::to_vec(&command).expect("json");
    let published = into.publish(Outgoing::new(at, &envelope, body.into(), true)).await;
    published.expect("stored");
}

/// Publishes a command, each time it is called.
pub fn publishing(world: &World) -> impl Fn() -> BoxFuture<'static, ()> + Clone + Send + use<> {
    let (into, clock) = (world.commands.clone(), world.clock.clock());
    move || {
        let (into, clock) = (into.clone(), clock.clone());
        async move { publish(&into, &clock).await }.boxed()
    }
}

/// Decides and commits one, each time it is called.
pub fn transacting(world: &World) -> impl Fn() -> BoxFuture<'static, ()> + Clone + Send + use<> {
    let (store, clock) = (world.store.clone(), world.clock.clock());
    move || {
        let (store, (envelope, command)) = (store.clone(), ask(&clock));
        async move {
            let committed = transact::<Books>(&store, &envelope, &command).await;
            assert!(matches!(committed.expect("committed").outcome, Outcome::Done { .. }));
        }
        .boxed()
    }
}

pub async fn publishes(sheet: &mut Sheet, world: &World) -> Publishes {
    let mut speeds = Vec::new();
    for at_once in [1, 64, 256] {
        let speed = fly(at_once, usize::MAX, publishing(world)).await;
        sheet.speed("acknowledged publish", at_once, &speed);
        speeds.push(speed);
    }
    Publishes {
        alone: speeds[0].clone(),
        crowd: speeds[1].clone(),
    }
}

pub async fn transactions(sheet: &mut Sheet, world: &World) {
    for at_once in [1, 16, 64] {
        let speed = fly(at_once, usize::MAX, transacting(world)).await;
        sheet.speed("transaction of a new book", at_once, &speed);
    }
}
