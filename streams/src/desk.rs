//! The operators' desk: what people who look after Maru may ask of it, under one name each.
//!
//! ```text
//! maru views status ─┐                    ┌─ ask("views.status", {}) ─▶ answer, with progress on the way
//! GET /v1/ops/views ─┴─ ops.views.status ─┴─ answered by one process that has workers
//! ```
//!
//! Whoever has the database and the workers answers; the command line and the door only ask. So both say
//! the same, an embedded database is never opened twice, and nothing is written two times over. Questions
//! and answers are JSON. They are core NATS messages, which nobody keeps: a question whose asker is gone is
//! given up, and asking again is always right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Request, RequestErrorKind};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::nats::Nats;

/// While an answer is being worked out, at least so often a word of progress.
const WORD_EVERY: Duration = Duration::from_secs(2);
/// Without any word for so long, whoever was to answer is gone.
const SILENCE: Duration = Duration::from_secs(10);

const SAYS: &str = "maru-desk";
/// What an answer's own header takes at the most.
const HEADER: usize = 256;
const TOO_LARGE: &str = "it is done, but the answer is larger than nats-server takes in one message: ask about less at a \
                         time (one lane, one reason, a limit)";

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// No process is there that could answer.
    #[error("no Maru with workers is running there; start one (`maru up`, `maru workers`) and ask again")]
    Nobody,
    /// Whoever was to answer is gone.
    #[error("the process that was to answer has fallen silent; ask again")]
    Silent,
    /// There is no such question, or not in this build.
    #[error("this build does not know how to answer `{0}`")]
    Unknown(String),
    /// The question is not what it should be; the sentence says how it should be.
    #[error("{0}")]
    Question(String),
    /// What was asked about is not there.
    #[error("{0}")]
    NotThere(String),
    /// It cannot be done now; the sentence says why and what to do.
    #[error("{0}")]
    Failed(String),
}

impl DeskError {
    /// From an error with its causes.
    pub fn failed(error: &dyn std::error::Error) -> Self {
        Self::Failed(crate::jobs::Reason::from_error("failed", error).detail)
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Silent => "silent",
            Self::Unknown(_) => "unknown",
            Self::Question(_) => "question",
            Self::NotThere(_) => "not_there",
            Self::Failed(_) => "failed",
        }
    }

    fn read(kind: &str, text: String) -> Self {
        match kind {
            "unknown" => Self::Unknown(text),
            "question" => Self::Question(text),
            "not_there" => Self::NotThere(text),
            _ => Self::Failed(text),
        }
    }
}

/// What an answer may be waited for with: the latest word of progress.
#[derive(Clone)]
pub struct Progress(watch::Sender<Value>);

impl Progress {
    /// Says how far it is. Only the newest word is passed on.
    pub fn say(&self, word: Value) {
        self.0.send_replace(word);
    }
}

/// What comes of a question.
pub type Answer = BoxFuture<'static, Result<Value, DeskError>>;
type Ask = Arc<dyn Fn(Value, Progress) -> Answer + Send + Sync>;

/// Every question that can be asked, with who answers it.
#[derive(Clone, Default)]
pub struct Desk {
    answers: BTreeMap<&'static str, Ask>,
}

impl Desk {
    /// Takes questions of this name: `views.status`. The parameters come as the question's JSON.
    #[must_use]
    pub fn answers<F>(mut self, name: &'static str, answer: F) -> Self
    where
        F: Fn(Value, Progress) -> Answer + Send + Sync + 'static,
    {
        self.answers.insert(name, Arc::new(answer));
        self
    }

    /// The names of all questions.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.answers.keys().copied()
    }

    /// Asks in this very process.
    ///
    /// # Errors
    /// What the answer says, or that there is no such question.
    pub async fn ask(&self, name: &str, question: Value, mut word: impl FnMut(Value)) -> Result<Value, DeskError> {
        let ask = self
            .answers
            .get(name)
            .ok_or_else(|| DeskError::Unknown(name.to_owned()))?;
        let (progress, mut words) = watch::channel(Value::Null);
        let mut answer = ask(question, Progress(progress));
        loop {
            tokio::select! {
                biased;
                Ok(()) = words.changed() => word(words.borrow_and_update().clone()),
                answer = &mut answer => return answer,
            }
        }
    }

    /// Answers questions until told to stop. Several processes may: one of them answers each question.
    pub async fn open(self, nats: Nats, stop: CancellationToken) {
        let mut questions = match nats.client().queue_subscribe("ops.>", "desk".to_owned()).await {
            Ok(questions) => questions,
            Err(error) => {
                tracing::error!(%error, "operators cannot ask this process anything");
                return;
            }
        };
        while let Some(Some(question)) = stop.run_until_cancelled(questions.next()).await {
            let (answering, stop) = (answer(self.clone(), nats.clone(), question), stop.clone());
            // What it works on ends with the process: it may hold the database open, or wait for ever.
            tokio::spawn(async move { stop.run_until_cancelled(answering).await });
        }
    }
}

async fn answer(desk: Desk, nats: Nats, question: async_nats::Message) {
    let Some(to) = question.reply else { return };
    let name = question.subject.as_str().trim_start_matches("ops.").to_owned();
    let say = |says: &'static str, body: Vec<u8>| {
        let mut headers = HeaderMap::new();
        headers.insert(SAYS, says);
        let (nats, to) = (nats.clone(), to.clone());
        async move {
            if let Err(error) = nats.client().publish_with_headers(to, headers, body.into()).await {
                tracing::debug!(%error, "an operator was not answered");
            }
        }
    };
    let (word, mut words) = watch::channel(Value::Null);
    let asked = serde_json::from_slice(&question.payload)
        .map_err(|error| DeskError::Question(format!("the question is not JSON: {error}")));
    let working = async {
        desk.ask(&name, asked?, |latest| {
            word.send_replace(latest);
        })
        .await
    };
    let outcome = tokio::select! {
        biased;
        outcome = working => outcome,
        // Waiting for a view to be built, say, may take for ever, and each try would leave one more who waits.
        () = nobody_listens(&nats, &to, &mut words) => return,
    };
    match outcome {
        Ok(answer) => {
            let answer = answer.to_string().into_bytes();
            if answer.len() + HEADER > nats.client().server_info().max_payload {
                return say(
                    DeskError::Failed(String::new()).kind(),
                    TOO_LARGE.to_owned().into_bytes(),
                )
                .await;
            }
            say("answer", answer).await;
        }
        Err(DeskError::Unknown(name)) => say("unknown", name.into_bytes()).await,
        Err(error) => say(error.kind(), error.to_string().into_bytes()).await,
    }
}

/// Passes words of progress on, until the server says that nobody listens to them any more.
async fn nobody_listens(nats: &Nats, to: &async_nats::Subject, words: &mut watch::Receiver<Value>) {
    let mut unheard = 0;
    // Said twice: another server of a cluster may hear of the one who asks a moment after it has heard the question.
    while unheard < 2 {
        let mut headers = HeaderMap::new();
        headers.insert(SAYS, "progress");
        let word = words.borrow_and_update().to_string();
        let request = Request::new()
            .headers(headers)
            .payload(word.into())
            .timeout(Some(WORD_EVERY));
        // Nobody answers a word of progress; that it was heard shows in the silence.
        match nats.client().send_request(to.clone(), request).await {
            Err(error) if error.kind() == RequestErrorKind::NoResponders => unheard += 1,
            _ => unheard = 0,
        }
        tokio::time::sleep(WORD_EVERY / 4).await;
    }
}

/// Asks whoever answers, and passes words of progress on.
///
/// # Errors
/// What the answer says, or that nobody is there to answer.
pub async fn ask(nats: &Nats, name: &str, question: &Value, mut word: impl FnMut(Value)) -> Result<Value, DeskError> {
    let unsaid = |error: &dyn std::error::Error| DeskError::failed(error);
    let inbox = nats.client().new_inbox();
    let mut words = nats
        .client()
        .subscribe(inbox.clone())
        .await
        .map_err(|error| unsaid(&error))?;
    nats.client()
        .publish_with_reply(format!("ops.{name}"), inbox, question.to_string().into())
        .await
        .map_err(|error| unsaid(&error))?;
    loop {
        let message = tokio::time::timeout(SILENCE, words.next())
            .await
            .ok()
            .flatten()
            .ok_or(DeskError::Silent)?;
        if message.status == Some(async_nats::StatusCode::NO_RESPONDERS) {
            return Err(DeskError::Nobody);
        }
        let says = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(SAYS))
            .map(|says| says.as_str().to_owned())
            .unwrap_or_default();
        match says.as_str() {
            "answer" => return serde_json::from_slice(&message.payload).map_err(|error| unsaid(&error)),
            "progress" => match serde_json::from_slice(&message.payload) {
                Ok(Value::Null) | Err(_) => {}
                Ok(latest) => word(latest),
            },
            kind => {
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                return Err(DeskError::read(kind, text));
            }
        }
    }
}
