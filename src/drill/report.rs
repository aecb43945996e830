//! What a drill has to say, for people and for programs.

use std::collections::BTreeSet;
use std::time::Duration;

use maru_streams::oracle::Finding;
use serde_json::{Value, json};

use crate::table::{length, table};
use crate::verify::judgement::Counted;

#[derive(Default)]
pub struct Report {
    is_split: bool,
    people: usize,
    /// Commands that had been accepted when the backup was begun: all of them have to be there.
    pub accepted_before: usize,
    /// Commands that were accepted by the first installation in all.
    pub accepted: usize,
    /// Commands that were accepted after the restore.
    pub accepted_after: usize,
    backup: Duration,
    bytes: u64,
    messages: u64,
    restore: Duration,
    healed: Value,
    /// From the end of the restore until it was ready.
    pub start: Duration,
    /// Payments that the bank moved after the database was read: their buyers' money is to be looked at.
    pub moved: BTreeSet<String>,
    pub counted: Counted,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn of(is_split: bool, people: usize) -> Self {
        Self {
            is_split,
            people,
            ..Self::default()
        }
    }

    pub fn tells_of_backup(&mut self, taken: &Value, took: Duration) {
        let manifest = &taken["manifest"];
        let streams = manifest["streams"].as_array().map(Vec::as_slice).unwrap_or_default();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let files = streams.iter().map(|part| &part["file"]).chain([&manifest["database"]]);
        self.bytes = files.map(|file| number(&file["bytes"])).sum();
        self.messages = streams.iter().map(|part| number(&part["messages"])).sum();
        self.backup = took;
    }

    pub fn tells_of_restore(&mut self, told: &Value, took: Duration) {
        self.restore = took;
        self.healed = told["healed"].clone();
    }

    pub fn json(&self) -> Value {
        json!({
            "form": if self.is_split { "split" } else { "one process" },
            "people": self.people,
            "acceptedBefore": self.accepted_before,
            "accepted": self.accepted,
            "acceptedAfter": self.accepted_after,
            "backup": { "milliseconds": self.backup.as_millis() as u64, "bytes": self.bytes, "messages": self.messages },
            "restore": { "milliseconds": self.restore.as_millis() as u64, "healed": self.healed },
            "startMilliseconds": self.start.as_millis() as u64,
            "movedAtTheBank": self.moved,
            "found": {
                "commands": self.counted.commands, "events": self.counted.events, "purchases": self.counted.sales,
                "charged": self.counted.sums.charged, "givenBack": self.counted.sums.given_back,
                "sold": self.counted.sums.sold,
            },
            "findings": self.findings,
        })
    }

    pub fn print(&self) {
        let seconds = |time: Duration| length(time.as_secs_f64());
        let healed = |name: &str| self.healed[name].as_u64().unwrap_or_default();
        let rows = [
            ("form", if self.is_split { "split" } else { "one process" }.to_owned()),
            ("accepted before the backup", self.accepted_before.to_string()),
            ("accepted in all", self.accepted.to_string()),
            ("backup took", seconds(self.backup)),
            (
                "backup holds",
                format!("{} messages, {} kB", self.messages, self.bytes / 1000),
            ),
            ("restore took", seconds(self.restore)),
            ("healed from the streams", format!("{} events", healed("healedEvents"))),
            ("ready after", seconds(self.start)),
            ("payments to compare with the bank", self.moved.len().to_string()),
            ("accepted afterwards", self.accepted_after.to_string()),
            ("commands judged", self.counted.commands.to_string()),
            ("events judged", self.counted.events.to_string()),
            ("purchases judged", self.counted.sales.to_string()),
            ("findings", self.findings.len().to_string()),
        ];
        let rows: Vec<Vec<String>> = rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec();
        print!("{}", table(&["drill", ""], &rows));
        for finding in &self.findings {
            println!("{}: {}", finding.code, finding.detail);
        }
    }
}
