//! `maru drill`: practises a backup and a restore, so that both are known to work before they are needed.
//!
//! ```text
//! people at the door ──▶ a scratch Maru ──maru backup──▶ a folder       while they go on
//!        │                                                  │
//!   what they were told                                maru restore
//!   before it was begun                                     ▼
//!        └────────────▶ oracle ◀──── another scratch Maru, where the story goes on
//! ```
//!
//! People, scratch installations and judgement are those of `maru verify`; the two commands are run as an
//! operator would run them.

mod bank;
mod report;
mod site;
mod witness;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use maru_schemas::CONTEXTS;
use maru_streams::nats::Nats;
use maru_streams::oracle::{self, Facts, Finding, Promise};
use maru_streams::store::Store;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::verify::client::Client;
use crate::verify::dice::Dice;
use crate::verify::journal::Journal;
use crate::verify::judgement::Counted;
use crate::verify::load::{Crowd, Person};
use crate::verify::money::Sale;
use crate::verify::{money, quiet, views};
use crate::{Outcome, stop};
use bank::Log;
use report::Report;
use site::Site;
use witness::Witness;

/// How long people may take to come to an end.
const HOME: Duration = Duration::from_secs(60);
/// How long the story goes on after the restore.
const AFTERWARDS: Duration = Duration::from_secs(3);

type Failed = Box<dyn std::error::Error>;

/// Practise a backup and a restore on scratch installations, and compare.
///
/// It starts a Maru of its own, backs it up under load, restores the backup into another one, and counts what
/// is there. It touches no other installation. The exit code is 1 if anything is missing or wrong.
#[derive(Args)]
pub struct Drill {
    /// A process for each part, on a nats-server and a database server; one process that has everything in it, if
    /// not said.
    #[arg(long)]
    split: bool,
    /// How many people are at the door.
    #[arg(long, default_value_t = 6, value_name = "N")]
    people: usize,
    /// For how many seconds they are before the backup, and as long after it was begun.
    #[arg(long, default_value_t = 4, value_name = "S")]
    seconds: u64,
    /// Keep the folder, also if nothing was found.
    #[arg(long)]
    keep: bool,
    /// Answer as JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Why a drill is no good news.
#[derive(Debug, thiserror::Error)]
enum DrillError {
    #[error("interrupted; nothing was practised to its end")]
    Interrupted,
    #[error("{0} findings; the report says which")]
    Found(usize),
    #[error("people did not come to an end in the first installation; nothing was restored")]
    NotHome,
}

fn say(words: std::fmt::Arguments<'_>) {
    eprintln!("drill: {words}");
}

impl Drill {
    pub async fn run(self) -> Outcome {
        let stop = stop::requested()?;
        let seed = RandomState::new().hash_one(std::process::id());
        let folder = std::env::temp_dir().join(format!("maru-drill-{}-{seed:016x}", std::process::id()));
        let report = stop.run_until_cancelled(self.practise(&folder, Dice::new(seed))).await;
        let report = report.ok_or(DrillError::Interrupted)??;
        if !self.keep && report.findings.is_empty() {
            std::fs::remove_dir_all(&folder)?;
        } else {
            say(format_args!("everything lies in {}", folder.display()));
        }
        if self.json {
            println!("{:#}", report.json());
        } else {
            report.print();
        }
        match report.findings.len() {
            0 => Ok(()),
            count => Err(DrillError::Found(count).into()),
        }
    }

    async fn practise(&self, folder: &Path, mut dice: Dice) -> Result<Report, Failed> {
        let mut report = Report::of(self.split, self.people);
        let backups = folder.join("backups");
        let mut first = Site::new(&folder.join("first"), self.split, &mut dice).await?;
        say(format_args!("people are sent to {}", first.scratch.folder.display()));
        first.scratch.ready().await?;
        let client = client(&first, &dice)?;
        let witness = Witness::before(&client).await?;
        let mut crowd = Crowd::send(self.people, &client, &mut dice);
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;

        let promised = promises(&first.scratch.folder.join("accepted.jsonl"))?;
        say(format_args!("backup, while they go on"));
        let begun = Instant::now();
        let to = backups.display().to_string();
        let backing_up = ["backup", "--json", "--to", &to];
        let going_on = tokio::time::sleep(Duration::from_secs(self.seconds));
        let taking = async { (first.maru(&backing_up).await, begun.elapsed()) };
        let ((taken, took), ()) = tokio::join!(taking, going_on);
        let taken = taken?;
        report.tells_of_backup(&taken, took);
        let mut people = home(&mut crowd).await?;
        report.accepted_before = promised.len();
        report.accepted = client.journal.close().promises.len();
        first.scratch.stop().await;
        let keys = first.scratch.data().join("keys");
        let log = first.opened(async |_, store| Log::read(store).await).await?;

        say(format_args!("restore"));
        let mut second = Site::new(&folder.join("second"), self.split, &mut dice).await?;
        // The servers of the first are not needed any more, and its folder is there to look at.
        drop(first);
        second.takes_keys(&keys)?;
        second.starts_servers().await?;
        let begun = Instant::now();
        let from = taken["folder"].as_str().unwrap_or_default();
        let told = second.maru(&["restore", "--json", "--from", from]).await?;
        report.tells_of_restore(&told, begun.elapsed());
        report.moved = second.opened(async |_, store| log.carry_over(store).await).await?;
        let begun = Instant::now();
        second.scratch.ready().await?;
        report.start = begun.elapsed();

        say(format_args!("the story goes on"));
        self.goes_on(&mut second, &witness, &mut people, promised, &mut dice, &mut report)
            .await?;
        Ok(report)
    }

    /// In the restored one: what was repeated is known, what is new works, and everything adds up.
    async fn goes_on(
        &self,
        second: &mut Site,
        witness: &Witness,
        people: &mut [Person],
        promised: Vec<Promise>,
        dice: &mut Dice,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let client = client(second, dice)?;
        report.findings.extend(witness.again(&client).await?);
        let newcomers = Client {
            name: "later".to_owned(),
            ..client.clone()
        };
        let mut crowd = Crowd::send(self.people, &newcomers, dice);
        tokio::time::sleep(AFTERWARDS).await;
        crowd.ending.cancel();
        let mut new = Vec::new();
        let never = quiet(&mut second.scratch, &newcomers, &mut crowd, &mut new).await?;
        report.findings.extend(never);
        let mut sales = Vec::new();
        for person in &mut new {
            let (theirs, found) = person.looks_back().await;
            sales.extend(theirs);
            report.findings.extend(found);
        }
        for person in people {
            person.client = Client {
                name: person.client.name.clone(),
                password: person.client.password.clone(),
                ..client.clone()
            };
            // What they miss may have been accepted after the backup; the oracle knows what was before it.
            sales.extend(person.looks_back().await.0);
        }
        for (name, ended) in second.scratch.stop().await {
            let what = format!("the last stop of {name} ended with {ended:?}");
            report.findings.push(Finding::new("unclean_stop", what));
        }
        let mut written = client.journal.close();
        report.findings.append(&mut written.findings);
        report.accepted_after = written.promises.len();
        written.promises.extend(promised);
        sales.retain(|sale| {
            sale.payment
                .as_ref()
                .is_none_or(|payment| !report.moved.contains(payment))
        });
        let judging =
            async |nats: &Nats, store: &Store| judge(nats, store, &written.promises, &sales, &report.moved).await;
        let (counted, found) = second.opened(judging).await?;
        report.findings.extend(found);
        report.counted = counted;
        Ok(())
    }
}

/// Holds what is there against what people were told, and against what the bank did with these payments.
async fn judge(
    nats: &Nats,
    store: &Store,
    promises: &[Promise],
    sales: &[Sale],
    moved: &BTreeSet<String>,
) -> Result<(Counted, Vec<Finding>), Failed> {
    let facts = Facts::read(nats, store, &CONTEXTS).await?;
    let mut findings = oracle::judge(&facts, promises);
    let (sums, about_money) = money::judge(sales, &Log::read(store).await?.accounts(moved)?);
    findings.extend(about_money);
    findings.extend(views::judge(nats, store).await?);
    let counted = Counted {
        commands: facts.commands.len(),
        events: facts.events.len(),
        sums,
        sales: sales.len(),
    };
    Ok((counted, findings))
}

/// Somebody at the door of an installation, who writes down what they are told.
fn client(site: &Site, dice: &Dice) -> Result<Client, Failed> {
    let journal = Journal::new(&site.scratch.folder.join("accepted.jsonl"))?;
    Ok(Client {
        http: reqwest::Client::builder().build()?,
        base: site.door(),
        journal: Arc::new(journal),
        given_up: CancellationToken::new(),
        name: "drill".to_owned(),
        password: format!("{:016x}", dice.clone().roll()),
        token: String::new(),
    })
}

/// Waits until everybody has a last word.
async fn home(crowd: &mut Crowd) -> Result<Vec<Person>, DrillError> {
    crowd.ending.cancel();
    let (until, mut home) = (Instant::now() + HOME, Vec::new());
    while !crowd.is_home(&mut home) {
        if Instant::now() > until {
            return Err(DrillError::NotHome);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(home)
}

/// What people had been told by now, as they wrote it down.
fn promises(journal: &Path) -> Result<Vec<Promise>, Failed> {
    let text = std::fs::read_to_string(journal)?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let promise = |line: Value| {
        Some(Promise {
            command: line["command"].as_str()?.parse().ok()?,
            version: line["version"].as_u64(),
            events: None,
        })
    };
    Ok(lines.filter_map(promise).collect())
}
