//! What Maru does in a second on this machine, beside what the machine itself can do, in one run: the disk, an
//! acknowledged publish, a transaction, a raw loop over a consumer. All of it with strict durability, every
//! message and every commit on disk before it counts. Machines differ; the ratios at the end are what to look at.
//!
//! `make bench` prints a table and writes the same as JSON into the target folder. `MARU_BENCH_COMMANDS` says
//! after how many commands to look at the memory (100,000 in release, 15,000 in dev). docs/bench.md says how to
//! read it. What is slow makes no failure: it only ends with an error if something broke.

#![expect(clippy::expect_used, reason = "a measurement that cannot be made has failed")]

mod goals;
mod house;
mod http;
mod jobs;
mod mixed;
mod raw;
mod sheet;
mod turns;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use maru_schemas::ids;
use maru_streams::testing::World;
use uuid::Uuid;

use crate::sheet::Sheet;

/// The one that Maru has: the lanes that are measured here run in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the numbers are written, and where everything lies meanwhile: on the disk that is built on, which is
/// less often kept in memory than the usual temporary folder.
fn target() -> PathBuf {
    let maru = Path::new(env!("CARGO_BIN_EXE_maru"));
    maru.ancestors().nth(2).expect("a target folder").to_owned()
}

/// An id that nothing else has.
fn new_id() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    ids::named("bench", &NEXT.fetch_add(1, Ordering::Relaxed).to_string())
}

async fn run() {
    let target = target();
    let scratch = target.join("bench");
    std::fs::create_dir_all(&scratch).expect("a folder");
    tempfile::env::override_temp_dir(&scratch).expect("nobody chose another one");
    let mut sheet = Sheet::begin();
    let world = World::on_disk(&[]).await;
    raw::disk(&mut sheet, world.folder());
    let enqueue = raw::publishes(&mut sheet, &world).await;
    raw::transactions(&mut sheet, &world).await;
    let jobs = jobs::loops(&mut sheet, &world).await;
    let commands = http::commands(&mut sheet, world, &target).await;
    let goals = goals::all(&enqueue, &jobs, &commands);
    sheet.end(goals, &target.join("bench-commands.json"));
}

fn main() {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(10 << 20)
        .build()
        .expect("a runtime")
        .block_on(run());
}
