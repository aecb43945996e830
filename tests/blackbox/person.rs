//! The people at the door, and the answers they get.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::house::{PASSWORD, eventually};

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The answer, which must be this problem.
    #[track_caller]
    pub fn refused_as(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status, self.str("code").as_str()),
            (status, code),
            "{}",
            self.text
        );
        self
    }

    pub fn str(&self, field: &str) -> String {
        self.json[field].as_str().unwrap_or_default().to_owned()
    }

    pub fn id(&self) -> String {
        self.str("id")
    }

    pub fn items(&self) -> Vec<Value> {
        self.json["items"].as_array().cloned().unwrap_or_default()
    }

    /// RFC 9457 and our own promise: every failure is a problem with a code and a sentence.
    #[track_caller]
    fn is_a_proper_answer(&self) {
        if self.status < 400 {
            return;
        }
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.json["status"], self.status, "{self:?}");
        let code = self.str("code");
        assert!(
            !code.is_empty() && self.str("type") == format!("/problems/{code}"),
            "{self:?}"
        );
        assert!(
            !self.str("title").is_empty() && !self.str("detail").is_empty(),
            "{self:?}"
        );
        match self.status {
            401 => assert!(self.headers.contains_key("www-authenticate"), "{self:?}"),
            405 => assert!(self.headers.contains_key("allow"), "{self:?}"),
            429 | 503 => assert!(self.headers.contains_key("retry-after"), "{self:?}"),
            _ => {}
        }
    }
}

/// Somebody at the door.
#[derive(Debug, Clone)]
pub struct Person {
    pub http: reqwest::Client,
    pub base: String,
    pub username: String,
    pub token: String,
}

impl Person {
    /// The same client with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    pub async fn sign_up(&mut self, name: &str, role: &str) -> Reply {
        self.username = name.to_owned();
        let body = json!({ "username": name, "password": PASSWORD, "nickname": name, "role": role });
        self.post("/v1/auth/signup", body).await
    }

    pub async fn log_in(&mut self) -> Reply {
        let body = json!({ "username": self.username, "password": PASSWORD });
        let reply = self.post("/v1/auth/login", body).await.is(200);
        self.token = reply.str("accessToken");
        reply
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], None).await
    }

    /// Reads what a write with this answer made.
    pub async fn get_after(&self, write: &Reply, path: &str) -> Reply {
        let seq = write.json["seq"].as_u64().expect("a token in the answer").to_string();
        self.send(Method::GET, path, &[("maru-min-seq", &seq)], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, &[], Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], None).await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Reply {
        self.try_send(method, path, headers, body).await.expect("an answer")
    }

    /// The same where no answer may come.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request).await
    }

    /// A request as this person, to be finished by the caller.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match self.token.as_str() {
            "" => request,
            token => request.bearer_auth(token),
        }
    }

    /// Publishes a book with contents, and tells its id.
    pub async fn publishes(&self, title: &str, price: u32) -> String {
        let body = json!({ "title": title, "contents": format!("{title}, the story."), "price": price });
        self.post("/v1/books", body).await.is(201).id()
    }

    /// Buys with a card, and waits until the purchase stands in `state`.
    pub async fn buys(&self, book: &str, card: &str, state: &str) -> Value {
        let reply = self
            .post("/v1/purchases", json!({ "bookId": book, "card": card }))
            .await
            .is(201);
        self.sees_purchase(&reply.id(), state).await
    }

    pub async fn sees_purchase(&self, purchase: &str, state: &str) -> Value {
        let path = format!("/v1/purchases/{purchase}");
        eventually(&format!("purchase {state}"), async || {
            let reply = self.get(&path).await.is(200);
            (reply.json["state"] == state).then_some(reply.json)
        })
        .await
    }

    /// Waits until a field of a book says something.
    pub async fn sees_book(&self, book: &str, field: &str, wanted: &str) -> Value {
        let path = format!("/v1/books/{book}");
        eventually(&format!("{field} is {wanted}"), async || {
            let reply = self.get(&path).await;
            // Its view may not have come so far.
            let reply = if reply.status == 404 {
                return None;
            } else {
                reply.is(200)
            };
            (reply.json[field] == wanted).then_some(reply.json)
        })
        .await
    }
}

/// Sends a request and reads the answer.
pub async fn read(request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = answer.bytes().await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let reply = Reply {
        status,
        headers,
        json: serde_json::from_str(&text).unwrap_or_default(),
        text,
    };
    reply.is_a_proper_answer();
    Ok(reply)
}
