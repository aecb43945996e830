//! Traces over OTLP, when `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector. The other settings are the standard's
//! and read by the SDK: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER` and its argument,
//! `OTEL_BSP_…`, `OTEL_EXPORTER_OTLP_HEADERS` and `…_TIMEOUT`.
//!
//! Only spans with the target of [`maru_streams::spans`] go there, and no lines of the log.

use std::sync::OnceLock;

use maru_streams::spans::{self, Join, TARGET};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};
use uuid::Uuid;

/// Where spans go.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Spans cannot be sent as the settings say.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent where OTEL_EXPORTER_OTLP_ENDPOINT says (gRPC without TLS, http://host:4317)")]
pub struct TracesError(#[from] ExporterBuildError);

/// What makes traces of spans, if a collector is named.
pub(super) fn layer(service: &'static str) -> Result<Option<Box<dyn Layer<Registry> + Send + Sync>>, TracesError> {
    if std::env::var_os(ENDPOINT).is_none_or(|endpoint| endpoint.is_empty()) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_tonic().build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource(service))
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("maru"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(
            filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET)
                .with_max_level_hint(LevelFilter::DEBUG),
        );
    let _ = PROVIDER.set(provider);
    spans::join_with(Traces);
    Ok(Some(layer.boxed()))
}

/// Who sends them. What the environment says comes before what we say.
fn resource(service: &'static str) -> Resource {
    let given = Resource::builder().build();
    let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some()
        || given
            .get(&Key::from_static_str("service.name"))
            .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    #[expect(
        clippy::disallowed_methods,
        reason = "a process is a new one each time, and nothing is repeated under this"
    )]
    let ours = [
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", Uuid::new_v4().to_string()),
    ];
    let ours = ours
        .into_iter()
        .filter(|(name, _)| given.get(&Key::from_static_str(name)).is_none())
        .map(|(name, value)| KeyValue::new(name, value));
    let resource = Resource::builder().with_attributes(ours);
    match is_named {
        true => resource.build(),
        false => resource.with_service_name(service).build(),
    }
}

/// Sends what is not sent yet. Nothing can be traced any more after it.
pub async fn end() {
    let Some(provider) = PROVIDER.get() else { return };
    match tokio::task::spawn_blocking(|| provider.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last spans could not be sent"),
        Err(error) => tracing::warn!(%error, "the last spans could not be sent"),
    }
}

/// Spans of this process in traces of the world.
struct Traces;

impl Join for Traces {
    fn of(&self, span: &Span) -> Option<String> {
        written(span.context().span().span_context())
    }

    fn here(&self) -> Option<String> {
        written(Context::current().span().span_context())
    }

    fn child(&self, span: &Span, parent: &str) {
        if let Some(parent) = read(parent) {
            // A span that was begun before keeps its parent; a disabled one has none.
            let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        }
    }

    fn link(&self, span: &Span, other: &str) {
        if let Some(other) = read(other) {
            span.add_link(other);
        }
    }
}

/// W3C trace context.
fn written(context: &SpanContext) -> Option<String> {
    let (trace, span) = (context.trace_id(), context.span_id());
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    context
        .is_valid()
        .then(|| format!("00-{trace}-{span}-{:02x}", flags.to_u8()))
}

fn read(traceparent: &str) -> Option<SpanContext> {
    spans::trace_id(traceparent)?;
    let mut parts = traceparent.split('-').skip(1);
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    Some(SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    ))
}

#[cfg(test)]
mod tests {
    use super::{read, written};

    #[test]
    fn what_is_read_is_what_was_written() {
        for context in [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        ] {
            let read = read(context);
            assert_eq!(read.as_ref().and_then(written).as_deref(), Some(context));
        }
        assert!(read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz").is_none());
    }
}
