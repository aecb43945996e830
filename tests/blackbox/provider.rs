//! FAKE-AI: an OpenAI-compatible server that does what the test tells it, and keeps a log of what it
//! was asked and when. Who asks for a stream gets the story in pieces; who says what there is of it
//! already gets the rest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const STORY: &str = "옛날 옛적에 작은 고래가 살았어요. 🐋\n\n\"Good night,\" said the star.";
pub const ANOTHER: &str = "There was a crab who could not sleep.";
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
    /// A good answer after so long.
    Slow(Duration),
    /// So many characters of the story, and the rest once the test lets it go.
    HeldAfter(usize),
    /// So many characters of the story, and once the test lets it go it ends, though there is more.
    BreaksAfter(usize),
    /// Another story.
    Another,
    /// A story that is not streamed, though asked for as a stream.
    InOnePiece,
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
    broken_off: AtomicUsize,
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
            broken_off: AtomicUsize::new(0),
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

    /// How many answers the other side did not wait for.
    pub fn broken_off(&self) -> usize {
        self.inside.broken_off.load(Ordering::SeqCst)
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

/// An answer under way; dropped before its end, it was broken off by the other side.
struct UnderWay(Arc<Inside>, bool);

impl UnderWay {
    fn ends(&mut self) {
        self.1 = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.1 {
            self.0.broken_off.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Inside {
    async fn let_go(&self) {
        let mut gate = self.gate.subscribe();
        let let_go = gate.wait_for(|open| *open).await;
        drop(let_go);
    }

    /// What is to be answered to this request, which goes into the log.
    fn wanted(&self, desk: Desks, headers: &HeaderMap, body: &Value) -> Answer {
        let mut desk = self.desk(desk).lock().expect("a lock");
        let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
        desk.log.push(Asked {
            at: Instant::now(),
            body: body.clone(),
            authorization: authorization.unwrap_or_default().to_owned(),
        });
        desk.next
            .pop_front()
            .or_else(|| desk.rule.clone())
            .unwrap_or(Answer::Good)
    }
}

async fn chat(State(inside): State<Arc<Inside>>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let so_far = body["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|message| message["role"] == "assistant")
        .filter_map(|message| message["content"].as_str())
        .next_back();
    let story = so_far.and_then(|so_far| STORY.strip_prefix(so_far)).unwrap_or(STORY);
    let whole = |content: &str| {
        Json(json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fake",
            "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": content } }],
            "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
        }))
        .into_response()
    };
    let is_streamed = body["stream"] == true;
    let good = |story: &str| match is_streamed {
        true => streamed(&inside, story, None, false),
        false => whole(story),
    };
    match inside.wanted(Desks::Chat, &headers, &body) {
        Answer::Good => good(story),
        Answer::Another => good(ANOTHER),
        Answer::Empty => good("  \n"),
        Answer::Slow(wait) => {
            tokio::time::sleep(wait).await;
            good(story)
        }
        Answer::Held => {
            held(&inside).await;
            good(story)
        }
        Answer::HeldAfter(characters) => streamed(&inside, story, Some(characters), false),
        Answer::BreaksAfter(characters) => streamed(&inside, story, Some(characters), true),
        Answer::InOnePiece => whole(story),
        bad => badly(bad).await,
    }
}

async fn images(State(inside): State<Arc<Inside>>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let good = || Json(json!({ "created": 1, "data": [{ "b64_json": PNG }] })).into_response();
    match inside.wanted(Desks::Images, &headers, &body) {
        Answer::Good => good(),
        Answer::Empty => Json(json!({ "created": 1, "data": [] })).into_response(),
        Answer::Slow(wait) => {
            tokio::time::sleep(wait).await;
            good()
        }
        Answer::Held => {
            held(&inside).await;
            good()
        }
        bad => badly(bad).await,
    }
}

async fn held(inside: &Arc<Inside>) {
    let mut under_way = UnderWay(Arc::clone(inside), false);
    inside.let_go().await;
    under_way.ends();
}

/// A story as chunks of a few characters. After `pause` characters it waits until the test lets it go,
/// or breaks off.
fn streamed(inside: &Arc<Inside>, story: &str, pause: Option<usize>, breaks: bool) -> Response {
    let chunk = |delta: Value, reason: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        format!(
            "data: {}\n\n",
            json!({ "object": "chat.completion.chunk", "choices": [choice] })
        )
    };
    let letters: Vec<char> = story.chars().collect();
    let mut pieces: Vec<Option<String>> = vec![Some(chunk(json!({ "role": "assistant", "content": "" }), Value::Null))];
    let (before, after) = letters.split_at(pause.unwrap_or(letters.len()).min(letters.len()));
    let words = |letters: &[char]| -> Vec<Option<String>> {
        let words = letters.chunks(3).map(|few| few.iter().collect::<String>());
        words
            .map(|words| Some(chunk(json!({ "content": words }), Value::Null)))
            .collect()
    };
    pieces.extend(words(before));
    if pause.is_some() {
        pieces.push(None);
    }
    pieces.extend(words(after));
    pieces.push(Some(chunk(json!({}), json!("stop"))));
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 11 } });
    pieces.push(Some(format!("data: {usage}\n\n")));
    pieces.push(Some("data: [DONE]\n\n".to_owned()));
    let left = (VecDeque::from(pieces), UnderWay(Arc::clone(inside), false));
    let body = stream::unfold(left, move |(mut pieces, mut under_way)| async move {
        let Some(piece) = pieces.pop_front() else {
            under_way.ends();
            return None;
        };
        let piece = match piece {
            Some(piece) => piece,
            None => {
                under_way.0.let_go().await;
                if breaks {
                    under_way.ends();
                    return None;
                }
                ": going on\n\n".to_owned()
            }
        };
        Some((Ok::<_, std::io::Error>(piece), (pieces, under_way)))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
}

async fn badly(wanted: Answer) -> Response {
    // A provider's own words may repeat the prompt: Maru must not keep them.
    let error = json!({ "error": { "message": "PROVIDER-WORDS about your prompt", "type": "server_error" } });
    match wanted {
        Answer::Busy(seconds) => {
            let headers = [("retry-after", seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers, Json(error)).into_response()
        }
        Answer::Status(status) => (StatusCode::from_u16(status).expect("a status"), Json(error)).into_response(),
        Answer::Nonsense => "<html>it works!</html>".into_response(),
        Answer::OtherShape => Json(json!({ "hello": "world" })).into_response(),
        Answer::Hang => std::future::pending().await,
        other => panic!("{other:?} is not for here"),
    }
}

/// How long it was between the requests.
pub fn gaps(asked: &[Asked]) -> Vec<Duration> {
    asked.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}
