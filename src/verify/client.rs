//! Somebody at the door who insists, as a good client does: the same request under the same key until
//! there is a last word.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::journal::Journal;

/// How long one answer may take: longer than the door lets people wait.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long something to read may be away.
const LONGEST: Duration = Duration::from_secs(120);
/// How long who does not insist waits for an answer.
const SHORT: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub journal: Arc<Journal>,
    /// Nothing more will be said: who has no last word by now gets none.
    pub given_up: CancellationToken,
    pub name: String,
    /// Made up for this campaign, and good for nothing else.
    pub password: String,
    pub token: String,
}

/// What is asked.
pub struct Wish<'a> {
    pub method: Method,
    pub path: &'a str,
    pub key: &'a str,
    pub body: Value,
    /// How many events it makes.
    pub events: u64,
    /// Whether to ask first without waiting, so that something is accepted and not finished.
    pub in_passing: bool,
}

enum Heard {
    Last(Value),
    Refused(String),
    SignedOut,
    Nothing,
}

impl Client {
    /// Asks until there is a last word; none if it was refused or never came. Both are findings: nothing is
    /// asked here that may be refused.
    pub async fn insists(&mut self, wish: Wish<'_>) -> Option<Value> {
        let given_up = self.given_up.clone();
        let answer = given_up.run_until_cancelled(self.has_last_word(&wish)).await;
        let (code, why) = match answer {
            Some(Ok(answer)) => return Some(answer),
            Some(Err(why)) => ("refused", why),
            None => ("no_last_word", "it never had a last word".to_owned()),
        };
        let what = format!(
            "{} {} (key {} of {}): {why}",
            wish.method, wish.path, wish.key, self.name
        );
        self.journal.finds(code, what);
        None
    }

    /// Asks once, and lets go of what has no answer within two seconds.
    pub async fn asks_once(&mut self, wish: &Wish<'_>) {
        self.journal.sends(false);
        let asked = tokio::time::timeout(SHORT, self.ask(wish, None)).await;
        if let Ok(Heard::SignedOut) = asked {
            self.signs_in().await;
        }
    }

    async fn has_last_word(&mut self, wish: &Wish<'_>) -> Result<Value, String> {
        let mut tries = 0_u64;
        loop {
            let prefer = (wish.in_passing && tries == 0).then_some("respond-async");
            self.journal.sends(tries > 0);
            tries += 1;
            match self.ask(wish, prefer).await {
                Heard::Last(answer) => return Ok(answer),
                Heard::Refused(why) => return Err(why),
                Heard::SignedOut => self.signs_in().await,
                Heard::Nothing => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn ask(&self, wish: &Wish<'_>, prefer: Option<&str>) -> Heard {
        let mut request = self
            .http
            .request(wish.method.clone(), format!("{}{}", self.base, wish.path))
            .header("idempotency-key", wish.key)
            .timeout(PATIENCE)
            .json(&wish.body);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(prefer) = prefer {
            request = request.header("prefer", prefer);
        }
        let sent = self.journal.now();
        let Ok(answer) = request.send().await else {
            return Heard::Nothing;
        };
        let status = answer.status();
        let Ok(body) = answer.json::<Value>().await else {
            return Heard::Nothing;
        };
        if status.is_success() {
            let is_last = body["status"] == "done" || body["state"].is_string();
            let what = format!("{} {}", wish.method, wish.path);
            self.journal.hears(&what, sent, &body, wish.events, is_last);
            return if is_last { Heard::Last(body) } else { Heard::Nothing };
        }
        let code = body["code"].as_str().unwrap_or("no code");
        match status {
            StatusCode::UNAUTHORIZED => Heard::SignedOut,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Heard::Nothing,
            // Faults of ours make parts unavailable; none is an excuse for something inside going wrong.
            StatusCode::INTERNAL_SERVER_ERROR => {
                let id = &body["requestId"];
                self.journal
                    .finds("internal_error", format!("{} {}: {code} {id}", wish.method, wish.path));
                Heard::Nothing
            }
            status if status.is_server_error() => Heard::Nothing,
            _ => Heard::Refused(format!("{} {code}", status.as_u16())),
        }
    }

    /// Signs up, and in.
    pub async fn joins(&mut self) -> Option<()> {
        let (name, key) = (self.name.clone(), format!("join-{}", self.name));
        let wish = Wish {
            method: Method::POST,
            path: "/v1/auth/signup",
            key: &key,
            body: json!({ "username": name, "password": self.password, "nickname": name, "role": "author" }),
            events: 1,
            in_passing: false,
        };
        self.insists(wish).await?;
        let given_up = self.given_up.clone();
        given_up.run_until_cancelled(self.signs_in()).await
    }

    async fn signs_in(&mut self) {
        let body = json!({ "username": self.name, "password": self.password });
        loop {
            let request = self
                .http
                .post(format!("{}/v1/auth/login", self.base))
                .timeout(PATIENCE)
                .json(&body);
            let asked = async { request.send().await.ok()?.json::<Value>().await.ok() };
            if let Some(token) = asked.await.as_ref().and_then(|answer| answer["accessToken"].as_str()) {
                token.clone_into(&mut self.token);
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads, with a token if there is one; none if there is no answer now.
    pub async fn reads(&self, path: &str, token: Option<u64>) -> Option<(StatusCode, Value)> {
        let mut request = self
            .http
            .get(format!("{}{path}", self.base))
            .timeout(PATIENCE)
            .bearer_auth(&self.token);
        if let Some(token) = token {
            request = request.header("maru-min-seq", token);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status();
        Some((status, answer.json::<Value>().await.ok()?))
    }

    /// Reads until there is something to read, or it is plain that there is nothing.
    pub async fn finds_out(&mut self, path: &str) -> Option<Value> {
        let until = Instant::now() + LONGEST;
        while Instant::now() < until {
            match self.reads(path, None).await {
                Some((status, body)) if status.is_success() => return Some(body),
                Some((StatusCode::UNAUTHORIZED, _)) => self.signs_in().await,
                Some((status, _)) if status.is_client_error() => return None,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        None
    }
}
