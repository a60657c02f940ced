//! The sessions with the hosts' agents: one stream each, and the board of what is known of each host now.
//!
//! An agent dials, says hello, and gets commands on the stream that it opened. A new session of a host fences the old
//! one. This module speaks generated types; it decides nothing about networks.

mod board;
mod inbound;
mod operations;
mod plugs;
mod refusal;
mod rests;
mod seat;
mod service;

pub use board::{Board, BoardEvent, Commanded, HostNow, LastCommand, NotSent};
pub use operations::{Ended, Operation, Outcome, Task};
pub use plugs::PlugStanding;
pub use service::AgentSessions;
