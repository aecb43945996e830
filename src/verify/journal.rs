//! What people were told, when, written down in memory and on disk: the one thing that the installation
//! cannot have changed afterwards.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use maru_streams::oracle::{Finding, Promise};
use serde_json::{Value, json};

/// One line for every answer that said something of a command.
pub struct Journal {
    begun: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    file: Option<File>,
    promises: BTreeMap<String, Promise>,
    /// When a request was sent and when it was accepted, in the order of answers.
    accepted: Vec<(Duration, Duration)>,
    /// When a request was sent and when its last word came, in the order of answers.
    finished: Vec<(Duration, Duration)>,
    sent: u64,
    again: u64,
    reads: u64,
    findings: Vec<Finding>,
    durability: BTreeMap<String, u64>,
}

/// What came of the load.
pub struct Written {
    pub promises: Vec<Promise>,
    pub findings: Vec<Finding>,
    /// Requests, and how many of them were sent again because no last word came.
    pub sent: u64,
    pub again: u64,
    /// Reads of one's own writes.
    pub reads: u64,
    pub finished: u64,
    /// What "accepted" was said to be worth, by how many answers.
    pub durability: BTreeMap<String, u64>,
    accepted_at: Vec<(Duration, Duration)>,
    finished_at: Vec<(Duration, Duration)>,
}

impl Journal {
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            begun: Instant::now(),
            inner: Mutex::new(Inner {
                file: Some(File::create(path)?),
                ..Inner::default()
            }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the journal was begun.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn sends(&self, is_again: bool) {
        let mut inner = self.inner();
        inner.sent += 1;
        inner.again += u64::from(is_again);
    }

    pub fn reads(&self) {
        self.inner().reads += 1;
    }

    pub fn finds(&self, code: &'static str, detail: String) {
        self.inner().findings.push(Finding::new(code, detail));
    }

    /// Writes down an answer of two hundred. `events`: how many events the command makes; `sent`: when it was
    /// asked for.
    pub fn hears(&self, what: &str, sent: Duration, answer: &Value, events: u64, is_last: bool) {
        let Some(id) = answer["commandId"].as_str() else { return };
        let Ok(command) = id.parse() else { return };
        let now = self.now();
        let mut inner = self.inner();
        let promise = inner.promises.entry(id.to_owned()).or_insert(Promise {
            command,
            version: None,
            events: Some(events),
        });
        promise.version = answer["version"].as_u64().or(promise.version);
        inner.accepted.push((sent, now));
        if is_last {
            inner.finished.push((sent, now));
        }
        if let Some(durability) = answer["durability"].as_str() {
            *inner.durability.entry(durability.to_owned()).or_default() += 1;
        }
        let line = json!({
            "atMs": now.as_millis() as u64, "command": id, "what": what, "last": is_last,
            "version": answer["version"], "seq": answer["seq"], "durability": answer["durability"],
        });
        let written = inner.file.as_mut().map(|file| writeln!(file, "{line}"));
        if let Some(Err(error)) = written {
            // What is in memory is judged all the same.
            tracing::warn!(%error, "the journal cannot be written any more");
            inner.file = None;
        }
    }

    /// Everything, taken out.
    pub fn close(&self) -> Written {
        let inner = std::mem::take(&mut *self.inner());
        Written {
            promises: inner.promises.into_values().collect(),
            findings: inner.findings,
            sent: inner.sent,
            again: inner.again,
            reads: inner.reads,
            finished: inner.finished.len() as u64,
            durability: inner.durability,
            accepted_at: inner.accepted,
            finished_at: inner.finished,
        }
    }
}

impl Written {
    /// How long after a moment the first command that was sent since was accepted, and the first finished.
    pub fn after(&self, moment: Duration) -> (Option<Duration>, Option<Duration>) {
        let first = |answers: &[(Duration, Duration)]| {
            let found = answers.iter().find(|(sent, _)| *sent >= moment);
            found.map(|(_, answered)| *answered - moment)
        };
        (first(&self.accepted_at), first(&self.finished_at))
    }
}
