//! The kernel's edge on a real kernel, each scenario in a network namespace of its own.
//!
//! They need root. What the kernel at hand lacks is skipped with the probe's reason, and runs where the kernel has it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod addresses;
mod features;
mod forwarding;
mod links;
mod routes;
mod scene;
mod snapshots;
mod watching;
