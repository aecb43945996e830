//! Processes: how a Maru is started, on which ports, and what is sent to it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::house::root;

/// The variables that would change what Maru does; a test says which it wants.
const SETTINGS: [&str; 14] = [
    "NATS_URL",
    "NATS_MONITOR_URL",
    "MARU_DB_URL",
    "MARU_DB_URL_BOOKS",
    "MARU_DB_URL_PAYMENTS",
    "MARU_ONLY",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "RUST_LOG",
    "MARU_DATA",
    "MARU_PRODUCTION",
    "MARU_AI_TIMEOUT_MS",
    "MARU_STORY_MAX_TOKENS",
    "MARU_STREAM_MAX_BYTES",
];

/// A port below those that the system gives to outgoing connections, so that it is free again at a restart.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id().wrapping_mul(97).wrapping_add(nth) % 20_000);
        let port = u16::try_from(port).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// `maru` with nothing inherited that would change it.
pub fn maru() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null());
    for name in SETTINGS {
        command.env_remove(name);
    }
    command.env("MARU_REQUESTS_PER_SECOND", "5000");
    command
}

/// `maru up` of this data folder.
pub fn maru_up(data: &Path, api: u16, metrics: u16) -> Command {
    let mut command = maru();
    command
        .arg("up")
        .arg("--data")
        .arg(data)
        .args(["--api", &format!("127.0.0.1:{api}")])
        .args(["--metrics", &format!("127.0.0.1:{metrics}")]);
    command
}

/// The same command, started by another program.
pub fn within_another(under: &[String], command: Command) -> Command {
    let Some((program, arguments)) = under.split_first() else {
        return command;
    };
    let mut outer = Command::new(program);
    outer
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args());
    outer.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// The processes that a process has started.
pub fn children_of(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // "pid (name) state ppid …"; the name may hold anything, a bracket too.
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let mut fields = after.split(' ');
        if fields.next() != Some("Z") && fields.next().and_then(|ppid| ppid.parse().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    found
}

pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
