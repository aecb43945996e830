//! `maru views`: how views stand, and their next versions: built, compared, swapped in, dropped.

use clap::{Args, Subcommand};
use maru_streams::desk::DeskError;
use serde_json::{Value, json};

use crate::Outcome;
use crate::operator::{Reached, Site};

/// Show how views stand; build, swap in or drop their next versions.
///
/// People go on reading while a view is built again: it is built beside the one they read, from the first
/// event, and compared with it.
#[derive(Args)]
pub struct Views {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    site: Site,
}

#[derive(Subcommand)]
enum What {
    /// Show how far views have read, what they wait for, and what is being built.
    Status {
        /// This one only.
        view: Option<String>,
    },
    /// Build a view again beside the one that people read, and compare the two.
    Rebuild {
        /// Which one.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        view: Option<String>,
        /// Every one, one after the other.
        #[arg(long)]
        all: bool,
        /// Let people read the new version if both are equal; fail if they are not.
        #[arg(long)]
        swap: bool,
    },
    /// Let people read the other version; the one before is kept, and can be swapped in again.
    Swap {
        /// Of which view.
        view: String,
    },
    /// Take the version away that nobody reads.
    Drop {
        /// Of which view.
        view: String,
    },
}

/// A rebuilt view that says something else.
#[derive(Debug, thiserror::Error)]
#[error(
    "not swapped, because the new version is not equal: {0}; look at `maru views status`, then `maru views swap` or `drop`"
)]
struct NotEqual(String);

impl Views {
    pub async fn run(self) -> Outcome {
        let reached = self.site.reach().await?;
        let done = self.what.run(&reached, self.site.json).await;
        reached.leave(&self.site).await?;
        done
    }
}

impl What {
    async fn run(self, reached: &Reached, as_json: bool) -> Outcome {
        match self {
            Self::Status { view } => {
                let answer = reached.ask("views.status", json!({ "view": view }), |_| {}).await?;
                if as_json {
                    println!("{answer:#}");
                } else {
                    each(&answer["views"]).iter().for_each(print);
                }
                Ok(())
            }
            Self::Rebuild { view, swap, .. } => {
                let views = match view {
                    Some(view) => vec![view],
                    None => every(reached).await?,
                };
                rebuild(reached, &views, swap, as_json).await
            }
            Self::Swap { view } => {
                let stands = reached.ask("views.swap", json!({ "view": view }), |_| {}).await?;
                say(&stands, as_json);
                Ok(())
            }
            Self::Drop { view } => {
                reached.ask("views.drop", json!({ "view": view }), |_| {}).await?;
                let stands = wait(reached, &view).await?;
                say(&stands, as_json);
                Ok(())
            }
        }
    }
}

async fn every(reached: &Reached) -> Result<Vec<String>, DeskError> {
    let answer = reached.ask("views.status", json!({}), |_| {}).await?;
    Ok(each(&answer["views"])
        .iter()
        .map(|stands| text(&stands["view"]))
        .collect())
}

async fn rebuild(reached: &Reached, views: &[String], swap: bool, as_json: bool) -> Outcome {
    let (mut all, mut unequal) = (Vec::new(), Vec::new());
    for view in views {
        let question = json!({ "view": view, "swap": swap });
        reached.ask("views.rebuild", question, |_| {}).await?;
        let stands = wait(reached, view).await?;
        if !as_json {
            print(&stands);
        }
        if swap && !is_equal(&stands["compared"]) {
            unequal.push(view.clone());
        }
        all.push(stands);
    }
    if as_json {
        println!("{:#}", json!({ "views": all }));
    }
    if unequal.is_empty() {
        Ok(())
    } else {
        Err(NotEqual(unequal.join(", ")).into())
    }
}

/// Waits until a view is built or dropped; how far it is goes to standard error.
async fn wait(reached: &Reached, view: &str) -> Result<Value, DeskError> {
    let mut said = String::new();
    let word = |word: Value| {
        let line = match word["stage"].as_str() {
            Some("building") => format!(
                "{view}: {} of {} events read, {} a second",
                word["mark"], word["goal"], word["perSecond"]
            ),
            Some(stage) => format!("{view}: {stage}"),
            None => return,
        };
        if line != said {
            eprintln!("{line}");
            said = line;
        }
    };
    reached.ask("views.wait", json!({ "view": view }), word).await
}

fn say(stands: &Value, as_json: bool) {
    if as_json {
        println!("{stands:#}");
    } else {
        print(stands);
    }
}

/// A view, for people.
fn print(stands: &Value) {
    let (read, other, compared) = (&stands["read"], &stands["other"], &stands["compared"]);
    println!("{:<18} {}", text(&stands["view"]), place(read, "is read"));
    if other.is_object() {
        let stage = match text(&other["stage"]).as_str() {
            "ready" => "is the other version".to_owned(),
            "dropping" => "is being dropped".to_owned(),
            _ => format!("is being built ({} %)", other["percent"]),
        };
        println!("{:<18} {}", "", place(other, &stage));
    }
    if is_equal(compared) {
        println!(
            "{:<18} compared at {}: equal, {} rows",
            "", compared["mark"], compared["rows"]
        );
    } else if compared.is_object() {
        println!(
            "{:<18} compared at {}: {} rows are read, the other version had {}; {} missing, {} extra, {} differing",
            "",
            compared["mark"],
            compared["rows"],
            compared["otherRows"],
            compared["missing"],
            compared["extra"],
            compared["differing"]
        );
        for row in each(&compared["examples"]) {
            let fields: Vec<String> = each(&row["fields"]).iter().map(text).collect();
            println!(
                "{:<18}   {} {}:{} {}",
                "",
                text(&row["how"]),
                text(&row["table"]),
                row["key"],
                fields.join(", ")
            );
        }
    }
}

fn place(place: &Value, what: &str) -> String {
    let mut line = format!(
        "{:<6} {what:<21} at {:>8}, {:>6} behind, {:>7} rows",
        text(&place["colour"]),
        place["mark"],
        place["lag"],
        place["rows"]
    );
    if let Some(waits) = place["waits"].as_object() {
        line += &format!(
            "; WAITS at {} since {}: {}",
            waits["seq"],
            text(&waits["since"]),
            text(&waits["why"])
        );
    }
    line
}

fn is_equal(compared: &Value) -> bool {
    compared.is_object()
        && ["missing", "extra", "differing"]
            .iter()
            .all(|count| compared[count] == 0)
}

fn each(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
