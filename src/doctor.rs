//! `maru doctor`: whether the installation is as it should be.

use clap::Args;
use serde_json::{Value, json};

use crate::Outcome;
use crate::operator::Site;

/// Check versions, durability, clocks, disk and limits, each with what to do; fails if one is bad.
#[derive(Args)]
pub struct Doctor {
    #[command(flatten)]
    site: Site,
}

/// Something is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("{0} findings are bad; each says what to do")]
struct Ill(usize);

impl Doctor {
    pub async fn run(self) -> Outcome {
        let reached = self.site.reach().await?;
        let answer = reached.ask("doctor", json!({}), |_| {}).await;
        let nobody = reached.is_opened_here().then(|| {
            json!({
                "what": "running", "grade": "warn", "found": "nobody works here",
                "do": "start Maru (`maru up`); the rest was looked at by this command",
            })
        });
        reached.leave(&self.site).await?;
        let mut findings = answer?["findings"].as_array().cloned().unwrap_or_default();
        findings.extend(other_build(&findings));
        findings.extend(nobody);
        if self.site.json {
            println!("{:#}", json!({ "findings": findings }));
        } else {
            findings.iter().for_each(tell);
        }
        match findings.iter().filter(|one| one["grade"] == "bad").count() {
            0 => Ok(()),
            bad => Err(Ill(bad).into()),
        }
    }
}

/// Whoever answered may be another build than this one.
fn other_build(findings: &[Value]) -> Option<Value> {
    let running = findings.iter().find(|one| one["what"] == "maru")?;
    let ours = env!("CARGO_PKG_VERSION");
    (running["found"] != ours).then(|| {
        json!({
            "what": "this command", "grade": "warn", "found": ours,
            "do": "it is another version than the one that runs; use the one beside it",
        })
    })
}

fn tell(finding: &Value) {
    let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    println!("{:<4}  {:<22} {}", text("grade"), text("what"), text("found"));
    if let Some(remedy) = finding["do"].as_str() {
        println!("{:<30}→ {remedy}", "");
    }
}
