//! The agent's messages and the model: requests parsed, results and reports built, and both the other way round.
//!
//! `parse_…` reads the wire and notes every violation with the path of its field; `build_…` writes it and cannot fail.
//! What needs the host to be decided, such as whether a NIC exists, is not decided here.

mod address;
mod bandwidth;
mod bond;
mod bridge;
mod capabilities;
mod extras;
mod guest_ports;
mod network;
mod nic;
mod plugging;
mod qos;
mod read_mask;
mod request;
mod result;
mod route;
mod statistics;
mod watch;

#[cfg(test)]
mod tests;

pub use capabilities::{build_capabilities, parse_capabilities};
pub(crate) use capabilities::{build_interface, build_state};
pub use network::{build_network, parse_network};
pub use plugging::{build_plug, build_plugged, parse_plug};
pub use read_mask::ReadMask;
pub use request::{SetupContext, build_setup, parse_setup, parse_transaction};
pub use result::{build_progress, build_result, build_validated, parse_result, result_event};
pub use statistics::{build_statistics, parse_statistics};
pub use watch::{WatchRequest, build_object, build_removed, parse_watch};

pub(crate) use address::{build_ipv4, build_ipv6, read_ipv4, read_ipv6};
pub(crate) use bandwidth::{build_bandwidth, read_bandwidth, reported_bandwidth};
pub(crate) use bond::{build_bond, read_bond};
pub(crate) use bridge::{build_options, read_options};
pub(crate) use extras::{read_custom, read_nameservers, read_search_domains};
pub(crate) use guest_ports::{build_guest_ports, read_guest_ports};
pub(crate) use network::{check_no_bridge_attribute, manager};
pub(crate) use plugging::{build_parameters, read_parameters};
pub(crate) use qos::{build_egress, build_qos, read_egress, read_qos};
pub(crate) use request::{read_acknowledged, wire_duration};
pub(crate) use route::{build_routes, read_routes};
