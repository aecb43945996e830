//! How a request is sent. The job has the patience (three retries, seconds apart); here a request is
//! sent again at once only if it never reached the server, so that one attempt is one request in the
//! provider's log.

use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::{HttpRequestFactory, ReqwestService};
use futures_util::future::BoxFuture;

/// The server is there and asks to be left alone for a while.
#[derive(Debug, thiserror::Error)]
#[error("status {status}")]
pub(super) struct Busy {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
}

/// Sends a request, and once more if no connection could be made.
#[derive(Clone)]
pub(super) struct Once(pub(super) ReqwestService);

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

/// The server answered in one piece, though it was asked for a stream: not every one can.
#[derive(Debug, thiserror::Error)]
#[error("an answer in one piece")]
pub(super) struct Whole(pub(super) String);

/// Sends a request for a stream. The client reads every answer to one as events; what is none is handed
/// out as it is, beside it.
#[derive(Clone)]
pub(super) struct Streamed(pub(super) Once);

impl tower_service::Service<HttpRequestFactory> for Streamed {
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<reqwest::Response, OpenAIError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let asked = self.0.call(request);
        Box::pin(async move {
            let answer = asked.await?;
            let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
            if !answer.status().is_success() || kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
                return Ok(answer);
            }
            Err(OpenAIError::Boxed(Box::new(Whole(answer.text().await?))))
        })
    }
}
