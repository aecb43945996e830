//! Whether the installation is as it should be: what can be found out, each with what to do about it.
//!
//! [`servers`] asks the streaming server and the database, [`start`] tells how the last start went, [`machine`] looks at the disk, the limits and the
//! keys of the machine that answers.

mod machine;
mod servers;
mod start;

pub use machine::watch_disk;

use std::path::PathBuf;

use serde::Serialize;

use crate::intention::Clock;
use crate::nats::Nats;
use crate::store::{Addresses, Store};
use crate::topology::Consumer;

/// Where an installation lies, as far as the process knows that answers.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The data folder, if everything is on this machine.
    pub data: Option<PathBuf>,
    /// nats-server's monitoring address.
    pub monitor: Option<String>,
    /// Where its databases are.
    pub databases: Addresses,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it; or it cannot be seen from here.
    Warn,
    /// Something is lost, stands still, or will soon.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            what,
            grade: Grade::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn graded(what: &'static str, grade: Grade, found: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            what,
            grade,
            found: found.into(),
            remedy: (grade > Grade::Ok).then_some(remedy),
        }
    }
}

/// The worse of two bounds that a value has passed.
fn above<T: PartialOrd>(value: T, warn: T, bad: T) -> Grade {
    match value {
        value if value > bad => Grade::Bad,
        value if value > warn => Grade::Warn,
        _ => Grade::Ok,
    }
}

/// Looks at everything.
pub async fn examine(nats: &Nats, store: &Store, clock: &Clock, consumers: &[Consumer], place: &Place) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("maru", env!("CARGO_PKG_VERSION"))];
    findings.extend(servers::examine(nats, store, clock, consumers, place).await);
    findings.extend(start::examine(store).await);
    findings.extend(machine::examine(nats, place).await);
    findings
}
