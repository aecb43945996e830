//! FAKE-AI: an OpenAI-compatible server that does what the test tells it, and keeps a log of what it
//! was asked and when.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const STORY: &str = "옛날 옛적에 작은 고래가 살았어요. 🐋\n\n\"Good night,\" said the star.";
/// One transparent pixel.
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// What to answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A story, or an image.
    Good,
    /// Come again after so many seconds.
    Busy(u64),
    /// An error with this status.
    Status(u16),
    /// Something that is not JSON.
    Nonsense,
    /// JSON of another shape.
    OtherShape,
    /// The right shape with nothing in it.
    Empty,
    /// Nothing, for ever.
    Hang,
    /// A good answer, once the test lets it go.
    Held,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at: Instant,
    pub body: Value,
    pub authorization: String,
}

#[derive(Default)]
struct Desk {
    /// What to answer to the next ones, one by one; then always `rule`.
    next: VecDeque<Answer>,
    rule: Option<Answer>,
    log: Vec<Asked>,
}

struct Inside {
    chat: Mutex<Desk>,
    images: Mutex<Desk>,
    gate: watch::Sender<bool>,
}

/// The server. Dropping it shuts it down.
pub struct FakeAi {
    inside: Arc<Inside>,
    port: u16,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy)]
pub enum Desks {
    Chat,
    Images,
}

impl Inside {
    fn desk(&self, which: Desks) -> &Mutex<Desk> {
        match which {
            Desks::Chat => &self.chat,
            Desks::Images => &self.images,
        }
    }
}

impl FakeAi {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let inside = Arc::new(Inside {
            chat: Mutex::default(),
            images: Mutex::default(),
            gate: watch::Sender::new(false),
        });
        let app = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/images/generations", post(images))
            .with_state(Arc::clone(&inside));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serve") });
        Self { inside, port, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Answers the next requests so, one by one, and all after them well.
    pub fn then(&self, desk: Desks, answers: &[Answer]) {
        let mut desk = self.inside.desk(desk).lock().expect("a lock");
        desk.next = answers.iter().cloned().collect();
        desk.rule = None;
    }

    /// Answers always so.
    pub fn always(&self, desk: Desks, answer: Answer) {
        let mut desk = self.inside.desk(desk).lock().expect("a lock");
        desk.next.clear();
        desk.rule = Some(answer);
    }

    /// Lets go what is held.
    pub fn release(&self) {
        self.inside.gate.send_replace(true);
    }

    pub fn asked(&self, desk: Desks) -> Vec<Asked> {
        self.inside.desk(desk).lock().expect("a lock").log.clone()
    }

    pub fn shut_down(&self) {
        self.task.abort();
    }
}

impl Drop for FakeAi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn chat(State(inside): State<Arc<Inside>>, headers: HeaderMap, body: Bytes) -> Response {
    let good = |content: &str| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fake",
            "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": content } }],
            "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
        })
    };
    answer(&inside, Desks::Chat, &headers, &body, good(STORY), good("  \n")).await
}

async fn images(State(inside): State<Arc<Inside>>, headers: HeaderMap, body: Bytes) -> Response {
    let good = json!({ "created": 1, "data": [{ "b64_json": PNG }] });
    answer(
        &inside,
        Desks::Images,
        &headers,
        &body,
        good,
        json!({ "created": 1, "data": [] }),
    )
    .await
}

async fn answer(
    inside: &Inside,
    desk: Desks,
    headers: &HeaderMap,
    body: &Bytes,
    good: Value,
    empty: Value,
) -> Response {
    let wanted = {
        let mut desk = inside.desk(desk).lock().expect("a lock");
        let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
        desk.log.push(Asked {
            at: Instant::now(),
            body: serde_json::from_slice(body).unwrap_or_default(),
            authorization: authorization.unwrap_or_default().to_owned(),
        });
        desk.next
            .pop_front()
            .or_else(|| desk.rule.clone())
            .unwrap_or(Answer::Good)
    };
    // A provider's own words may repeat the prompt: Maru must not keep them.
    let error = json!({ "error": { "message": "PROVIDER-WORDS about your prompt", "type": "server_error" } });
    match wanted {
        Answer::Good => Json(good).into_response(),
        Answer::Busy(seconds) => {
            let headers = [("retry-after", seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers, Json(error)).into_response()
        }
        Answer::Status(status) => (StatusCode::from_u16(status).expect("a status"), Json(error)).into_response(),
        Answer::Nonsense => "<html>it works!</html>".into_response(),
        Answer::OtherShape => Json(json!({ "hello": "world" })).into_response(),
        Answer::Empty => Json(empty).into_response(),
        Answer::Hang => std::future::pending().await,
        Answer::Held => {
            let mut gate = inside.gate.subscribe();
            let let_go = gate.wait_for(|open| *open).await;
            drop(let_go);
            Json(good).into_response()
        }
    }
}

/// How long it was between the requests.
pub fn gaps(asked: &[Asked]) -> Vec<Duration> {
    asked.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}
