//! A collector of traces: an OTLP server that keeps what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A span as it was sent.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Who sent it.
    pub service: String,
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub name: String,
    /// 2 is a server, 3 a client, 4 a producer, 5 a consumer.
    pub kind: i32,
    pub attributes: BTreeMap<String, String>,
    /// The traces it points to.
    pub links: Vec<String>,
    pub is_error: bool,
    /// In nanoseconds since 1970.
    pub ended: u64,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Seen>>>);

/// The server. Dropping it shuts it down.
pub struct Collector {
    kept: Kept,
    port: u16,
    task: JoinHandle<()>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn told(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let told = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.clone()) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.clone(), told(pair))).collect()
}

fn seen(service: &str, span: &Span) -> Seen {
    Seen {
        service: service.to_owned(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name.clone(),
        kind: span.kind,
        attributes: told(&span.attributes),
        links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
        is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
        ended: span.end_time_unix_nano,
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().expect("a lock");
        for resource in &request.get_ref().resource_spans {
            let about = resource.resource.as_ref().map(|resource| told(&resource.attributes));
            let service = about
                .and_then(|mut about| about.remove("service.name"))
                .unwrap_or_default();
            let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
            kept.extend(spans.map(|span| seen(&service, span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let kept = Kept::default();
        let server = Server::builder()
            .add_service(TraceServiceServer::new(kept.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move { server.await.expect("serve") });
        Self { kept, port, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn everything(&self) -> Vec<Seen> {
        self.kept.0.lock().expect("a lock").clone()
    }

    /// The spans of one trace.
    pub fn trace(&self, trace: &str) -> Trace {
        let mut spans = self.everything();
        spans.retain(|span| span.trace == trace);
        Trace(spans)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The spans of one trace.
#[derive(Debug)]
pub struct Trace(pub Vec<Seen>);

impl Trace {
    /// The spans of this name.
    pub fn named(&self, name: &str) -> Vec<&Seen> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    /// The names from a span up to the beginning of its trace; the last is the id of a parent that is not there.
    pub fn way_up(&self, from: &Seen) -> Vec<String> {
        let mut way = vec![from.name.clone()];
        let mut parent = from.parent.clone();
        while let Some(span) = self.0.iter().find(|span| span.id == parent) {
            way.push(span.name.clone());
            parent.clone_from(&span.parent);
            assert!(way.len() < 50, "a ring: {way:?}");
        }
        way.push(parent);
        way
    }
}
