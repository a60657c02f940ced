//! The planner against a host in memory.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends by panicking, also in the functions that tests share"
)]

mod adoptions;
mod autoconf;
mod bonds;
mod dhcp;
mod guarding;
mod keeping;
mod nics;
mod order;
mod properties;
mod qos;
mod refusals;
mod reports;
mod resolver;
mod restores;
mod routes;
mod scenarios;
mod scene;
mod scopes;
mod sources;
mod undos;
