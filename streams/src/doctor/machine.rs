//! The machine that answers: its disk, its limits, and who can read the keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Finding, Grade, Place, above};
use crate::lanes::fill;
use crate::nats::Nats;

const MIB: u64 = 1 << 20;
/// Less than this on the disk and it will be full within the hour.
const LITTLE_DISK: u64 = 512 * MIB;
/// Open files: every connection, stream and table takes some.
const FILES: (u64, u64) = (4096, 512);
/// How much of the memory may be taken.
const MEMORY: (f64, f64) = (0.85, 0.95);

pub(super) async fn examine(nats: &Nats, place: &Place) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &place.data {
        Some(data) => {
            findings.push(disk(nats, data).await);
            findings.push(keys(&data.join("keys")));
        }
        None => findings.push(Finding::graded(
            "disk",
            Grade::Warn,
            "cannot be seen from here",
            "look at the disks of nats-server and of the database where they run",
        )),
    }
    findings.push(files());
    findings.extend(memory());
    findings
}

/// How often the disk is looked at for the metrics.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Exports how much room the file system with this folder has, until told to stop.
pub async fn watch_disk(data: PathBuf, stop: CancellationToken) {
    loop {
        match rustix::fs::statvfs(&data) {
            Ok(disk) => {
                metrics::gauge!("maru_disk_free_bytes").set((disk.f_bavail * disk.f_frsize) as f64);
                metrics::gauge!("maru_disk_size_bytes").set((disk.f_blocks * disk.f_frsize) as f64);
            }
            Err(error) => tracing::debug!(%error, "the disk cannot be looked at"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Whether the streams can become as large as they were promised.
async fn disk(nats: &Nats, data: &Path) -> Finding {
    const WHAT: &str = "disk";
    let free = match rustix::fs::statvfs(data) {
        Ok(disk) => disk.f_bavail * disk.f_frsize,
        Err(error) => {
            return Finding::graded(
                WHAT,
                Grade::Bad,
                error.to_string(),
                "see that the data folder can be read",
            );
        }
    };
    let streams = fill(nats).await.unwrap_or_default();
    let may_take: u64 = streams
        .iter()
        .filter_map(|one| one.max_bytes.map(|most| most.saturating_sub(one.bytes)))
        .sum();
    let grade = match free {
        _ if free < LITTLE_DISK => Grade::Bad,
        _ if free < may_take => Grade::Warn,
        _ => Grade::Ok,
    };
    Finding::graded(
        WHAT,
        grade,
        format!(
            "{} MiB free, the streams may still take {} MiB",
            free / MIB,
            may_take / MIB
        ),
        "make room, or lower MARU_STREAM_MAX_BYTES: a full disk stops everything, a full stream only refuses",
    )
}

/// Whoever reads the keys can sign tokens and open password hashes.
fn keys(folder: &Path) -> Finding {
    const WHAT: &str = "keys";
    let open_to_others = |path: &Path| fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0);
    let Ok(entries) = fs::read_dir(folder) else {
        return Finding::ok(WHAT, "none here yet");
    };
    let files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    let open: Vec<String> = files
        .iter()
        .filter(|path| open_to_others(path))
        .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    match open.is_empty() {
        true => Finding::ok(WHAT, format!("{} files, for their owner alone", files.len())),
        false => Finding::graded(
            WHAT,
            Grade::Bad,
            format!("others can read {}", open.join(", ")),
            "chmod go= the keys folder and what is in it; if others use the machine, take new keys",
        ),
    }
}

fn files() -> Finding {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let grade = match most {
        Some(most) if most < FILES.1 => Grade::Bad,
        Some(most) if most < FILES.0 => Grade::Warn,
        _ => Grade::Ok,
    };
    let found = most.map_or_else(|| "without limit".to_owned(), |most| format!("{most} at most"));
    Finding::graded(
        "open files",
        grade,
        found,
        "raise the limit (`ulimit -n`, LimitNOFILE=) to 65536",
    )
}

/// Of the control group if it has a limit, else of the machine.
fn memory() -> Option<Finding> {
    let group = || {
        let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
        let most: u64 = read("memory.max")?.trim().parse().ok()?;
        let used: u64 = read("memory.current")?.trim().parse().ok()?;
        // The page cache counts as used here and is given back when needed.
        let cache: u64 = read("memory.stat")?
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok())?;
        Some((used.saturating_sub(cache), most))
    };
    let machine = || {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let kib = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        let most = kib("MemTotal")? * 1024;
        Some((most.saturating_sub(kib("MemAvailable")? * 1024), most))
    };
    let (used, most) = group().or_else(machine)?;
    Some(Finding::graded(
        "memory",
        above(used as f64 / most as f64, MEMORY.0, MEMORY.1),
        format!("{} of {} MiB taken", used / MIB, most / MIB),
        "give it more: what runs out of memory is killed, and comes back after every crash",
    ))
}
