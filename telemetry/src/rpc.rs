//! One span per gRPC call, on both ends, by OpenTelemetry's semantic conventions for RPC.
//!
//! The span is named `package.Service/Method`, lives until the last byte of the response, and holds the status code.
//! The W3C context of the client's span goes into the request's headers, where the server's span finds its parent.
//! These layers look only: they never change a request's outcome.

mod client;
mod outcome;
mod server;

pub use client::{Client, ClientLayer};
pub use server::{Server, ServerLayer};

/// The value of `rpc.system.name`.
const SYSTEM: &str = "grpc";
/// Stands for a method in spans when a request's path does not look like one.
const UNKNOWN_METHOD: &str = "_OTHER";
const LONGEST_METHOD: usize = 256;

/// Returns `package.Service/Method` from a request's path.
fn method(path: &str) -> &str {
    let Some(method) = path.strip_prefix('/') else { return UNKNOWN_METHOD };
    let well_formed = method.len() <= LONGEST_METHOD && method.split('/').filter(|part| !part.is_empty()).count() == 2;
    if well_formed { method } else { UNKNOWN_METHOD }
}

#[cfg(test)]
mod tests;
