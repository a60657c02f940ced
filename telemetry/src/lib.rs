//! What Trestle's programs tell about themselves: log lines, spans and their names.
//!
//! Binaries call [`init`] once and shut the returned [`Telemetry`] down before they exit. Libraries log through
//! `tracing` and carry a [`TraceContext`] in every message that crosses a stream. gRPC servers and clients are wrapped
//! by the layers of [`rpc`]. This crate never decides anything about the business and never reads the environment.

pub mod names;
pub mod rpc;
pub mod trace_context;

mod chain;
#[cfg(test)]
mod recording;
mod subscriber;

pub use chain::{Chain, chain};
pub use subscriber::{InitError, LogFormat, Options, Settings, Telemetry, init};
pub use trace_context::TraceContext;
