//! `maru status`: lanes, views and streams, and what needs somebody.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::operator::{Reached, Site};
use crate::table::{length, table};
use crate::{Outcome, stop};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(5);

/// Show every lane, view and stream, and what waits there.
#[derive(Args)]
pub struct Status {
    /// Look again every five seconds, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    site: Site,
}

impl Status {
    pub async fn run(self) -> Outcome {
        let reached = self.site.reach().await?;
        let shown = if self.watch {
            let stop = stop::requested()?;
            stop.run_until_cancelled(self.again_and_again(&reached))
                .await
                .unwrap_or(Ok(()))
        } else {
            self.once(&reached).await
        };
        reached.leave(&self.site).await?;
        shown
    }

    async fn again_and_again(&self, reached: &Reached) -> Outcome {
        loop {
            if !self.site.json && std::io::stdout().is_terminal() {
                print!("\x1b[2J\x1b[H");
            }
            self.once(reached).await?;
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn once(&self, reached: &Reached) -> Outcome {
        let mut status = reached.ask("lanes.status", json!({}), |_| {}).await?;
        status["isRunning"] = (!reached.is_opened_here()).into();
        status["needs"] = needs(&status).into();
        match self.site.json {
            // One line each when there will be many.
            true if self.watch => println!("{status}"),
            true => println!("{status:#}"),
            false => print!("{}", page(&status)),
        }
        Ok(())
    }
}

fn each<'a>(status: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    status[list].as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn time(seconds: &Value) -> String {
    seconds.as_f64().map_or_else(|| "-".to_owned(), length)
}

/// The back of a lane, and the way of its dead letters, are shown while there is something in them.
fn is_quiet_backroom(lane: &Value) -> bool {
    let name = lane["lane"].as_str().unwrap_or_default();
    let is_backroom = name.starts_with("redo-") || name.starts_with("late-");
    is_backroom
        && ["pending", "running", "retrying", "dead"]
            .iter()
            .all(|field| lane[field] == 0)
}

fn page(status: &Value) -> String {
    let lanes: Vec<Vec<String>> = each(status, "lanes")
        .filter(|lane| !is_quiet_backroom(lane))
        .map(|lane| {
            let mut row: Vec<String> = ["lane", "health", "pending", "running", "retrying", "dead"]
                .map(|field| word(&lane[field]))
                .into();
            row.push(time(&lane["oldestSeconds"]));
            row.push(
                lane["ratePerSecond"]
                    .as_f64()
                    .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s")),
            );
            row.push(time(&lane["drainSeconds"]));
            row
        })
        .collect();
    let head = [
        "lane",
        "health",
        "pending",
        "running",
        "retrying",
        "dead",
        "oldest",
        "rate",
        "drains in",
    ];
    let views: Vec<Vec<String>> = each(status, "views")
        .map(|view| ["view", "mark", "lag"].map(|field| word(&view[field])).into())
        .collect();
    let streams: Vec<Vec<String>> = each(status, "streams")
        .map(|stream| {
            let fill = stream["fill"]
                .as_f64()
                .map_or_else(|| "-".to_owned(), |fill| format!("{:.1}%", fill * 100.0));
            vec![
                word(&stream["stream"]),
                word(&stream["messages"]),
                word(&stream["bytes"]),
                fill,
            ]
        })
        .collect();
    let mut page = table(&head, &lanes) + "\n";
    page += &(table(&["view", "mark", "lag"], &views) + "\n");
    page += &(table(&["stream", "messages", "bytes", "full"], &streams) + "\n");
    let needs = needs(status);
    page += &match needs.is_empty() {
        true => "nothing needs you\n".to_owned(),
        false => needs.iter().map(|need| format!("! {need}\n")).collect(),
    };
    page
}

/// What needs somebody, a sentence each, the worst first.
fn needs(status: &Value) -> Vec<String> {
    let nobody = (status["isRunning"] == false).then(|| "nobody works here: start Maru (`maru up`)".to_owned());
    nobody
        .into_iter()
        .chain(each(status, "lanes").filter_map(need))
        .collect()
}

/// What a lane needs from somebody.
fn need(lane: &Value) -> Option<String> {
    let name = word(&lane["lane"]);
    let mut needs = Vec::new();
    match lane["health"].as_str() {
        Some("paused") => {
            let since = lane["paused"]["at"]
                .as_str()
                .map(|at| format!(" since {at}"))
                .unwrap_or_default();
            let by = word(&lane["paused"]["by"]);
            needs.push(format!(
                "paused by {by}{since}: `maru lanes resume {name}` lets it go on"
            ));
        }
        Some("unattended") => needs.push(
            "messages wait and no process asks for them: start its workers; if they run, its breaker may be open"
                .to_owned(),
        ),
        Some("deaf") => needs.push(
            "messages wait, workers ask, nothing comes: wait two minutes, then restart the workers, then nats-server"
                .to_owned(),
        ),
        _ => {}
    }
    if lane["dead"].as_u64().is_some_and(|dead| dead > 0) {
        let letters = if lane["dead"] == 1 { "letter" } else { "letters" };
        needs.push(format!("{} dead {letters}", lane["dead"]));
    }
    (!needs.is_empty()).then(|| format!("{name}: {}", needs.join("; ")))
}
