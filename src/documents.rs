//! `maru documents`: the published documents, from the code.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use maru_gateway::routes;
use serde_json::Value;

use crate::Outcome;

/// Write the published documents (OpenAPI, AsyncAPI, JSON Schemas, the list of problems).
#[derive(Args)]
pub struct Documents {
    /// The root of the sources.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    root: PathBuf,
    /// Change nothing; fail if a document is not as the code says.
    #[arg(long)]
    check: bool,
}

/// A document that the code has moved away from.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not as the code says; run `make docs` and look at the difference before committing it")]
struct Drifted(String);

impl Documents {
    pub fn run(self) -> Outcome {
        for (path, text) in all()? {
            let path = self.root.join(path);
            let found = fs::read_to_string(&path).unwrap_or_default();
            if found == text {
                continue;
            }
            if self.check {
                return Err(Drifted(path.display().to_string()).into());
            }
            write(&path, &text)?;
            println!("wrote {}", path.display());
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

/// Every document with its place.
fn all() -> Result<Vec<(String, String)>, serde_json::Error> {
    let pretty = |value: &Value| serde_json::to_string_pretty(value).map(|text| text + "\n");
    let (_, openapi) = routes::api();
    let mut documents = vec![
        (
            "schemas/openapi.json".to_owned(),
            pretty(&serde_json::to_value(openapi)?)?,
        ),
        (
            "schemas/asyncapi.json".to_owned(),
            pretty(&maru_schemas::documents::asyncapi())?,
        ),
        ("docs/problems.md".to_owned(), problems()),
    ];
    for (name, schema) in maru_schemas::documents::schemas() {
        documents.push((format!("schemas/json/{name}.json"), pretty(&schema)?));
    }
    Ok(documents)
}

fn problems() -> String {
    let mut text = "# Problems\n\n\
        Every failure at the door is an RFC 9457 problem whose `code` is one of these. This page is written by \
        `make docs`; the same list is at `/problems`.\n\n\
        | code | status | what to do |\n|---|---|---|\n"
        .to_owned();
    for entry in routes::documents::all_problems() {
        text.push_str(&format!("| `{}` | {} | {} |\n", entry.code, entry.http, entry.sentence));
    }
    text
}
