//! `maru verify`: proves an installation by ill-treating one.
//!
//! ```text
//! people at the door ──▶ a scratch Maru      ◀── killed, frozen, cut off, again and again
//!        │                       │
//!   what they were told     what it has, once it is quiet
//!        └─────────▶ oracle ◀────┘   lost? twice? out of order? money missing? views wrong?
//! ```
//!
//! The people insist on every request, as good clients do, and write down what they were told. The
//! oracle reads streams and rows by itself and believes nobody.

mod campaign;
pub mod client;
pub mod dice;
pub mod journal;
pub mod judgement;
pub mod load;
pub mod money;
mod report;
pub mod scratch;
pub mod views;
mod wire;

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use maru_streams::nats::Nats;
use maru_streams::oracle::{self, Finding};
use maru_streams::store::Store;
use tokio_util::sync::CancellationToken;

use crate::operator::Site;
use crate::{Outcome, stop};
use campaign::{Campaign, Fault, Field};
use client::Client;
use dice::Dice;
use journal::{Journal, Written};
use judgement::Counted;
use load::{Crowd, Person};
use money::Sale;
use report::Report;
use scratch::{Scratch, ScratchError};
use wire::Wire;

/// How long it may take until nothing is left to do: what a crash left comes again after half a minute.
const QUIET: Duration = Duration::from_secs(240);
/// How often in a row nothing must be left, a second apart: the outbox is swept within that time.
const LOOKS: u32 = 6;
/// So many looks after that, who still insists is given up: nobody works on what they insist on.
const MORE_LOOKS: u32 = 10;

/// Prove that nothing is lost and nothing is done twice, by killing, freezing and cutting off a scratch
/// installation under load.
///
/// It starts a Maru of its own in a temporary folder, on ports of its own, and takes both away again. It
/// touches no other installation. The exit code is 1 if anything was found.
#[derive(Args)]
pub struct Verify {
    /// How to make its life hard.
    #[arg(long, value_enum, default_value_t = Campaign::All)]
    campaign: Campaign,
    /// How long, in all: 90s, 5m, 1h.
    #[arg(long = "for", default_value = "60s", value_parser = length, value_name = "TIME")]
    length: Duration,
    /// The same seed throws the same dice again: what is hit, and when.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// As many processes on one nats-server and one database server: two gateways, and so many copies of all
    /// workers. One process that has everything in it, if not said.
    #[arg(long, value_name = "COPIES", value_parser = clap::value_parser!(u8).range(1..))]
    split: Option<u8>,
    /// How many people are at the door; each has one request in flight.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    people: u16,
    /// The build to prove, if it is not this one.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the scratch installation lies; a new folder among the temporary ones, if not said.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Keep the folder, also if nothing was found.
    #[arg(long)]
    keep: bool,
    /// Answer as JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to report, or why the report is no good news.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error("{0} exists already; a scratch installation needs a folder of its own")]
    FolderTaken(String),
    #[error("the scratch installation in {0} still runs though it was stopped; nothing was judged")]
    StillRuns(String),
    #[error("interrupted; nothing was proven")]
    Interrupted,
    #[error("{0} findings; the report says which")]
    Found(usize),
}

/// `90s`, `5m`, `1h`.
fn length(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("say how long as 90s, 5m or 1h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "say how long as 90s, 5m or 1h".to_owned())?;
    if number == 0 {
        return Err("nothing is proven in no time".to_owned());
    }
    Ok(Duration::from_secs(number * seconds))
}

fn say(words: std::fmt::Arguments<'_>) {
    eprintln!("verify: {words}");
}

impl Verify {
    pub async fn run(self) -> Outcome {
        let stop = stop::requested()?;
        // Whoever is interrupted leaves nothing behind: dropping the installation ends it.
        let report = stop.run_until_cancelled(self.prove(stop.clone())).await;
        let report = report.ok_or(VerifyError::Interrupted)??;
        if self.json {
            println!("{:#}", report.json());
        } else {
            report.print();
        }
        match report.findings.len() {
            0 => Ok(()),
            count => Err(VerifyError::Found(count).into()),
        }
    }

    /// All campaigns, each for its share of the time.
    async fn fight(&self, mut field: Field<'_>) -> Result<Vec<Fault>, ScratchError> {
        let campaigns = self.campaign.parts();
        let length = self.length / u32::try_from(campaigns.len()).unwrap_or(1);
        for campaign in campaigns {
            say(format_args!("{} for {} s", campaign.name(), length.as_secs()));
            field.fight(campaign, length).await?;
        }
        Ok(field.faults)
    }

    async fn prove(&self, stop: CancellationToken) -> Result<Report, Box<dyn std::error::Error>> {
        let seed = self
            .seed
            .unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
        let mut dice = Dice::new(seed);
        let name = format!("maru-verify-{}-{seed:016x}", std::process::id());
        let folder = self.folder.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
        if folder.exists() {
            return Err(VerifyError::FolderTaken(folder.display().to_string()).into());
        }
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let http = reqwest::Client::builder().build()?;
        let mut scratch = match self.split {
            None => Scratch::one(program, &folder, http.clone(), &mut dice)?,
            Some(copies) => Scratch::split(program, &folder, copies.into(), http.clone(), &mut dice).await?,
        };
        let folder = scratch.folder.clone();
        say(format_args!(
            "a scratch installation in {}, seed {seed}",
            folder.display()
        ));
        scratch.ready().await?;
        let wire = Wire::before(scratch.doors.clone()).await?;
        let journal = Arc::new(Journal::new(&folder.join("accepted.jsonl"))?);
        let client = Client {
            http,
            base: format!("http://{}", wire.address()),
            journal: Arc::clone(&journal),
            given_up: CancellationToken::new(),
            name: "verify".to_owned(),
            password: format!("{:016x}", dice.roll()),
            token: String::new(),
        };
        let mut crowd = Crowd::send(self.people.into(), &client, &mut dice);
        let field = Field {
            scratch: &mut scratch,
            wire: &wire,
            journal: &journal,
            dice: dice.split(),
            stop,
            faults: Vec::new(),
        };
        let faults = self.fight(field).await?;
        scratch.ready().await?;
        crowd.ending.cancel();
        say(format_args!("waiting until nothing is left to do"));
        let (mut home, mut findings) = (Vec::new(), Vec::new());
        findings.extend(quiet(&mut scratch, &client, &mut crowd, &mut home).await?);
        // With the watchman.
        if home.len() <= usize::from(self.people) {
            let what = format!("{} of {} people came back", home.len(), self.people + 1);
            findings.push(Finding::new("person_lost", what));
        }
        let mut sales = Vec::new();
        for person in &mut home {
            let (theirs, found) = person.looks_back().await;
            sales.extend(theirs);
            findings.extend(found);
        }
        for (name, ended) in scratch.stop().await {
            let what = format!("the last stop of {name} ended with {ended:?}");
            findings.push(Finding::new("unclean_stop", what));
        }
        say(format_args!("judging"));
        let written = journal.close();
        let (counted, found) = judged(&scratch, &written, &sales).await?;
        findings.extend(found);
        findings.extend(written.findings.iter().cloned());
        let is_kept = self.keep || !findings.is_empty();
        if !is_kept {
            std::fs::remove_dir_all(&folder)?;
        }
        Ok(Report {
            seed,
            campaigns: self.campaign.parts(),
            length: self.length,
            people: self.people.into(),
            copies: self.split,
            faults,
            written,
            counted,
            failed_starts: scratch.failed_starts,
            findings,
            folder: is_kept.then_some(folder),
        })
    }
}

/// Lets the oracle look, now that Maru is stopped: at the servers that still run, or at the folder, which is
/// opened for it.
async fn judged(
    scratch: &Scratch,
    written: &Written,
    sales: &[Sale],
) -> Result<(Counted, Vec<Finding>), Box<dyn std::error::Error>> {
    if let Some(database) = &scratch.database {
        let nats = Nats::connect(&scratch.nats_url().unwrap_or_default(), "maru verify").await?;
        let store = Store::open(database.url.as_str(), Some(database.credentials.clone())).await?;
        let judged = judgement::judge(&nats, &store, written, sales).await;
        nats.close().await;
        return Ok(judged?);
    }
    let site = Site {
        data: scratch.data(),
        nats: None,
        json: false,
    };
    let reached = site.reach().await?;
    let Some(store) = &reached.store else {
        return Err(VerifyError::StillRuns(site.data.display().to_string()).into());
    };
    let judged = judgement::judge(&reached.nats, store, written, sales).await;
    reached.leave(&site).await?;
    Ok(judged?)
}

/// Waits until lanes, views and outbox have nothing left to do and everybody has their last word; a
/// finding if that never comes.
pub async fn quiet(
    scratch: &mut Scratch,
    client: &Client,
    crowd: &mut Crowd,
    home: &mut Vec<Person>,
) -> Result<Option<Finding>, Box<dyn std::error::Error>> {
    let nats = Nats::connect(&scratch.nats_url().unwrap_or_default(), "maru verify").await?;
    let (until, mut still, mut left) = (Instant::now() + QUIET, 0, None);
    let found = loop {
        scratch.tend()?;
        left = oracle::left(&nats).await.ok().or(left);
        let is_quiet = left.as_ref().is_some_and(|left| left.is_empty());
        still = if is_quiet { still + 1 } else { 0 };
        let is_home = crowd.is_home(home);
        if is_home && still >= LOOKS {
            break None;
        }
        if still >= LOOKS + MORE_LOOKS {
            client.given_up.cancel();
        }
        if Instant::now() > until {
            client.given_up.cancel();
            if is_home {
                let left = left.unwrap_or_default();
                break Some(Finding::new(
                    "never_quiet",
                    format!("something is left for ever: {left:?}"),
                ));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    nats.close().await;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_a_unit() {
        assert_eq!(length("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(length("5m"), Ok(Duration::from_secs(300)));
        assert!(length("5").is_err() && length("m").is_err() && length("5 days").is_err());
        assert!(length("0s").is_err());
    }

    #[test]
    fn the_same_seed_throws_the_same_dice() {
        let throws = |seed| {
            let mut dice = Dice::new(seed);
            let mut others = dice.split();
            (0..20)
                .map(|_| dice.below(6) * 10 + others.below(6))
                .collect::<Vec<_>>()
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
    }
}
