//! What lies around the outside world so that it can be watched: how long each call took, how it ended, and
//! its span in the trace of the job that made it. What was said stays out of all of that.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, BoxStream, StreamExt};
use maru_streams::spans::{self, TARGET};
use maru_streams::tracing::field::Empty;
use maru_streams::tracing::{Instrument, Span};
use maru_streams::{metrics, tracing};
use uuid::Uuid;

use super::ai::{Ai, AiError, ImageBrief, Piece, StoryBrief};
use super::bank::{Answer, Bank, Charge, NoAnswer};

/// Who writes and paints, watched.
pub struct WatchedAi(pub Arc<dyn Ai>);

/// A call to who writes or paints. Dropped before its end, it was broken off.
struct AiCall {
    what: &'static str,
    span: Span,
    since: Instant,
    has_begun: bool,
    has_ended: bool,
}

impl AiCall {
    fn new(what: &'static str, verb: &'static str) -> Self {
        Self {
            what,
            span: tracing::debug_span!(
                target: TARGET,
                "call",
                otel.name = format!("{verb} {what}"),
                otel.kind = "client",
                otel.status_code = Empty,
                "error.type" = Empty,
                gen_ai.operation.name = "generate_content",
                gen_ai.usage.input_tokens = Empty,
                gen_ai.usage.output_tokens = Empty,
            ),
            since: Instant::now(),
            has_begun: false,
            has_ended: false,
        }
    }

    fn said_something(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            metrics::histogram!("maru_ai_first_piece_seconds").record(self.since.elapsed());
        }
    }

    fn ends(&mut self, failed: Option<&AiError>) {
        let outcome = match failed {
            None => "done",
            Some(AiError::Unavailable { .. }) => "unavailable",
            Some(AiError::Refused(_)) => "refused",
            Some(AiError::Unusable(_)) => "unusable",
        };
        if failed.is_some() {
            spans::failed(&self.span, outcome);
        }
        self.count(outcome);
        metrics::histogram!("maru_ai_call_seconds", "what" => self.what).record(self.since.elapsed());
    }

    fn count(&mut self, outcome: &'static str) {
        self.has_ended = true;
        metrics::counter!("maru_ai_calls_total", "what" => self.what, "outcome" => outcome).increment(1);
    }
}

impl Drop for AiCall {
    fn drop(&mut self) {
        if !self.has_ended {
            self.count("cancelled");
        }
    }
}

impl Ai for WatchedAi {
    fn write_story<'a>(&'a self, brief: &'a StoryBrief, so_far: &'a str) -> BoxStream<'a, Result<Piece, AiError>> {
        let watched = (self.0.write_story(brief, so_far), AiCall::new("story", "write"));
        stream::unfold(watched, |(mut pieces, mut call)| async move {
            if call.has_ended {
                return None;
            }
            let piece = pieces.next().instrument(call.span.clone()).await;
            match &piece {
                Some(Ok(_)) => call.said_something(),
                Some(Err(error)) => call.ends(Some(error)),
                None => call.ends(None),
            }
            piece.map(|piece| (piece, (pieces, call)))
        })
        .boxed()
    }

    fn paint_image<'a>(&'a self, brief: &'a ImageBrief) -> BoxFuture<'a, Result<Vec<u8>, AiError>> {
        let mut call = AiCall::new("image", "paint");
        async move {
            let painted = self.0.paint_image(brief).instrument(call.span.clone()).await;
            call.ends(painted.as_ref().err());
            painted
        }
        .boxed()
    }
}

/// How many tokens a provider says it counted for the call that this is within.
pub(super) fn tokens(what: &'static str, input: Option<u64>, output: Option<u64>) {
    let span = Span::current();
    if let Some(input) = input {
        span.record("gen_ai.usage.input_tokens", input);
        metrics::counter!("maru_ai_tokens_total", "what" => what, "side" => "input").increment(input);
    }
    if let Some(output) = output {
        span.record("gen_ai.usage.output_tokens", output);
        metrics::counter!("maru_ai_tokens_total", "what" => what, "side" => "output").increment(output);
    }
}

/// Who takes money and gives it back, watched.
pub struct WatchedBank(pub Arc<dyn Bank>);

/// A call to the bank. Dropped before its end, there was no answer in time.
struct BankCall {
    call: &'static str,
    span: Span,
    since: Instant,
    outcome: &'static str,
}

impl BankCall {
    fn new(call: &'static str) -> Self {
        Self {
            call,
            span: tracing::debug_span!(
                target: TARGET,
                "call",
                otel.name = format!("bank {call}"),
                otel.kind = "client",
                otel.status_code = Empty,
                "error.type" = Empty,
                maru.bank.outcome = Empty,
            ),
            since: Instant::now(),
            outcome: "unavailable",
        }
    }

    async fn made<T>(
        mut self,
        asked: impl Future<Output = Result<T, NoAnswer>>,
        outcome: impl FnOnce(&T) -> &'static str,
    ) -> Result<T, NoAnswer> {
        let answer = asked.instrument(self.span.clone()).await;
        if let Ok(answer) = &answer {
            self.outcome = outcome(answer);
        }
        answer
    }
}

impl Drop for BankCall {
    fn drop(&mut self) {
        self.span.record("maru.bank.outcome", self.outcome);
        if self.outcome == "unavailable" {
            spans::failed(&self.span, self.outcome);
        }
        metrics::counter!("maru_bank_calls_total", "call" => self.call, "outcome" => self.outcome).increment(1);
        metrics::histogram!("maru_bank_call_seconds", "call" => self.call).record(self.since.elapsed());
    }
}

impl Bank for WatchedBank {
    fn charge(&self, charge: Charge) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
        let outcome = |answer: &Answer| match answer {
            Answer::Approved => "approved",
            Answer::Declined(_) => "declined",
        };
        BankCall::new("charge").made(self.0.charge(charge), outcome).boxed()
    }

    fn refund(&self, key: Uuid) -> BoxFuture<'_, Result<(), NoAnswer>> {
        BankCall::new("refund")
            .made(self.0.refund(key), |()| "approved")
            .boxed()
    }

    fn cancel(&self, key: Uuid) -> BoxFuture<'_, Result<bool, NoAnswer>> {
        BankCall::new("cancel").made(self.0.cancel(key), |_| "approved").boxed()
    }
}
