//! Somebody who was there before the backup, and comes again after the restore: with the same name and
//! password, the same keys, and the memory of a picture.

use std::time::{Duration, Instant};

use maru_streams::oracle::Finding;
use reqwest::Method;
use serde_json::{Value, json};

use super::Failed;
use crate::verify::client::{Client, Wish};

/// How long a story with its picture may take, or a view to be up to date.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What was not to be had even before.
#[derive(Debug, thiserror::Error)]
#[error("the first installation did not do what was asked of it: {0}")]
struct NotDone(&'static str);

pub struct Witness {
    password: String,
    /// The answer to the book that was asked for.
    book: Value,
    /// How the book was shown.
    shown: Value,
    picture: Vec<u8>,
}

/// The one request that is sent before and after.
const fn a_book(body: Value) -> Wish<'static> {
    Wish {
        method: Method::POST,
        path: "/v1/books",
        key: "the-same-book",
        body,
        events: 1,
        in_passing: false,
    }
}

fn body() -> Value {
    json!({ "title": "What was there before", "synopsis": "A whale looks for a star." })
}

impl Witness {
    pub async fn before(client: &Client) -> Result<Self, Failed> {
        let mut client = Client {
            name: "witness".to_owned(),
            ..client.clone()
        };
        client.joins().await.ok_or(NotDone("sign up"))?;
        let book = client.insists(a_book(body())).await.ok_or(NotDone("begin a book"))?;
        let id = book["id"].as_str().unwrap_or_default().to_owned();
        let path = format!("/v1/books/{id}/ai-draft");
        let draft = Wish {
            path: &path,
            key: "the-same-draft",
            ..a_book(json!({ "image": true }))
        };
        client.insists(draft).await.ok_or(NotDone("order a draft"))?;
        let is_ready = |seen: &Value| seen["storyStatus"] == "READY" && seen["imageUrl"].is_string();
        let shown = sees(&mut client, &id, is_ready)
            .await
            .ok_or(NotDone("paint a picture"))?;
        Ok(Self {
            picture: picture(&client, &shown).await?,
            password: client.password,
            book,
            shown,
        })
    }

    /// Everything that is not as it was.
    pub async fn again(&self, client: &Client) -> Result<Vec<Finding>, Failed> {
        let mut client = Client {
            name: "witness".to_owned(),
            password: self.password.clone(),
            ..client.clone()
        };
        let mut findings = Vec::new();
        if client.joins().await.is_none() {
            findings.push(Finding::new("gone", "who had signed up cannot log in".to_owned()));
            return Ok(findings);
        }
        let book = client.insists(a_book(body())).await.unwrap_or_default();
        for field in ["id", "commandId", "version"] {
            if book[field] != self.book[field] {
                let what = format!(
                    "a repeated request was answered with {field} {} instead of {}",
                    book[field], self.book[field]
                );
                findings.push(Finding::new("key_forgotten", what));
            }
        }
        let id = self.book["id"].as_str().unwrap_or_default().to_owned();
        match sees(&mut client, &id, |seen| *seen == self.shown).await {
            None => findings.push(Finding::new(
                "shown_otherwise",
                format!("book {id} is not shown as it was"),
            )),
            Some(shown) if picture(&client, &shown).await? != self.picture => {
                let what = format!("the picture of book {id} is another one");
                findings.push(Finding::new("picture_differs", what));
            }
            Some(_) => {}
        }
        Ok(findings)
    }
}

/// Looks at a book until it is as wished.
async fn sees(client: &mut Client, id: &str, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let seen = client.finds_out(&format!("/v1/books/{id}")).await;
        if let Some(seen) = seen.filter(|seen| is_it(seen)) {
            return Some(seen);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

async fn picture(client: &Client, shown: &Value) -> Result<Vec<u8>, Failed> {
    let url = format!("{}{}", client.base, shown["imageUrl"].as_str().unwrap_or_default());
    let answer = client.http.get(url).bearer_auth(&client.token).send().await?;
    Ok(answer.error_for_status()?.bytes().await?.to_vec())
}
