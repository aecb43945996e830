//! `maru clock`: what comes round by itself, and to do it now.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::Outcome;
use crate::operator::Site;

/// Show what comes round by itself, or do it now.
#[derive(Args)]
pub struct Clock {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    site: Site,
}

#[derive(Subcommand)]
enum What {
    /// Show what comes round, and when it comes next.
    Ticks,
    /// Do it now, whatever the time is. Doing it twice does no harm.
    Run {
        /// Which: janitor, say.
        name: String,
    },
}

impl Clock {
    pub async fn run(self) -> Outcome {
        let (question, about) = match &self.what {
            What::Ticks => ("clock.ticks", json!({})),
            What::Run { name } => ("clock.run", json!({ "name": name })),
        };
        let reached = self.site.reach().await?;
        let answer = reached.ask(question, about, |_| {}).await;
        reached.leave(&self.site).await?;
        let answer = answer?;
        if self.site.json {
            println!("{answer:#}");
        } else if let What::Run { name } = &self.what {
            println!("{name}: {} done", answer["done"]);
        } else {
            for tick in answer["ticks"].as_array().into_iter().flatten() {
                let (name, next) = (&tick["name"], &tick["next"]);
                let (name, next) = (name.as_str().unwrap_or_default(), next.as_str().unwrap_or_default());
                println!("{name:<16} next {next}, every {} s", tick["everySeconds"]);
            }
        }
        Ok(())
    }
}
