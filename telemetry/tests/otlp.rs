//! The whole set-up against a real OTLP receiver.
//!
//! One test only: a process has one subscriber.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing::{info, info_span};
use trestle_telemetry::{InitError, LogFormat, Options};

/// Passes every batch of spans on to the test.
struct Receiver(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).await.map_err(|_| Status::unavailable("test is over"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn options(endpoint: String) -> Options {
    Options {
        service_name: "telemetry-test",
        service_version: "1.2.3",
        instance_id: "run-1".to_owned(),
        host_id: Some("host-a".to_owned()),
        log_format: LogFormat::Json,
        filter: "error".to_owned(),
        otlp_endpoint: Some(endpoint),
    }
}

#[tokio::test]
async fn spans_reach_the_collector_with_the_process_that_made_them() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (sender, mut batches) = mpsc::channel(16);
    let mut tasks = JoinSet::new();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Receiver(sender)));
    tasks.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let malformed = Options { filter: "a=b=c".to_owned(), ..options(String::new()) };
    assert!(matches!(trestle_telemetry::init(malformed), Err(InitError::Filter(_))));

    let telemetry = trestle_telemetry::init(options(format!("http://{address}"))).unwrap();
    info_span!("outer").in_scope(|| info_span!("inner").in_scope(|| info!("work")));
    let again = trestle_telemetry::init(options(format!("http://{address}")));
    assert!(matches!(again, Err(InitError::AlreadyInstalled(_))));
    telemetry.shutdown().await;

    let batch = timeout(Duration::from_secs(10), batches.recv()).await.unwrap().unwrap();
    let resource = batch.resource_spans[0].resource.as_ref().unwrap();
    let attribute = |name: &str| {
        let pair = resource.attributes.iter().find(|pair| pair.key == name)?;
        if let Value::StringValue(text) = pair.value.as_ref()?.value.as_ref()? { Some(text.as_str()) } else { None }
    };
    assert_eq!(attribute("service.name"), Some("telemetry-test"));
    assert_eq!(attribute("service.version"), Some("1.2.3"));
    assert_eq!(attribute("service.instance.id"), Some("run-1"));
    assert_eq!(attribute("host.id"), Some("host-a"));

    let spans = &batch.resource_spans[0].scope_spans[0].spans;
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (outer, inner) = (find("outer"), find("inner"));
    assert_eq!(inner.parent_span_id, outer.span_id);
    assert_eq!(inner.trace_id, outer.trace_id);

    tasks.shutdown().await;
}
