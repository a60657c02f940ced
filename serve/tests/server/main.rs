//! Real servers on loopback and unix sockets, and what their callers see.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod deadlines;
mod drain;
mod harness;
mod limits;
mod mutual_tls;
mod pki;
mod probe;
mod reflection;
mod sockets;
