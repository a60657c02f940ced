//! A collector that is gone costs nothing but its spans.
//!
//! One test only: a process has one subscriber.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::info_span;
use trestle_telemetry::{LogFormat, Options};

/// Many times what the exporter's queue holds.
const SPANS: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dead_collector_holds_up_neither_spans_nor_shutdown() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let telemetry = trestle_telemetry::init(Options {
        service_name: "telemetry-test",
        service_version: "1.2.3",
        instance_id: "run-1".to_owned(),
        host_id: None,
        log_format: LogFormat::Text,
        filter: "off".to_owned(),
        otlp_endpoint: Some(format!("http://{address}")),
    })
    .unwrap();

    let emit = tokio::task::spawn_blocking(|| {
        for _ in 0..SPANS {
            info_span!("unheard").in_scope(|| {});
        }
    });
    timeout(Duration::from_secs(20), emit).await.expect("spans wait for the collector").unwrap();
    timeout(Duration::from_secs(20), telemetry.shutdown()).await.expect("shutdown waits for the collector");
}
