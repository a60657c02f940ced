//! The program as people run it, against servers in the test's own process.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own parts may fail the test")]

mod agent;
mod apply;
mod check;
mod delete;
mod events;
mod fleet;
mod harness;
mod host;
mod operations;
mod read;
mod usage;
mod watch;
mod wire;
