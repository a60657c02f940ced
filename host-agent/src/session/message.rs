//! Messages to the engine, each with a trace context of its own.

use tracing::Span;
use trestle_proto::session::v1 as wire;
use trestle_proto::session::v1::agent_message::Kind;
use trestle_proto::session::v1::command_result::End;
use trestle_telemetry::{TraceContext, trace_context};

/// Makes a message that belongs to `span`.
pub(super) fn of(span: &Span, kind: Kind) -> wire::AgentMessage {
    let TraceContext { traceparent, tracestate } = trace_context::of(span);
    wire::AgentMessage { trace: Some(wire::TraceContext { traceparent, tracestate }), kind: Some(kind) }
}

/// Makes the last message of a command.
pub(super) fn result(span: &Span, command_id: &str, end: End) -> wire::AgentMessage {
    of(span, Kind::Result(wire::CommandResult { command_id: command_id.to_owned(), end: Some(end) }))
}

/// Reads the context that a message of the engine carries; empty for none.
pub(super) fn trace(context: Option<&wire::TraceContext>) -> TraceContext {
    context.map_or_else(TraceContext::default, |context| TraceContext {
        traceparent: context.traceparent.clone(),
        tracestate: context.tracestate.clone(),
    })
}
