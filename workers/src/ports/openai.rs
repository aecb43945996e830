//! Any OpenAI-compatible server: chat completions for stories, image generations for pictures.
//!
//! Requests are plain JSON, because servers differ in what they accept and leave out. The job has the
//! patience (three retries, seconds apart); here a request is sent again at once only if it never
//! reached the server, so that one attempt is one request in the provider's log.

use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::{HttpRequestFactory, ReqwestService};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::ai::{Ai, AiError, ImageBrief, StoryBrief};

/// For whom stories are; the language follows what the author wrote.
const STORYTELLER: &str = "You write picture books for seven-year-old children in Korea. \
Write one complete story: warm, concrete and easy to read aloud, in short paragraphs, with a clear beginning, \
a small trouble and a good end. No violence, nothing frightening, no moralising. Use simple words that a \
seven-year-old knows. Write in the language of the title and synopsis. Answer with the story alone, no title, no remarks.";

const PAINTER: &str = "A children's picture-book illustration, warm and friendly, soft colours, suited to \
seven-year-olds. No text, no letters. ";

/// The longest prompt part that is sent on; a story may be longer than an image model reads.
const LONGEST_ABOUT: usize = 3000;
/// The largest image that is taken.
const LARGEST_IMAGE: usize = 7 << 20;

/// Where the server is and what to ask it for.
#[derive(Debug, Clone)]
pub struct OpenAiSettings {
    /// Its base, with `/v1`.
    pub base_url: String,
    /// Its key.
    pub api_key: SecretString,
    /// The chat model.
    pub story_model: String,
    /// The image model.
    pub image_model: String,
    /// The most tokens of a story.
    pub story_max_tokens: u32,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// An OpenAI-compatible server.
pub struct OpenAi {
    client: Client<OpenAIConfig>,
    settings: OpenAiSettings,
}

impl OpenAi {
    /// A client of the server.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(settings: OpenAiSettings) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(Duration::from_secs(5))
            .build()?;
        let config = OpenAIConfig::new()
            .with_api_base(settings.base_url.trim_end_matches('/'))
            .with_api_key(settings.api_key.expose_secret());
        let client = Client::with_config(config).with_http_service(Once(ReqwestService::new(http)));
        Ok(Self { client, settings })
    }

    async fn story(&self, brief: &StoryBrief) -> Result<String, AiError> {
        let request = json!({
            "model": self.settings.story_model,
            "max_tokens": self.settings.story_max_tokens,
            "messages": [
                { "role": "system", "content": STORYTELLER },
                { "role": "user", "content": format!("Title: {}\nSynopsis: {}", brief.title, brief.synopsis) },
            ],
        });
        let answer: Value = self.client.chat().create_byot(request).await.map_err(read_error)?;
        let choice = &answer["choices"][0];
        let story = choice["message"]["content"].as_str().unwrap_or_default().trim();
        if choice["finish_reason"] == "content_filter" || !choice["message"]["refusal"].is_null() {
            return Err(AiError::Refused("the model declined to write this".to_owned()));
        }
        if story.is_empty() {
            return Err(AiError::Unusable("there is no story in it".to_owned()));
        }
        Ok(story.to_owned())
    }

    async fn image(&self, brief: &ImageBrief) -> Result<Vec<u8>, AiError> {
        let about: String = brief.about.chars().take(LONGEST_ABOUT).collect();
        let mut request = json!({
            "model": self.settings.image_model,
            "prompt": format!("{PAINTER}The book is called \"{}\". {about}", brief.title),
            "n": 1,
            "size": "1024x1024",
        });
        // The gpt-image models always answer in base64 and refuse to be asked for it.
        if !self.settings.image_model.contains("gpt-image") {
            request["response_format"] = "b64_json".into();
        }
        let answer: Value = self.client.images().generate_byot(request).await.map_err(read_error)?;
        let encoded = answer["data"][0]["b64_json"]
            .as_str()
            .ok_or_else(|| AiError::Unusable("there is no base64 image in it".to_owned()))?;
        let bytes = BASE64_STANDARD
            .decode(encoded.trim())
            .map_err(|_| AiError::Unusable("its image is not base64".to_owned()))?;
        if bytes.len() > LARGEST_IMAGE {
            return Err(AiError::Unusable(format!("its image has {} bytes", bytes.len())));
        }
        if maru_schemas::images::media_type(&bytes).is_none() {
            return Err(AiError::Unusable("its image is neither PNG, JPEG nor WebP".to_owned()));
        }
        Ok(bytes)
    }
}

impl Ai for OpenAi {
    fn write_story<'a>(&'a self, brief: &'a StoryBrief) -> BoxFuture<'a, Result<String, AiError>> {
        Box::pin(self.story(brief))
    }

    fn paint_image<'a>(&'a self, brief: &'a ImageBrief) -> BoxFuture<'a, Result<Vec<u8>, AiError>> {
        Box::pin(self.image(brief))
    }
}

/// Tells apart what may work later. Nothing of the provider's own words is kept: they may repeat the
/// prompt.
fn read_error(error: OpenAIError) -> AiError {
    let unavailable = |why: String| AiError::Unavailable { why, retry_after: None };
    match error {
        OpenAIError::ApiError(answer) => match answer.status_code.as_u16() {
            status @ (400 | 413 | 422) => AiError::Refused(format!("status {status}")),
            status => unavailable(format!("status {status}")),
        },
        OpenAIError::Reqwest(error) if error.is_timeout() => unavailable("no answer in time".to_owned()),
        OpenAIError::Reqwest(error) if error.is_connect() => unavailable("no connection".to_owned()),
        OpenAIError::Reqwest(_) => unavailable("the connection broke".to_owned()),
        OpenAIError::Boxed(error) => match error.downcast::<Busy>() {
            Ok(busy) => AiError::Unavailable {
                why: format!("status {}", busy.status),
                retry_after: busy.retry_after,
            },
            Err(_) => unavailable("the client failed".to_owned()),
        },
        OpenAIError::JSONDeserialize(..) => AiError::Unusable("it is not the JSON that was asked for".to_owned()),
        _ => AiError::Unusable("it is not an answer".to_owned()),
    }
}

/// The server is there and asks to be left alone for a while.
#[derive(Debug, thiserror::Error)]
#[error("status {status}")]
struct Busy {
    status: u16,
    retry_after: Option<Duration>,
}

/// Sends a request, and once more if no connection could be made.
#[derive(Clone)]
struct Once(ReqwestService);

impl tower_service::Service<HttpRequestFactory> for Once {
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<reqwest::Response, OpenAIError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let mut server = self.0.clone();
        Box::pin(async move {
            let answer = match server.call(request.clone()).await {
                Err(OpenAIError::Reqwest(error)) if error.is_connect() => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    server.call(request).await?
                }
                answer => answer?,
            };
            let status = answer.status().as_u16();
            if matches!(status, 429 | 503) {
                let retry_after = answer
                    .headers()
                    .get("retry-after")
                    .and_then(|value| value.to_str().ok()?.parse().ok())
                    .map(Duration::from_secs);
                return Err(OpenAIError::Boxed(Box::new(Busy { status, retry_after })));
            }
            Ok(answer)
        })
    }
}
