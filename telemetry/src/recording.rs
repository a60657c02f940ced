//! For tests: keeps in memory the spans that this thread finishes.

use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::subscriber::span_layer;

/// Records every span that the current thread finishes while it lives.
pub(crate) struct Recording {
    exporter: InMemorySpanExporter,
    _provider: SdkTracerProvider,
    _subscriber: DefaultGuard,
}

impl Recording {
    pub(crate) fn start() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let subscriber = tracing_subscriber::registry().with(span_layer(&provider, "test"));
        let guard = tracing::subscriber::set_default(subscriber);
        Self { exporter, _provider: provider, _subscriber: guard }
    }

    /// Returns the finished spans, in the order in which they ended.
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().expect("the exporter keeps spans in memory")
    }

    /// Returns the one finished span of a name.
    pub(crate) fn span(&self, name: &str) -> SpanData {
        let spans = self.spans();
        let mut named = spans.iter().filter(|span| span.name == name);
        let span = named.next().unwrap_or_else(|| panic!("no span {name} among {spans:?}"));
        assert!(named.next().is_none(), "more than one span {name}");
        span.clone()
    }
}
