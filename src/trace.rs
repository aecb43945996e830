//! `maru trace`: what became of a command, and of all that followed from it.

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Outcome;
use crate::operator::Site;
use crate::table::length;

/// Show what became of a command and of all that followed from it.
#[derive(Args)]
pub struct Trace {
    /// The command; or any command, job, event or request of what is to be followed.
    #[arg(value_name = "ID")]
    id: Uuid,
    #[command(flatten)]
    site: Site,
}

impl Trace {
    pub async fn run(self) -> Outcome {
        let reached = self.site.reach().await?;
        let trace = reached.ask("commands.trace", json!({ "id": self.id }), |_| {}).await;
        reached.leave(&self.site).await?;
        let trace = trace?;
        match self.site.json {
            true => println!("{trace:#}"),
            false => print!("{}", page(&trace, &self.id.to_string())),
        }
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn page(trace: &Value, asked: &str) -> String {
    let mut page = format!(
        "request {}  by {}  at {}\n",
        text(&trace["request"]),
        text(&trace["actor"]),
        text(&trace["began"])
    );
    branch(&trace["root"], "", true, asked, &mut page);
    let sees = |view: &&Value| view["sees"] == true;
    let names = |views: Vec<&Value>| {
        views
            .iter()
            .map(|view| text(&view["view"]))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (seen, behind): (Vec<&Value>, Vec<&Value>) = list(&trace["views"]).partition(sees);
    page += &format!(
        "views    seen by {}\n",
        if seen.is_empty() {
            "none".to_owned()
        } else {
            names(seen)
        }
    );
    if !behind.is_empty() {
        page += &format!("         not yet by {}\n", names(behind));
    }
    for cut in list(&trace["cut"]) {
        page += &format!("cut      {}\n", text(cut));
    }
    page
}

/// A message on a line of its own, what is known of it beneath, then what followed.
fn branch(node: &Value, indent: &str, is_last: bool, asked: &str, page: &mut String) {
    let elbow = if is_last { "└─ " } else { "├─ " };
    let room = text(&node["room"]);
    let mut line = match text(&node["what"]) {
        "job" => format!("job {}", text(&node["kind"])),
        what => format!("{what} {room}.{}", text(&node["kind"])),
    };
    if let Some(version) = node["version"].as_u64() {
        line += &format!(" v{version}");
    }
    line += &format!("  {}", text(&node["state"]));
    if let Some(code) = node["code"].as_str() {
        line += &format!(" {code}");
    }
    let after = node["afterMs"].as_f64().unwrap_or_default();
    line += &format!("  +{}  {}", length(after.max(0.0) / 1000.0), text(&node["id"]));
    if node["id"] == asked {
        line += "  ◀";
    }
    *page += &format!("{indent}{elbow}{line}\n");
    let indent = format!("{indent}{}", if is_last { "   " } else { "│  " });
    if let Some(failures) = node["failures"].as_object() {
        let at_last = match text(&failures["reason"]) {
            "" => String::new(),
            reason => format!(", at last: {reason}"),
        };
        *page += &format!("{indent}   failed {} times{at_last}\n", failures["failures"]);
    }
    for effect in list(&node["effects"]) {
        let begun = match effect["begun"].as_i64() {
            Some(times @ 2..) => format!(", begun {times} times"),
            _ => String::new(),
        };
        *page += &format!(
            "{indent}   call {}: {}{begun}\n",
            text(&effect["step"]),
            text(&effect["status"])
        );
    }
    for lane in list(&node["waitsFor"]) {
        *page += &format!("{indent}   not heard yet by {}\n", text(lane));
    }
    for letter in list(&node["letters"]) {
        let (lane, reason, attempts) = (
            text(&letter["lane"]),
            text(&letter["reason"]),
            text(&letter["attempts"]),
        );
        *page += &format!("{indent}   given up by {lane}: {reason}, attempt {attempts}\n");
    }
    let next: Vec<&Value> = list(&node["next"]).collect();
    for (nth, one) in next.iter().enumerate() {
        branch(one, &indent, nth + 1 == next.len(), asked, page);
    }
}
