//! A line of the log as one flat JSON object: what happened, and what is known of the request or message that
//! it happened for (`requestId`, `traceId`, `commandId`), whoever wrote the line.
//!
//! Names with a dot in them are for traces and are left out.

use std::fmt;
use std::io::Write;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Writes lines to the standard error output.
pub struct Lines;

/// What is known in a span, or said by an event.
#[derive(Debug, Default)]
struct Known {
    fields: Map<String, Value>,
    /// Where a line came from that was written through the older interface.
    target: Option<String>,
}

impl Known {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "log.target" => self.target = value.as_str().map(str::to_owned),
            name if name.contains('.') => {}
            name => {
                self.fields.insert(name.trim_start_matches("r#").to_owned(), value);
            }
        }
    }
}

impl Visit for Known {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

fn now() -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// The line, from what is said and what the spans around it know, the innermost first.
fn line<'k>(at: String, level: &str, target: &str, said: Known, around: impl Iterator<Item = &'k Known>) -> Value {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), at.into());
    line.insert("level".to_owned(), level.into());
    line.insert("target".to_owned(), said.target.as_deref().unwrap_or(target).into());
    let mut said = said.fields;
    if let Some(message) = said.shift_remove("message") {
        line.insert("message".to_owned(), message);
    }
    let known = around.flat_map(|known| known.fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    for (name, value) in said.into_iter().chain(known) {
        line.entry(name).or_insert(value);
    }
    Value::Object(line)
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut known = Known::default();
            attributes.record(&mut known);
            span.extensions_mut().insert(known);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<Known>()
        {
            values.record(known);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Known::default();
        event.record(&mut said);
        let spans: Vec<_> = context.event_scope(event).into_iter().flatten().collect();
        let extensions: Vec<_> = spans.iter().map(|span| span.extensions()).collect();
        let around = extensions.iter().filter_map(|extensions| extensions.get::<Known>());
        let metadata = event.metadata();
        let line = line(now(), metadata.level().as_str(), metadata.target(), said, around);
        // Whoever reads the log may be gone; that is no reason to stop.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(fields: Value) -> Known {
        match fields {
            Value::Object(fields) => Known { fields, target: None },
            _ => Known::default(),
        }
    }

    #[test]
    fn a_line_is_flat_and_what_is_said_stands_before_what_is_known() {
        let said = known(json!({ "id": "a", "message": "trying again", "attempt": 2 }));
        let inner = known(json!({ "attempt": 1, "lane": "cmd-books" }));
        let outer = known(json!({ "lane": "another", "requestId": "r" }));
        let line = line("now".into(), "INFO", "maru", said, [&inner, &outer].into_iter());
        let expected = json!({
            "timestamp": "now", "level": "INFO", "target": "maru", "message": "trying again",
            "id": "a", "attempt": 2, "lane": "cmd-books", "requestId": "r",
        });
        assert_eq!(line, expected);
    }
}
