//! The agent of a host: changes its networks in transactions that hold or are undone, and tells what the host is.
//!
//! Two faces, the local service ([`service`]) and the session with the engine ([`session`]), call the same use cases
//! ([`transaction::Agent`]) over one host ([`site::Site`]: the real one is [`host::RealHost`]). What must outlive the
//! process is in the [`journal`]. [`daemon`] puts the parts together.

pub mod bus;
pub mod capabilities;
pub mod carriers;
pub mod config;
pub mod daemon;
pub mod hooks;
pub mod host;
pub mod journal;
pub mod keeper;
pub mod leases;
pub mod nameservers;
mod neighbors;
pub mod observer;
pub mod other_daemons;
pub mod resolver;
pub mod service;
pub mod session;
pub mod site;
pub mod transaction;

mod clock;
mod digest;
#[cfg(test)]
mod trial;
mod wire;
