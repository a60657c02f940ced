//! LLDP's edge: hears what the neighbours of NICs tell of themselves, and remembers it for as long as they said.
//!
//! It only listens. It sends nothing, changes nothing but the multicast group that a NIC lets through, and what it heard is
//! the neighbours' word: a report, and never the ground of a decision.

mod frame;
mod listener;
mod neighbors;
mod socket;

pub use listener::{Listener, Lldp, OpenError};
