//! Spans that join: one trace from a request to the view that shows what came of it.
//!
//! A message carries W3C trace context in `traceparent`. Here stands where a span takes it from and where it
//! puts its own; what a span is outside of this process, only the binary knows, and says by [`join_with`].
//! While nobody has said so there are no such spans, and asking for one costs a look at a flag.
//!
//! Spans for traces have the target [`TARGET`]; their fields are attributes of OpenTelemetry's semantic
//! conventions, all with a dot in their names. Spans for logs have names without. So neither gets into the
//! other's way. An attribute never holds what somebody typed, nor who it was.

use std::sync::OnceLock;

use maru_schemas::envelope::{Envelope, MESSAGE_ID, TRACEPARENT};
use tracing::Span;
use tracing::field::Empty;

use crate::publish::Outgoing;
use crate::subject::shape;
use crate::topology::EVENTS;

/// What spans for traces are known by.
pub const TARGET: &str = "maru_traces";

/// How spans stand in traces that go beyond this process.
pub trait Join: Send + Sync + 'static {
    /// The trace context of a span, for who follows from it.
    fn of(&self, span: &Span) -> Option<String>;
    /// The trace context of the span that the caller is in.
    fn here(&self) -> Option<String>;
    /// Makes a span, which nothing has been done in yet, a child of another one somewhere else.
    fn child(&self, span: &Span, parent: &str);
    /// Makes a span point to another one.
    fn link(&self, span: &Span, other: &str);
}

static JOIN: OnceLock<Box<dyn Join>> = OnceLock::new();

/// Says how spans join, once for the whole process. A second time it says nothing new.
pub fn join_with(join: impl Join) {
    let _ = JOIN.set(Box::new(join));
}

/// Whether spans go anywhere.
#[must_use]
pub fn are_kept() -> bool {
    JOIN.get().is_some()
}

/// The trace context that the caller is in.
#[must_use]
pub fn here() -> Option<String> {
    JOIN.get()?.here()
}

/// The trace context of a span.
#[must_use]
pub fn of(span: &Span) -> Option<String> {
    JOIN.get()?.of(span)
}

/// Makes a new span a child of the one with this trace context.
pub fn child(span: &Span, parent: Option<&str>) {
    if let (Some(join), Some(parent)) = (JOIN.get(), parent) {
        join.child(span, parent);
    }
}

/// Makes a span point to the one with this trace context.
pub fn link(span: &Span, other: Option<&str>) {
    if let (Some(join), Some(other)) = (JOIN.get(), other) {
        join.link(span, other);
    }
}

/// The id of the trace in a trace context; none if it is not one.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let is_hex = |text: &str, length| {
        let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == length && text.bytes().all(is_lower_hex)
    };
    let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|byte| byte != b'0');
    match traceparent.split('-').collect::<Vec<_>>()[..] {
        ["00", trace, span, flags] if is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2) => Some(trace),
        _ => None,
    }
}

/// Says that what a span is about failed, and by which of our codes.
pub fn failed(span: &Span, code: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", code);
}

/// The sending of a message into a stream. The message carries this span's trace context from here on. It
/// belongs to the trace that the message names, which need not be the caller's: whoever commits publishes what
/// others left in the outbox, too. A message that names none is in no trace.
pub(crate) fn sending(stream: &'static str, message: &mut Outgoing) -> Span {
    if !are_kept() {
        return Span::none();
    }
    let id = message.headers.iter().find(|(name, _)| *name == MESSAGE_ID);
    let id = id.map(|(_, id)| id.clone()).unwrap_or_default();
    let Some((_, context)) = message.headers.iter_mut().find(|(name, _)| *name == TRACEPARENT) else {
        return Span::none();
    };
    let shape = shape(&message.subject);
    let span = tracing::debug_span!(
        target: TARGET,
        "send",
        otel.name = format!("send {shape}"),
        otel.kind = "producer",
        otel.status_code = Empty,
        "error.type" = Empty,
        messaging.system = "nats",
        messaging.operation.name = "publish",
        "messaging.operation.type" = "send",
        messaging.destination.name = stream,
        messaging.destination.template = shape,
        messaging.message.id = id,
        messaging.message.body.size = message.body.len(),
        maru.sequence = Empty,
        maru.already = Empty,
    );
    // Where the caller is in the same trace, it is the nearer parent.
    if here().as_deref().and_then(trace_id) != trace_id(context) {
        child(&span, Some(context));
    }
    if let Some(own) = of(&span) {
        *context = own;
    }
    span
}

/// The work of a lane on a message.
pub(crate) fn processing(stream: &str, lane: &str, subject: &str, envelope: &Envelope, attempt: u32) -> Span {
    let span = tracing::debug_span!(
        target: TARGET,
        parent: None,
        "process",
        otel.name = format!("process {stream}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        "error.type" = Empty,
        messaging.system = "nats",
        messaging.operation.name = "process",
        "messaging.operation.type" = "process",
        messaging.destination.name = stream,
        messaging.destination.template = shape(subject),
        messaging.consumer.group.name = lane,
        messaging.message.id = display(envelope.id),
        messaging.message.conversation_id = display(envelope.correlation),
        maru.attempt = attempt,
        maru.verdict = Empty,
    );
    child(&span, envelope.traceparent.as_deref());
    span
}

/// Deciding a command and committing what follows, further tries included.
pub(crate) fn transaction(context: &'static str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "transaction",
        otel.name = format!("transact {context}"),
        otel.kind = "client",
        otel.status_code = Empty,
        "error.type" = Empty,
        db.system.name = "surrealdb",
        db.operation.name = "transact",
        db.collection.name = context,
    )
}

/// The folding of a batch of events into a view.
pub(crate) fn folding(view: &'static str, events: usize) -> Span {
    tracing::debug_span!(
        target: TARGET,
        parent: None,
        "fold",
        otel.name = format!("fold {view}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        "error.type" = Empty,
        messaging.system = "nats",
        messaging.operation.name = "fold",
        "messaging.operation.type" = "process",
        messaging.destination.name = EVENTS,
        messaging.batch.message_count = events,
        maru.view = view,
    )
}

/// That a view shows what an event says: in the event's own trace, from the commit of its batch on.
pub(crate) fn showing(view: &'static str, seq: u64, envelope: &Envelope) -> Span {
    let span = tracing::debug_span!(
        target: TARGET,
        parent: None,
        "show",
        otel.name = format!("show {view}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        "error.type" = Empty,
        messaging.system = "nats",
        messaging.operation.name = "show",
        "messaging.operation.type" = "process",
        messaging.destination.name = EVENTS,
        messaging.message.id = display(envelope.id),
        maru.view = view,
        maru.sequence = seq,
    );
    child(&span, envelope.traceparent.as_deref());
    span
}

#[cfg(test)]
mod tests {
    use super::trace_id;

    #[test]
    fn a_trace_context_is_read_as_strictly_as_the_standard_says() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_id(&format!("00-{trace}-b7ad6b7169203331-01")), Some(trace));
        for bad in [
            "",
            "nonsense",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
