//! `maru budgets`: what members may have done for them by the lanes that cost money.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Outcome;
use crate::operator::Site;
use crate::table::table;

/// Show or set what members may have done for them.
#[derive(Args)]
pub struct Budgets {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    site: Site,
}

#[derive(Subcommand)]
enum What {
    /// Show every budget and how many jobs wait for a top-up.
    List,
    /// Give a member so many runs of a kind of job altogether.
    Set(Runs),
    /// Give a member so many runs more.
    TopUp(Runs),
}

#[derive(Args)]
struct Runs {
    /// The kind of job: write_story, paint_image.
    kind: String,
    /// Whose: a member's id.
    member: Uuid,
    /// How many runs.
    runs: u32,
}

impl Budgets {
    pub async fn run(self) -> Outcome {
        let (name, question) = match &self.what {
            What::List => ("budgets.list", json!({})),
            What::Set(runs) => ("budgets.set", question(runs, false)),
            What::TopUp(runs) => ("budgets.set", question(runs, true)),
        };
        let reached = self.site.reach().await?;
        let answer = reached.ask(name, question, |_| {}).await;
        reached.leave(&self.site).await?;
        let answer = answer?;
        match self.what {
            _ if self.site.json => println!("{answer:#}"),
            What::List => list(&answer),
            What::Set(_) | What::TopUp(_) => println!("set; {} waiting jobs go on", answer["letGo"]),
        }
        Ok(())
    }
}

fn question(runs: &Runs, add: bool) -> Value {
    json!({ "kind": runs.kind, "member": runs.member, "runs": runs.runs, "add": add })
}

fn list(answer: &Value) {
    let budgets = answer["budgets"].as_array().map_or(&[][..], Vec::as_slice);
    if budgets.is_empty() {
        println!("nobody has a budget: everybody may spend without limit");
        return;
    }
    let rows: Vec<Vec<String>> = budgets.iter().map(row).collect();
    print!("{}", table(&["kind", "member", "cap", "spent", "waiting"], &rows));
}

fn row(budget: &Value) -> Vec<String> {
    let words = ["kind", "member"].map(|field| budget[field].as_str().unwrap_or_default().to_owned());
    let numbers = ["cap", "spent", "waiting"].map(|field| budget[field].to_string());
    words.into_iter().chain(numbers).collect()
}
