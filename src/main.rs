//! # maru
//!
//! One binary: everything in one process (`up`), or any part of it (`gateway`, `workers`). Each
//! subcommand is one file; what they share is in [`settings`], [`parts`] and [`telemetry`].

mod apart;
mod asked;
mod backup;
mod budgets;
mod clock;
mod database;
mod dead_letters;
mod deploy_check;
mod doctor;
mod documents;
mod drill;
mod gateway;
mod heal;
mod lanes;
mod operator;
mod parts;
mod restore;
mod settings;
mod status;
mod stop;
mod streams;
mod table;
mod telemetry;
mod trace;
mod up;
mod verify;
mod views;
mod workers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The database allocates and frees all the time, from every thread; the C library's allocator took a seventh of
/// all processor time there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A streaming platform with durable job workers, and a picture-book library on it.
///
/// `maru up` runs everything in one process and keeps its data under ./.maru. The same binary runs as
/// many processes against servers of your own: `maru gateway`, `maru workers --only write_story`.
#[derive(Parser)]
#[command(name = "maru", version, propagate_version = true)]
struct Maru {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything here: the API, all workers, the database, and a nats-server of its own.
    Up(up::Up),
    /// Run the API alone, against a nats-server and a database of yours.
    Gateway(gateway::Gateway),
    /// Run workers alone, all or some of them, against a nats-server and a database of yours.
    Workers(workers::Workers),
    /// Run the database server alone, for a gateway and workers in other processes.
    Database(database::Database),
    /// Show or make the streams and consumers on a nats-server.
    Streams(streams::Streams),
    /// Show every lane, view and stream, and what waits there.
    Status(status::Status),
    /// Pause, resume or drain lanes.
    Lanes(lanes::Lanes),
    /// Show what lanes gave up on, have it done again, or discard it.
    DeadLetters(dead_letters::DeadLetters),
    /// Show or set what members may have done for them.
    Budgets(budgets::Budgets),
    /// Check versions, durability, clocks, disk and limits, each with what to do; fails if one is bad.
    Doctor(doctor::Doctor),
    /// Show what became of a command and of all that followed from it.
    Trace(trace::Trace),
    /// Check that this build can read what is queued, kept, scheduled and dead; fails if it cannot.
    DeployCheck(deploy_check::DeployCheck),
    /// Show how views stand; build, swap in or drop their next versions.
    Views(views::Views),
    /// Bring back from the streams what the database has lost.
    Heal(heal::Heal),
    /// Copy streams and database into a folder, while Maru runs or not.
    Backup(backup::Backup),
    /// Put a backup into an empty installation.
    Restore(restore::Restore),
    /// Practise a backup and a restore on scratch installations.
    Drill(drill::Drill),
    /// Show what comes round by itself, or do it now.
    Clock(clock::Clock),
    /// Prove that nothing is lost and nothing is done twice, on a scratch installation that is ill-treated.
    Verify(verify::Verify),
    /// Write the published documents (OpenAPI, AsyncAPI, JSON Schemas, the list of problems).
    Documents(documents::Documents),
}

/// As a shell says of a program that SIGPIPE ended.
const CLOSED_PIPE: i32 = 128 + 13;

/// Why a subcommand could not do what it was asked: one sentence for the person who asked.
type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    if let Some(ended) = database::served() {
        return ended;
    }
    end_quietly_at_a_closed_pipe();
    let maru: Maru = asked::read();
    // Two TLS back ends are linked; without a choice the first use would panic. A second choice is none.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // The database parses and plans recursively.
        .thread_stack_size(10 << 20)
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let outcome = run(maru.command).await;
            telemetry::end().await;
            outcome
        }),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("maru: {}", sentence(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Whoever reads our words may have had enough of them (`maru status | head`). Rust would panic, because it has the
/// signal ignored that ends other programs then; this ends as they do.
fn end_quietly_at_a_closed_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_pipe = panic
            .payload_as_str()
            .is_some_and(|why| why.starts_with("failed printing to std") && why.contains("Broken pipe"));
        if is_pipe {
            std::process::exit(CLOSED_PIPE);
        }
        usual(panic);
    }));
}

async fn run(command: Command) -> Outcome {
    match command {
        Command::Up(up) => up.run().await,
        Command::Gateway(gateway) => gateway.run().await,
        Command::Workers(workers) => workers.run().await,
        Command::Database(database) => database.run(),
        Command::Streams(streams) => streams.run().await,
        Command::Budgets(budgets) => budgets.run().await,
        Command::Status(status) => status.run().await,
        Command::DeadLetters(letters) => letters.run().await,
        Command::Lanes(lanes) => lanes.run().await,
        Command::Doctor(doctor) => doctor.run().await,
        Command::Trace(trace) => trace.run().await,
        Command::DeployCheck(check) => check.run().await,
        Command::Views(views) => views.run().await,
        Command::Heal(heal) => heal.run().await,
        Command::Backup(backup) => backup.run().await,
        Command::Restore(restore) => restore.run().await,
        Command::Drill(drill) => drill.run().await,
        Command::Clock(clock) => clock.run().await,
        Command::Verify(verify) => verify.run().await,
        Command::Documents(documents) => documents.run(),
    }
}

/// The error with its causes, on one line.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
