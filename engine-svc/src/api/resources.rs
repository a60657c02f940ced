//! The resources that have nothing but the standard methods.

mod bond;
mod cluster;
mod cluster_network;
mod mac_pool;
mod network;
mod network_attachment;
mod vm;
mod vnic;
mod vnic_profile;

pub use bond::Bonds;
pub use cluster::Clusters;
pub use cluster_network::ClusterNetworks;
pub use mac_pool::MacPools;
pub use network::Networks;
pub use network_attachment::NetworkAttachments;
pub use vm::Vms;
pub use vnic::Vnics;
pub use vnic_profile::VnicProfiles;
