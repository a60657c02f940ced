//! Samples for tests: legal values of the model, and messages of any kind with anything in them.

mod bond;
mod entity;
mod lldp;
mod message;
mod report;
mod spec;

pub(crate) use bond::bond_spec;
pub(crate) use entity::{attachment, bond, cluster, cluster_network, host, mac_pool, network, vm, vnic, vnic_profile};
pub(crate) use message::{any_message, dice};
pub(crate) use report::capabilities;
pub(crate) use spec::{ipv4, ipv6, network_spec, nic_spec, options};
