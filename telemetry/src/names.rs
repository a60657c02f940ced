//! The names of spans and of their fields: OpenTelemetry's by its constants, Trestle's own under `trestle.`.
//!
//! Used in the macros of `tracing` in braces: `info_span!(names::STEP_SPAN, { names::STEP } = %step)`. Ids belong in
//! spans and log lines, never in metric labels.

pub use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, HOST_ID, RPC_METHOD, RPC_RESPONSE_STATUS_CODE, RPC_SYSTEM_NAME, SERVER_ADDRESS, SERVICE_INSTANCE_ID,
    SERVICE_NAME, SERVICE_VERSION,
};

/// Overrides the name of a span (a field that the tracing bridge understands).
pub const OTEL_NAME: &str = "otel.name";
/// Sets the kind of a span: `server`, `client`, `producer`, `consumer` (a field that the tracing bridge understands).
pub const OTEL_KIND: &str = "otel.kind";
/// Sets the status of a span: `ERROR` or `OK` (a field that the tracing bridge understands).
pub const OTEL_STATUS_CODE: &str = "otel.status_code";

/// Names the span around one command that reached a host agent, by session or by local call.
pub const COMMAND_SPAN: &str = "command";
/// Names the span around one phase of a transaction on a host.
pub const PHASE_SPAN: &str = "phase";
/// Names the span around one step of a plan.
pub const STEP_SPAN: &str = "step";
/// Names the span around one look of the reconciler at a host.
pub const RECONCILE_SPAN: &str = "reconcile host";
/// Names the span around one message of an agent, in the engine.
pub const AGENT_MESSAGE_SPAN: &str = "agent message";

/// Holds the id of a request, as sent or echoed in `x-request-id`.
pub const REQUEST_ID: &str = "trestle.request_id";
/// Holds the id of a command that the engine sends to a host.
pub const COMMAND_ID: &str = "trestle.command_id";
/// Holds the name of the host that a span is about.
pub const HOST: &str = "trestle.host";
/// Holds the phase of a transaction.
pub const PHASE: &str = "trestle.phase";
/// Holds the one-line display of a plan's step.
pub const STEP: &str = "trestle.step";
/// Holds who called: `engine`, `host/<id>`, `user/<name>` or `local`.
pub const PEER: &str = "trestle.peer";
