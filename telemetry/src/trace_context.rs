//! The W3C trace context: out of the current span into a message or a call's headers, and back into a span.
//!
//! A command that travels on a stream carries a context of its own, so that its trace is not the trace of the stream.
//! A context that is empty or malformed is ignored: the span then starts a trace of its own.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, debug};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Holds the two W3C headers as text; both empty when there is no trace.
///
/// Source: W3C Trace Context, level 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// Version, trace id, parent span id and flags, in hexadecimal: `00-<32>-<16>-<2>`.
    pub traceparent: String,
    /// The state that vendors attach; usually empty.
    pub tracestate: String,
}

/// Returns the context of the current span, for a message that is about to be sent; empty outside of any span.
#[must_use]
pub fn current() -> TraceContext {
    of(&Span::current())
}

/// Returns the context of a span; empty when the span is disabled or no telemetry is installed.
#[must_use]
pub fn of(span: &Span) -> TraceContext {
    let mut context = TraceContext::default();
    TraceContextPropagator::new().inject_context(&span.context(), &mut context);
    context
}

/// Makes a span the child of the sender's span. To be called before the span is entered.
pub fn set_parent(span: &Span, context: &TraceContext) {
    let Some(parent) = context.extract() else { return };
    if let Err(error) = span.set_parent(parent) {
        debug!(error = %error, "trace parent not set");
    }
}

/// Links a span to another one that caused it without being its parent.
pub fn link(span: &Span, context: &TraceContext) {
    if let Some(cause) = context.extract() {
        span.add_link(cause.span().span_context().clone());
    }
}

impl TraceContext {
    /// Tells whether there is no trace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.traceparent.is_empty()
    }

    /// Reads the context from the headers of a call; empty when they hold none.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Self { traceparent: text(TRACEPARENT), tracestate: text(TRACESTATE) }
    }

    /// Writes the context into the headers of a call, in place of what they held.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        for (name, text) in [(TRACEPARENT, &self.traceparent), (TRACESTATE, &self.tracestate)] {
            let name = HeaderName::from_static(name);
            match HeaderValue::from_str(text) {
                Ok(value) if !text.is_empty() => drop(headers.insert(name, value)),
                Ok(_) | Err(_) => drop(headers.remove(name)),
            }
        }
    }

    fn extract(&self) -> Option<Context> {
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), self);
        let valid = context.span().span_context().is_valid();
        valid.then_some(context)
    }
}

impl Injector for TraceContext {
    fn set(&mut self, key: &str, value: String) {
        match key {
            TRACEPARENT => self.traceparent = value,
            TRACESTATE => self.tracestate = value,
            _ => {}
        }
    }
}

impl Extractor for TraceContext {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(&self.traceparent),
            TRACESTATE => Some(&self.tracestate),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Recording;
    use tracing::info_span;

    #[test]
    fn a_context_that_went_through_a_message_makes_a_child() {
        let recording = Recording::start();
        let sender = info_span!("sender");
        let message = sender.in_scope(current);
        assert!(!message.is_empty());

        let receiver = info_span!("receiver");
        set_parent(&receiver, &message);
        receiver.in_scope(|| {});
        drop((sender, receiver));

        let sender = recording.span("sender");
        let receiver = recording.span("receiver");
        assert_eq!(receiver.span_context.trace_id(), sender.span_context.trace_id());
        assert_eq!(receiver.parent_span_id, sender.span_context.span_id());
    }

    #[test]
    fn a_malformed_or_empty_context_starts_a_trace_of_its_own() {
        let recording = Recording::start();
        for traceparent in ["", "nonsense", "00-00000000000000000000000000000000-0000000000000000-01"] {
            let span = info_span!("alone");
            set_parent(&span, &TraceContext { traceparent: traceparent.to_owned(), tracestate: String::new() });
            drop(span);
        }
        let spans = recording.spans();
        assert_eq!(spans.len(), 3);
        for span in spans {
            assert!(span.span_context.is_valid());
            assert_eq!(span.parent_span_id, opentelemetry::trace::SpanId::INVALID);
        }
    }

    #[test]
    fn a_link_names_the_cause_without_joining_its_trace() {
        let recording = Recording::start();
        let cause = info_span!("cause");
        let effect = info_span!("effect");
        link(&effect, &of(&cause));
        drop((cause, effect));
        let (cause, effect) = (recording.span("cause"), recording.span("effect"));
        assert_ne!(cause.span_context.trace_id(), effect.span_context.trace_id());
        assert_eq!(effect.links.links[0].span_context.span_id(), cause.span_context.span_id());
    }

    #[test]
    fn headers_carry_the_context_and_forget_an_old_one() {
        let context = TraceContext {
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            tracestate: String::new(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, HeaderValue::from_static("old=1"));
        context.write_headers(&mut headers);
        assert_eq!(TraceContext::from_headers(&headers), context);
        TraceContext::default().write_headers(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn without_telemetry_the_context_is_empty() {
        assert_eq!(info_span!("unheard").in_scope(current), TraceContext::default());
    }
}
