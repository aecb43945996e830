//! `maru lanes`: stop a lane, let it go on, or empty its hands.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::Outcome;
use crate::operator::{self, Site};

/// Pause, resume or drain lanes.
#[derive(Args)]
pub struct Lanes {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    site: Site,
}

#[derive(Subcommand)]
enum What {
    /// Nothing more is delivered, in any process, until resumed; what runs goes on.
    Pause(Which),
    /// Let them go on.
    Resume(Which),
    /// Pause, and wait until nothing runs any more.
    Drain(Which),
}

#[derive(Args)]
struct Which {
    /// Lanes: job-write_story, or write_story.
    #[arg(required_unless_present = "all", value_name = "LANE")]
    lanes: Vec<String>,
    /// Every lane.
    #[arg(long, conflicts_with = "lanes")]
    all: bool,
}

impl Lanes {
    pub async fn run(self) -> Outcome {
        let (name, which) = match &self.what {
            What::Pause(which) => ("lanes.pause", which),
            What::Resume(which) => ("lanes.resume", which),
            What::Drain(which) => ("lanes.drain", which),
        };
        let question = json!({ "lanes": which.lanes, "all": which.all, "by": operator::who() });
        let reached = self.site.reach().await?;
        let answer = reached.ask(name, question, |word| self.say(&word)).await;
        reached.leave(&self.site).await?;
        self.tell(&answer?)
    }

    fn say(&self, word: &Value) {
        if !self.site.json {
            eprintln!("{}: {} still unsettled", text(&word["lane"]), word["unsettled"]);
        }
    }

    fn tell(&self, answer: &Value) -> Outcome {
        if self.site.json {
            println!("{answer:#}");
            return Ok(());
        }
        let list = |field: &str| answer[field].as_array().cloned().unwrap_or_default();
        for lane in list("paused") {
            println!("{} is paused", text(&lane));
        }
        for lane in list("resumed") {
            println!("{} goes on", text(&lane));
        }
        for lane in list("drained") {
            let retry = match lane["waitingForRetry"].as_u64() {
                Some(left @ 1..) => format!("; {left} wait for their retry"),
                _ => String::new(),
            };
            println!(
                "{} is paused and quiet, {} pending{retry}",
                text(&lane["lane"]),
                lane["pending"]
            );
        }
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
