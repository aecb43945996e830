//! Any OpenAI-compatible server: chat completions for stories, image generations for pictures.
//!
//! Requests are plain JSON, because servers differ in what they accept and leave out. How a story comes
//! piece by piece is in `story`, how a request is sent in `sending`.

mod sending;
mod story;

use std::sync::OnceLock;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::ReqwestService;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use self::sending::{Busy, Once, Streamed};
use super::ai::{Ai, AiError, ImageBrief, Piece, StoryBrief};
use super::watched::tokens;

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
    /// Whether it can go on behind a story that was cut off; if not, such a story is begun anew.
    pub story_continues: bool,
    /// How long an image may take, and how long a story may wait for its next piece.
    pub timeout: Duration,
}

/// An OpenAI-compatible server.
pub struct OpenAi {
    client: Client<OpenAIConfig>,
    /// Without a time for the whole answer: a story takes as long as its pieces keep coming.
    streaming: Client<OpenAIConfig>,
    settings: OpenAiSettings,
    /// Whether the server says what a streamed story cost; nobody knows before the first one.
    counts_tokens: OnceLock<bool>,
}

impl OpenAi {
    /// A client of the server.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(settings: OpenAiSettings) -> Result<Self, reqwest::Error> {
        let http = || reqwest::Client::builder().connect_timeout(Duration::from_secs(5));
        let whole = Once(ReqwestService::new(http().timeout(settings.timeout).build()?));
        let streamed = Streamed(Once(ReqwestService::new(http().build()?)));
        let config = OpenAIConfig::new()
            .with_api_base(settings.base_url.trim_end_matches('/'))
            .with_api_key(settings.api_key.expose_secret());
        Ok(Self {
            client: Client::with_config(config.clone()).with_http_service(whole),
            streaming: Client::with_config(config).with_http_service(streamed),
            settings,
            counts_tokens: OnceLock::new(),
        })
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
        let usage = &answer["usage"];
        tokens("image", usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64());
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
    fn write_story<'a>(&'a self, brief: &'a StoryBrief, so_far: &'a str) -> BoxStream<'a, Result<Piece, AiError>> {
        self.story(brief, so_far)
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
        OpenAIError::Reqwest(_) | OpenAIError::StreamError(_) => unavailable("the connection broke".to_owned()),
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
