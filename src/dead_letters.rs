//! `maru dead-letters`: what lanes gave up on, and what to do about it.

mod replays;

use std::num::NonZeroU32;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use maru_schemas::letters::{self, Done, Page};
use maru_schemas::replays::{Replays, Shown};
use serde_json::{Value, from_value, json};
use uuid::Uuid;

use crate::Outcome;
use crate::operator::{self, Site};

/// Show what lanes gave up on, have it done again, or discard it.
#[derive(Args)]
pub struct DeadLetters {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    site: Site,
}

#[derive(Subcommand)]
enum What {
    /// List letters, in the order in which they died.
    List(List),
    /// Show one letter with everything that happened to it; what people typed is hidden.
    Show {
        /// The letter's number.
        letter: u64,
    },
    /// Hand letters to their lanes again. What waits behind one of them follows by itself, in order.
    Replay {
        #[command(flatten)]
        chosen: Chosen,
        /// Only show what would be replayed, in which order, and whether this build can read it.
        #[arg(long)]
        dry_run: bool,
        /// At most so many a second.
        #[arg(long, value_name = "N")]
        rate: Option<NonZeroU32>,
        /// Wait until it is known what comes of each; fail if one is dead again.
        #[arg(long, conflicts_with = "dry_run")]
        wait: bool,
    },
    /// List the replays of the last weeks and how far each is; with an id, what came of its letters.
    Replays {
        /// One of them, by its id.
        replay: Option<Uuid>,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Decide that letters shall not take effect. What waits behind one of them is released.
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        /// Why; it is kept with the letter.
        #[arg(long, value_name = "REASON")]
        because: String,
    },
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    common: Common,
    /// That stand here; the open ones if not said.
    #[arg(long)]
    state: Option<StateName>,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Read on after this number.
    #[arg(long, value_name = "NUMBER")]
    cursor: Option<u64>,
}

/// What letters have in common.
#[derive(Args)]
struct Common {
    /// Of this lane: `job-charge`, or `charge`.
    #[arg(long)]
    lane: Option<String>,
    /// Given up for this reason: `provider_unavailable`.
    #[arg(long)]
    reason: Option<String>,
    /// Of this kind: `charge`.
    #[arg(long)]
    kind: Option<String>,
    /// Given up since: `2026-01-31T09:00:00Z`.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
}

/// By number, or by what they have in common, or all.
#[derive(Args)]
struct Chosen {
    /// The letters' numbers.
    #[arg(value_name = "LETTER", required_unless_present_any = ["lane", "reason", "kind", "since", "all"])]
    letters: Vec<u64>,
    #[command(flatten)]
    common: Common,
    /// Every open one.
    #[arg(long, conflicts_with_all = ["letters", "lane", "reason", "kind", "since"])]
    all: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum StateName {
    Dead,
    Behind,
    Replaying,
    Resolved,
    Discarded,
}

/// Nothing was done to some of what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the letters were left as they are")]
struct LeftSome(usize);

impl DeadLetters {
    pub async fn run(self) -> Outcome {
        let Self { what, site } = self;
        match what {
            What::List(list) => {
                let answer = ask(&site, "dead_letters.list", list.question()).await?;
                let page: Page = from_value(answer)?;
                if !site.json {
                    show_page(&page);
                }
                Ok(())
            }
            What::Show { letter } => {
                let answer = ask(&site, "dead_letters.show", json!({ "letter": letter })).await?;
                let shown: letters::Shown = from_value(answer)?;
                if !site.json {
                    show_letter(&shown);
                }
                Ok(())
            }
            What::Replays { replay: None, limit } => {
                let answer = ask(&site, "dead_letters.replays", json!({ "limit": limit })).await?;
                let replays: Replays = from_value(answer)?;
                if !site.json {
                    replays::list(&replays.items);
                }
                Ok(())
            }
            What::Replays { replay, .. } => {
                let answer = ask(&site, "dead_letters.replay_status", json!({ "replay": replay })).await?;
                let shown: Shown = from_value(answer)?;
                if !site.json {
                    replays::show(&shown);
                }
                Ok(())
            }
            What::Replay {
                chosen,
                dry_run,
                rate,
                wait,
            } => {
                let question = json!({
                    "which": chosen.question(), "dryRun": dry_run, "perSecond": rate, "by": operator::who(),
                });
                if wait {
                    return replays::replay_and_wait(&site, question).await;
                }
                complete(&site, ask(&site, "dead_letters.replay", question).await?)
            }
            What::Discard { chosen, because } => {
                let question = json!({ "which": chosen.question(), "because": because, "by": operator::who() });
                complete(&site, ask(&site, "dead_letters.discard", question).await?)
            }
        }
    }
}

impl Common {
    fn question(self) -> Value {
        json!({ "lane": self.lane, "reason": self.reason, "kind": self.kind, "since": self.since })
    }
}

impl List {
    fn question(self) -> Value {
        let mut question = self.common.question();
        let state = self.state.and_then(|state| state.to_possible_value());
        question["state"] = json!(state.map(|state| state.get_name().to_owned()));
        question["limit"] = json!(self.limit);
        question["cursor"] = json!(self.cursor);
        question
    }
}

impl Chosen {
    fn question(self) -> Value {
        let mut question = self.common.question();
        question["letters"] = json!(self.letters);
        question["all"] = json!(self.all);
        question
    }
}

/// Asks, and prints the answer if it is for a program.
async fn ask(site: &Site, name: &str, question: Value) -> Result<Value, Box<dyn std::error::Error>> {
    let reached = site.reach().await?;
    let word = |word: Value| eprintln!("{} of {}", word["done"], word["of"]);
    let answer = reached.ask(name, question, word).await;
    reached.leave(site).await?;
    let answer = answer?;
    if site.json {
        println!("{answer:#}");
    }
    Ok(answer)
}

/// Says what was done. Success is when nothing was left out.
fn complete(site: &Site, answer: Value) -> Outcome {
    let done: Done = from_value(answer)?;
    if !site.json {
        show_done(&done);
    }
    match done.skipped.len() {
        0 => Ok(()),
        left => Err(LeftSome(left).into()),
    }
}

fn show_page(page: &Page) {
    if page.items.is_empty() {
        println!("No such letters.");
        return;
    }
    println!(
        "{:>8}  {:<10} {:<22} {:<36} {:<24} TRIED  SINCE",
        "LETTER", "STATE", "LANE", "KIND", "REASON"
    );
    for line in &page.items {
        println!(
            "{:>8}  {:<10} {:<22} {:<36} {:<24} {:>5}  {}",
            line.number,
            line.state.as_str(),
            line.lane,
            line.kind,
            line.reason,
            line.attempts,
            line.died_at
        );
    }
    if let Some(next) = page.next {
        println!("There are more: --cursor {next}");
    }
}

fn show_letter(letters::Shown { letter, behind }: &letters::Shown) {
    println!("letter    {} ({})", letter.number, letter.state.as_str());
    println!(
        "message   {} in {}, sequence {}",
        letter.message, letter.subject, letter.seq
    );
    println!("lane      {}", letter.lane);
    println!("reason    {}: {}", letter.reason, letter.detail);
    if let Some(key) = letter.key {
        println!("about     {key}");
    }
    for (name, value) in &letter.headers {
        println!("          {name}: {value}");
    }
    println!("body      {}", letter.body);
    if letter.is_redacted {
        println!("          (what people typed is hidden; a replay has it)");
    }
    if !behind.is_empty() {
        let numbers: Vec<String> = behind.iter().map(ToString::to_string).collect();
        println!("behind    {} wait for it and follow in this order", numbers.join(", "));
    }
    println!("history");
    for entry in &letter.history {
        let what = json!(entry.what);
        let tried = entry
            .attempts
            .map(|times| format!(", tried {times}"))
            .unwrap_or_default();
        println!(
            "          {} {} by {}{tried}  {} {}",
            entry.at,
            what.as_str().unwrap_or_default(),
            entry.by,
            entry.reason,
            entry.detail
        );
    }
}

fn show_done(done: &Done) {
    for would in &done.would_replay {
        let follows = would
            .follows
            .map(|head| format!(", follows {head}"))
            .unwrap_or_default();
        let why = would
            .why
            .as_ref()
            .map(|why| format!(" CANNOT BE READ: {why}"))
            .unwrap_or_default();
        println!(
            "{:>8}  would be replayed: {} in {}{follows}{why}",
            would.number, would.kind, would.lane
        );
    }
    for number in &done.replayed {
        println!("{number:>8}  handed to its lane; `maru dead-letters show {number}` says what comes of it");
    }
    if let Some(replay) = done.replay {
        println!("replay {replay}: `maru dead-letters replays {replay}` says how far it is");
    }
    for number in &done.discarded {
        println!("{number:>8}  discarded");
    }
    for left in &done.skipped {
        println!("{:>8}  left as it is: {}", left.number, left.why);
    }
    if *done == Done::default() {
        println!("No such letters.");
    }
}
