//! The resources that have nothing but the standard methods.

mod cluster;
mod cluster_network;
mod network;
mod network_attachment;
mod vnic_profile;

pub use cluster::Clusters;
pub use cluster_network::ClusterNetworks;
pub use network::Networks;
pub use network_attachment::NetworkAttachments;
pub use vnic_profile::VnicProfiles;
