//! A story as it comes: piece by piece from who streams, in one piece from who does not, and behind what
//! there is from who can go on.

use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::types::stream::StreamResponse;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::sending::Whole;
use super::{OpenAi, read_error};
use crate::ports::ai::{AiError, Piece, StoryBrief};
use crate::ports::watched::tokens;

/// For whom stories are; the language follows what the author wrote.
const STORYTELLER: &str = "You write picture books for seven-year-old children in Korea. \
Write one complete story: warm, concrete and easy to read aloud, in short paragraphs, with a clear beginning, \
a small trouble and a good end. No violence, nothing frightening, no moralising. Use simple words that a \
seven-year-old knows. Write in the language of the title and synopsis. Answer with the story alone, no title, no remarks.";

/// Behind what the model is told to have said so far.
const GO_ON: &str = "You were interrupted. Go on exactly where your text stops, with the very next character, \
up to the end of the story. Repeat nothing of it, and add no remarks.";

/// How long one waits for what a story cost, when all of it is there.
const AFTERWORD: Duration = Duration::from_millis(500);

impl OpenAi {
    pub(super) fn story<'a>(&'a self, brief: &'a StoryBrief, so_far: &'a str) -> BoxStream<'a, Result<Piece, AiError>> {
        let goes_on = self.settings.story_continues;
        let anew = (!goes_on && !so_far.is_empty()).then_some(Ok(Piece::Anew));
        let asked = self.ask(brief, if goes_on { so_far } else { "" });
        let pieces = async move { Ok(stream::iter(anew).chain(asked.await?)) };
        stream::once(pieces).try_flatten().boxed()
    }

    async fn ask(
        &self,
        brief: &StoryBrief,
        so_far: &str,
    ) -> Result<BoxStream<'static, Result<Piece, AiError>>, AiError> {
        let mut messages = vec![
            json!({ "role": "system", "content": STORYTELLER }),
            json!({ "role": "user", "content": format!("Title: {}\nSynopsis: {}", brief.title, brief.synopsis) }),
        ];
        if !so_far.is_empty() {
            messages.push(json!({ "role": "assistant", "content": so_far }));
            messages.push(json!({ "role": "user", "content": GO_ON }));
        }
        // What it cost is said at the end by who is asked for that, and refused by who does not know the question.
        let counts = self.counts_tokens.get().copied();
        let told = self.tell(&messages, counts.unwrap_or(true)).await;
        match (told, counts) {
            (Err(AiError::Refused(_)), None) => {
                let told = self.tell(&messages, false).await?;
                let _ = self.counts_tokens.set(false);
                Ok(told)
            }
            (Ok(told), None) => {
                let _ = self.counts_tokens.set(true);
                Ok(told)
            }
            (told, Some(_)) | (told @ Err(_), None) => told,
        }
    }

    async fn tell(
        &self,
        messages: &[Value],
        counts_tokens: bool,
    ) -> Result<BoxStream<'static, Result<Piece, AiError>>, AiError> {
        let mut request = json!({
            "model": self.settings.story_model,
            "max_tokens": self.settings.story_max_tokens,
            "messages": messages,
            "stream": true,
        });
        if counts_tokens {
            request["stream_options"] = json!({ "include_usage": true });
        }
        let chat = self.streaming.chat();
        let asked = chat.create_stream_byot::<_, Value>(request);
        match timeout(self.settings.timeout, asked).await.map_err(|_| silent())? {
            Ok(chunks) => Ok(pieces(chunks, self.settings.timeout).boxed()),
            Err(OpenAIError::Boxed(error)) => match error.downcast::<Whole>() {
                Ok(whole) => Ok(stream::iter([in_one_piece(&whole.0)]).boxed()),
                Err(error) => Err(read_error(OpenAIError::Boxed(error))),
            },
            Err(error) => Err(read_error(error)),
        }
    }
}

/// The words of the chunks, up to the one that says why it is the last. A stream that ends without was
/// cut off on the way.
fn pieces(chunks: StreamResponse<Value>, silence: Duration) -> impl Stream<Item = Result<Piece, AiError>> {
    let cost = Cost::default();
    stream::try_unfold(
        (chunks, false, cost),
        move |(mut chunks, mut is_whole, mut cost)| async move {
            while !is_whole {
                let chunk = timeout(silence, chunks.next()).await.map_err(|_| silent())?;
                let chunk = chunk.ok_or_else(broke_off)?.map_err(read_error)?;
                cost.hear(&chunk);
                let choice = &chunk["choices"][0];
                declined(choice, &choice["delta"])?;
                is_whole = choice["finish_reason"].is_string();
                if let Some(words) = choice["delta"]["content"].as_str().filter(|words| !words.is_empty()) {
                    return Ok(Some((Piece::Words(words.to_owned()), (chunks, is_whole, cost))));
                }
            }
            // Behind the last words comes what they cost, from who says it. The story does not wait for it for long.
            while cost.is_unknown()
                && let Ok(Some(Ok(chunk))) = timeout(AFTERWORD, chunks.next()).await
            {
                cost.hear(&chunk);
            }
            cost.count();
            Ok(None)
        },
    )
}

/// What a story cost in tokens, as far as the provider says. Some say it with each chunk, and the last counts.
#[derive(Default)]
struct Cost {
    input: Option<u64>,
    output: Option<u64>,
}

impl Cost {
    fn hear(&mut self, chunk: &Value) {
        let usage = &chunk["usage"];
        self.input = usage["prompt_tokens"].as_u64().or(self.input);
        self.output = usage["completion_tokens"].as_u64().or(self.output);
    }

    const fn is_unknown(&self) -> bool {
        self.input.is_none() && self.output.is_none()
    }

    fn count(&self) {
        tokens("story", self.input, self.output);
    }
}

fn in_one_piece(answer: &str) -> Result<Piece, AiError> {
    let answer: Value = serde_json::from_str(answer)
        .map_err(|_| AiError::Unusable("it is not the JSON that was asked for".to_owned()))?;
    let mut cost = Cost::default();
    cost.hear(&answer);
    cost.count();
    let choice = &answer["choices"][0];
    declined(choice, &choice["message"])?;
    let story = choice["message"]["content"].as_str().unwrap_or_default();
    Ok(Piece::Words(story.to_owned()))
}

/// Whether the model said no, in one of the two ways it has.
fn declined(choice: &Value, said: &Value) -> Result<(), AiError> {
    if choice["finish_reason"] == "content_filter" || !said["refusal"].is_null() {
        return Err(AiError::Refused("the model declined to write this".to_owned()));
    }
    Ok(())
}

fn silent() -> AiError {
    AiError::Unavailable {
        why: "no answer in time".to_owned(),
        retry_after: None,
    }
}

fn broke_off() -> AiError {
    AiError::Unavailable {
        why: "the answer broke off".to_owned(),
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn words(words: &str) -> Value {
        json!({ "choices": [{ "delta": { "content": words, "refusal": null }, "finish_reason": null }] })
    }

    fn last(reason: &str) -> Value {
        json!({ "choices": [{ "delta": {}, "finish_reason": reason }] })
    }

    /// What is told of these chunks, behind which nothing more is said.
    async fn told(chunks: &[Value]) -> (String, Result<(), AiError>) {
        let chunks: Vec<Result<Value, OpenAIError>> = chunks.iter().cloned().map(Ok).collect();
        of(stream::iter(chunks).boxed()).await
    }

    async fn of(chunks: StreamResponse<Value>) -> (String, Result<(), AiError>) {
        let mut text = String::new();
        let mut pieces = pin!(pieces(chunks, Duration::from_millis(20)));
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(Piece::Words(words)) => text.push_str(&words),
                Ok(Piece::Anew) => text.clear(),
                Err(error) => return (text, Err(error)),
            }
        }
        (text, Ok(()))
    }

    #[tokio::test]
    async fn a_story_is_whole_when_the_model_says_why_it_ends() {
        let usage = json!({ "choices": [], "usage": {} });
        let chunks = [
            words(""),
            words("Once "),
            usage,
            words("upon"),
            last("stop"),
            words("not any more"),
        ];
        assert_eq!(told(&chunks).await, ("Once upon".into(), Ok(())));
        assert_eq!(told(&[words("Long"), last("length")]).await, ("Long".into(), Ok(())));
        assert_eq!(told(&[last("stop")]).await, (String::new(), Ok(())));
    }

    #[tokio::test]
    async fn a_story_that_ends_without_a_reason_was_cut_off() {
        assert_eq!(told(&[words("Once")]).await, ("Once".into(), Err(broke_off())));
        assert_eq!(told(&[json!({ "error": {} })]).await, (String::new(), Err(broke_off())));
    }

    #[tokio::test]
    async fn who_is_silent_for_too_long_is_not_waited_for() {
        let chunks = stream::iter([Ok(words("Once"))]).chain(stream::pending()).boxed();
        assert_eq!(of(chunks).await, ("Once".into(), Err(silent())));
    }

    #[tokio::test]
    async fn a_model_says_no_in_the_middle_too() {
        let no = json!({ "choices": [{ "delta": { "refusal": "No." }, "finish_reason": null }] });
        for no in [no, last("content_filter")] {
            let (text, end) = told(&[words("Once"), no]).await;
            assert_eq!(text, "Once");
            assert!(matches!(end, Err(AiError::Refused(_))), "{end:?}");
        }
    }

    #[test]
    fn an_answer_in_one_piece_is_read_like_any_other() {
        let whole =
            |message: Value| json!({ "choices": [{ "finish_reason": "stop", "message": message }] }).to_string();
        let story = in_one_piece(&whole(json!({ "content": "Once" })));
        assert_eq!(story, Ok(Piece::Words("Once".into())));
        assert!(matches!(
            in_one_piece(&whole(json!({ "refusal": "No." }))),
            Err(AiError::Refused(_))
        ));
        assert!(matches!(in_one_piece("<html>"), Err(AiError::Unusable(_))));
    }
}
