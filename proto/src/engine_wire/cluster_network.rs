//! Networks in clusters.

use trestle_model::fleet::{ClusterNetwork, ClusterNetworkId, Meta};

use super::Resource;
use super::resource::shape;
use crate::engine::v1 as wire;
use crate::form::Form;

impl Resource for wire::ClusterNetwork {
    shape!(
        ClusterNetwork,
        "cluster_network",
        "clusters/{cluster}/clusterNetworks/{network}",
        ClusterNetworkId,
        (cluster, network) => (cluster, network),
        build_spec
    );

    fn parts(attachment: &ClusterNetwork) -> (ClusterNetworkId, &Meta) {
        ((attachment.cluster.clone(), attachment.network.clone()), &attachment.meta)
    }

    fn read(&self, _: &mut Form, (cluster, network): ClusterNetworkId, meta: Meta) -> Option<ClusterNetwork> {
        let wire::ClusterNetworkSpec { required, management, migration, display, default_route } =
            self.spec.unwrap_or_default();
        Some(ClusterNetwork { cluster, network, meta, required, management, migration, display, default_route })
    }
}

fn build_spec(attachment: &ClusterNetwork) -> wire::ClusterNetworkSpec {
    wire::ClusterNetworkSpec {
        required: attachment.required,
        management: attachment.management,
        migration: attachment.migration,
        display: attachment.display,
        default_route: attachment.default_route,
    }
}
