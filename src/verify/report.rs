//! What `maru verify` has to say, for people and for programs.

use std::path::PathBuf;
use std::time::Duration;

use maru_streams::oracle::Finding;
use serde_json::{Value, json};

use super::campaign::{Campaign, Fault};
use super::journal::Written;
use super::judgement::Counted;

/// How many findings of a code are written out for people.
const WRITTEN_OUT: usize = 10;

pub struct Report {
    pub seed: u64,
    pub campaigns: Vec<Campaign>,
    pub length: Duration,
    pub people: usize,
    /// So many copies of all workers, as processes of their own; none if all was one process.
    pub copies: Option<u8>,
    pub faults: Vec<Fault>,
    pub written: Written,
    pub counted: Counted,
    pub failed_starts: u64,
    pub findings: Vec<Finding>,
    /// Where everything still lies, if it was kept.
    pub folder: Option<PathBuf>,
}

/// The middle and the longest of some times, in milliseconds.
fn spread(mut times: Vec<u64>) -> Value {
    times.sort_unstable();
    json!({ "p50": times.get(times.len() / 2), "max": times.last() })
}

impl Report {
    pub fn json(&self) -> Value {
        let faults: Vec<Value> = self.faults.iter().map(|fault| fault.tell(&self.written)).collect();
        let times = |field: &str| spread(faults.iter().filter_map(|fault| fault[field].as_u64()).collect());
        let sums = self.counted.sums;
        json!({
            "seed": self.seed,
            "campaigns": self.campaigns.iter().map(|campaign| campaign.name()).collect::<Vec<_>>(),
            "lengthMs": self.length.as_millis() as u64,
            "people": self.people,
            "copies": self.copies,
            "requests": {
                "sent": self.written.sent, "sentAgain": self.written.again,
                "commandsAccepted": self.written.promises.len(), "lastWords": self.written.finished,
                "ownWritesRead": self.written.reads, "durability": self.written.durability,
            },
            "found": {
                "commands": self.counted.commands, "events": self.counted.events, "purchases": self.counted.sales,
                "charged": sums.charged, "givenBack": sums.given_back, "sold": sums.sold,
            },
            "recoveryMs": { "accepted": times("acceptedAfterMs"), "finished": times("finishedAfterMs") },
            "failedStarts": self.failed_starts,
            "faults": faults,
            "findings": self.findings,
            "folder": self.folder,
        })
    }

    pub fn print(&self) {
        let told = self.json();
        let number = |pointer: &str| told.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let names: Vec<&str> = self.campaigns.iter().map(|campaign| campaign.name()).collect();
        let form = match self.copies {
            None => "one process".to_owned(),
            Some(copies) => format!("split, {copies} copies of all workers"),
        };
        println!(
            "campaign   {} for {} s, {form}, {} people, seed {}",
            names.join(", "),
            self.length.as_secs(),
            self.people,
            self.seed
        );
        println!(
            "faults     {}; {} starts had to be tried again",
            self.faults.len(),
            self.failed_starts
        );
        for fault in told["faults"].as_array().into_iter().flatten() {
            let ms = |field: &str| {
                fault[field]
                    .as_u64()
                    .map_or("never".to_owned(), |ms| format!("{ms} ms"))
            };
            println!(
                "  at {:>7} ms  {:<26} accepting again after {}, finishing after {}",
                number_of(&fault["atMs"]),
                fault["what"].as_str().unwrap_or_default(),
                ms("acceptedAfterMs"),
                ms("finishedAfterMs"),
            );
        }
        println!(
            "recovery   accepting p50 {} ms, max {} ms; finishing p50 {} ms, max {} ms",
            number("/recoveryMs/accepted/p50"),
            number("/recoveryMs/accepted/max"),
            number("/recoveryMs/finished/p50"),
            number("/recoveryMs/finished/max"),
        );
        println!(
            "requests   {} sent, {} of them again; {} commands accepted, {} own writes read back",
            self.written.sent,
            self.written.again,
            self.written.promises.len(),
            self.written.reads,
        );
        println!(
            "found      {} commands, {} events, {} purchases; {} won charged = {} given back + {} sold",
            self.counted.commands,
            self.counted.events,
            self.counted.sales,
            number("/found/charged"),
            number("/found/givenBack"),
            number("/found/sold"),
        );
        let mut codes: Vec<&str> = self.findings.iter().map(|finding| finding.code).collect();
        codes.sort_unstable();
        codes.dedup();
        for code in &codes {
            let of_code: Vec<_> = self.findings.iter().filter(|finding| finding.code == *code).collect();
            println!("{code}   {} times", of_code.len());
            for finding in of_code.iter().take(WRITTEN_OUT) {
                println!("  {}", finding.detail);
            }
        }
        match self.findings.len() {
            0 => println!("findings   none: what was accepted is done, once and in order, and the money adds up"),
            count => println!("findings   {count}"),
        }
        if let Some(folder) = &self.folder {
            println!("kept       {}", folder.display());
        }
    }
}

fn number_of(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
