//! A real OTLP receiver, and what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) id: Vec<u8>,
    pub(crate) parent: Vec<u8>,
}

/// The spans of each trace.
type Traces = BTreeMap<Vec<u8>, Vec<Span>>;

/// A receiver on this machine's loopback; it ends with the value.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    traces: Arc<Mutex<Traces>>,
    _server: JoinSet<()>,
}

struct Service(Arc<Mutex<Traces>>);

impl Collector {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let traces = Arc::new(Mutex::new(Traces::new()));
        let service = TraceServiceServer::new(Service(Arc::clone(&traces)));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let served = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await;
            served.expect("the receiver serves until it is dropped");
        });
        Ok(Self { address, traces, _server: server })
    }

    /// Finds a trace that satisfies a condition.
    pub(crate) fn find(&self, holds: impl Fn(&[Span]) -> bool) -> Option<Vec<Span>> {
        let traces = self.traces.lock().expect("no holder panics");
        traces.values().find(|spans| holds(spans)).cloned()
    }

    /// Lists the traces with what is in them, for messages.
    pub(crate) fn summary(&self) -> String {
        let traces = self.traces.lock().expect("no holder panics");
        let line = |spans: &Vec<Span>| {
            let names: BTreeSet<String> = spans.iter().map(|span| format!("{}: {}", span.service, span.name)).collect();
            format!("{names:?}\n")
        };
        traces.values().map(line).collect()
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut traces = self.0.lock().expect("no holder panics");
        for batch in request.into_inner().resource_spans {
            let service = service_name(batch.resource.as_ref());
            for span in batch.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let arrived =
                    Span { service: service.clone(), name: span.name, id: span.span_id, parent: span.parent_span_id };
                traces.entry(span.trace_id).or_default().push(arrived);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn service_name(resource: Option<&Resource>) -> String {
    let attributes = resource.map(|resource| resource.attributes.as_slice()).unwrap_or_default();
    let value = attributes.iter().find(|pair| pair.key == "service.name").and_then(|pair| pair.value.clone());
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(name)) => name,
        _ => String::new(),
    }
}
