//! A host's report.
//!
//! *Lossy*: the wire has no place for an address' broadcast, label, scope and prefix-route flag; reading sets them to
//! none and zero. A feature, or a kind of repair, that a newer agent knows and this version does not is left out.

mod bond;
mod build;
mod daemons;
mod devices;
mod dhcp;
mod domains;
mod filters;
mod foreign_mac;
mod keeping;
mod lldp;
mod parse;
mod uplink;

pub use build::build_capabilities;
pub use parse::parse_capabilities;

pub(super) use bond::build as build_bond_report;
pub(super) use build::{
    build_bridge_device, build_kernel, build_libvirt, build_mac_table, build_nic, build_port, build_report,
    build_vlan_device,
};
pub(super) use domains::build_domain;
pub(crate) use domains::{build_interface, build_state};
