//! Where lines of the log go, and which.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::lines::Lines;
use super::traces::{self, TracesError};

/// The storage engine warns at every clean end that it was closed already; its errors are still seen. The database's
/// client calls it an error when nobody waits for an answer any more, which happens with every request that is broken
/// off; whoever still waits for one gets its errors, and Maru says itself when a database is away.
const USUAL: &str = "info,surrealdb=warn,surrealdb::engine::remote::ws=off,surrealkv=error,async_nats=warn,\
                     apalis_core=warn,opentelemetry=warn";

/// Turns logging on, and traces if a collector is named; `service` is what this process is called there.
/// `RUST_LOG` says otherwise what is to be seen.
pub fn log(service: &'static str) -> Result<(), TracesError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL));
    // It logs whole answers, and a provider's answer may repeat the prompt. Not even RUST_LOG turns it on.
    let filter = match "async_openai=off".parse() {
        Ok(silence) => filter.add_directive(silence),
        Err(_) => filter,
    };
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if std::io::stderr().is_terminal() {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .compact()
            .boxed()
    } else {
        Lines.boxed()
    };
    match traces::layer(service)? {
        // What is not to be seen in the log may be in a trace.
        Some(traces) => tracing_subscriber::registry()
            .with(vec![lines.with_filter(filter).boxed(), traces])
            .init(),
        None => tracing_subscriber::registry().with(lines).with(filter).init(),
    }
    Ok(())
}
