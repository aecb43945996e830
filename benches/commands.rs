//! What a command costs, beside what its parts cost on this machine in the same run: one acknowledged
//! publish, one transaction. Machines differ; the ratios are what to look at and to keep.
//!
//! `make bench` prints a table and writes the same numbers as JSON into the target folder.

#![expect(clippy::expect_used, reason = "a measurement that cannot be made has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use maru_schemas::envelope::{Actor, Envelope};
use maru_schemas::ids::{self, BookId, MemberId, ReviewId};
use maru_schemas::outcome::Outcome;
use maru_schemas::reviews::{CONTEXT, Command, HalfStars};
use maru_streams::publish::Outgoing;
use maru_streams::subject::{Subject, kind_of};
use maru_streams::testing::World;
use maru_streams::write::inbox::handled;
use maru_streams::write::transact::transact;
use maru_workers::contexts::reviews::Reviews;
use maru_workers::house::{House, Parts};
use maru_workers::ports::ai::Sketch;
use maru_workers::ports::sandbox::Sandbox;
use serde_json::{Value, json};
use uuid::Uuid;

/// How often each thing is done.
const TIMES: u64 = 600;

/// Everything a new review needs, a different one for every number.
struct Ask {
    envelope: Envelope,
    command: Command,
}

static NTH: AtomicU64 = AtomicU64::new(0);

fn ask(world: &World) -> Ask {
    let nth = NTH.fetch_add(1, Ordering::Relaxed);
    let member = MemberId(ids::named("bench", &nth.to_string()));
    let book = BookId(Uuid::from_u128(1));
    let id = ids::derive(member.0, "command");
    Ask {
        envelope: Envelope {
            id,
            kind: kind_of(CONTEXT, "write_review"),
            source: "bench".to_owned(),
            time: world.clock.clock().now(),
            subject: ReviewId::of(member, book).0,
            actor: Actor::Member(member),
            correlation: id,
            causation: None,
            version: None,
            owner: None,
            fingerprint: None,
            reply: None,
            traceparent: None,
        },
        command: Command::WriteReview {
            member,
            book,
            rating: HalfStars::from_stars(4.5).expect("a rating"),
            content: "Warm and funny, read it twice.".to_owned(),
            bought: true,
        },
    }
}

async fn publish(world: &World, ask: &Ask) {
    let at = Subject::Command {
        context: CONTEXT,
        kind: "write_review",
        id: ask.envelope.id,
    };
    let body = serde_json::to_vec(&ask.command).expect("json");
    let message = Outgoing::new(at, &ask.envelope, body.into(), true);
    world.commands.publish(message).await.expect("stored");
}

async fn commit(world: &World, ask: &Ask) {
    let committed = transact::<Reviews>(&world.store, &ask.envelope, &ask.command).await;
    assert!(matches!(committed.expect("committed").outcome, Outcome::Done { .. }));
}

/// From sending it to its last word in the inbox, events published and all.
async fn finish(world: &World, ask: &Ask) {
    publish(world, ask).await;
    loop {
        let row = handled(&world.store, CONTEXT, ask.envelope.id)
            .await
            .expect("an answer");
        if let Some(Outcome::Done { seq: Some(_), .. }) = row.map(|row| row.outcome) {
            return;
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

/// Does something so many times, so many at once. Returns a row of the table.
async fn measure<F: AsyncFn(&World, &Ask)>(what: &str, at_once: u64, world: &World, run: F) -> Value {
    let begun = Instant::now();
    let mut each = Vec::new();
    for _ in 0..TIMES / at_once {
        let crowd = (0..at_once).map(async |_| {
            let (ask, begun) = (ask(world), Instant::now());
            run(world, &ask).await;
            begun.elapsed()
        });
        each.extend(join_all(crowd).await);
    }
    each.sort_unstable();
    let rate = each.len() as f64 / begun.elapsed().as_secs_f64();
    let at = |share: usize| each[(each.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    let row = json!({ "what": what, "at_once": at_once, "per_second": rate, "p50_ms": at(50), "p99_ms": at(99) });
    println!("{what:<28} {at_once:>8} {rate:>12.0} {:>10.2} {:>10.2}", at(50), at(99));
    row
}

async fn run() {
    let world = World::on_disk(&[]).await;
    println!(
        "{:<28} {:>8} {:>12} {:>10} {:>10}",
        "", "at once", "per second", "p50 ms", "p99 ms"
    );
    let mut rows = Vec::new();
    for at_once in [1, 64] {
        rows.push(measure("acknowledged publish", at_once, &world, publish).await);
    }
    for at_once in [1, 64] {
        rows.push(measure("transaction", at_once, &world, commit).await);
    }
    let house = House::new(Parts {
        nats: world.nats.clone(),
        store: world.store.clone(),
        clock: world.clock.clock(),
        ai: Arc::new(Sketch),
        bank: Arc::new(Sandbox::new(world.store.clone())),
        bank_timeout: Duration::from_secs(1),
    });
    world.apply(&house.consumers()).await;
    // The context alone, so that no view takes its share of the machine.
    let working = house.start(&[CONTEXT.to_owned()]);
    // What was only published above is worked off first.
    finish(&world, &ask(&world)).await;
    for at_once in [1, 64] {
        rows.push(measure("command, finished", at_once, &world, finish).await);
    }
    let of = |row: usize, field: &str| rows[row][field].as_f64().unwrap_or(f64::NAN);
    let alone = of(4, "p50_ms") / (of(0, "p50_ms") + of(2, "p50_ms"));
    let crowd = of(5, "per_second") / of(3, "per_second");
    println!("\none command alone takes {alone:.2} x (one publish + one transaction)");
    println!(
        "finished commands at 64 reach {:.0} % of the raw transaction rate at 64",
        crowd * 100.0
    );
    let folder = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let path = std::path::Path::new(&folder).join("bench-commands.json");
    let text = json!({ "rows": rows, "alone_ratio": alone, "crowd_ratio": crowd });
    std::fs::write(&path, format!("{text:#}\n")).expect("a place for the numbers");
    println!("also in {}", path.display());
    working.stop().await;
}

fn main() {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(10 << 20)
        .build()
        .expect("a runtime")
        .block_on(run());
}
