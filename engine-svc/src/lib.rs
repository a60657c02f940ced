//! The engine: desired state, business rules, sessions with the hosts' agents.
//!
//! A change flows `gRPC handler → write use case → rules → store`; what hosts are owed flows
//! `store → reconciler → session → wire`. Handlers hold no rule, and nothing here touches a kernel or libvirt.

pub mod api;
pub mod config;
pub mod reconcile;
pub mod server;
pub mod session;
pub mod states;

mod clock;
mod write;

#[cfg(test)]
#[path = "../rules/tests/rules/fixture.rs"]
#[expect(dead_code, reason = "the rules' own tests use the rest of it")]
mod fixture;
