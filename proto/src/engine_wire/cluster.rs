//! Clusters.

use trestle_model::ResourceId;
use trestle_model::fleet::{Cluster, Meta, SwitchType};

use super::Resource;
use super::resource::shape;
use crate::engine::v1 as wire;
use crate::form::Form;

impl Resource for wire::Cluster {
    shape!(Cluster, "cluster", "clusters/{cluster}", ResourceId, cluster => (cluster), build_spec);

    fn parts(cluster: &Cluster) -> (ResourceId, &Meta) {
        (cluster.id.clone(), &cluster.meta)
    }

    fn read(&self, form: &mut Form, id: ResourceId, meta: Meta) -> Option<Cluster> {
        let spec = self.spec.clone().unwrap_or_default();
        let switch_type = match form.known("cluster.spec.switch_type", spec.switch_type)? {
            wire::SwitchType::Unspecified | wire::SwitchType::LinuxBridge => SwitchType::LinuxBridge,
            wire::SwitchType::Ovs => SwitchType::Ovs,
        };
        Some(Cluster { id, meta, switch_type, description: spec.description })
    }
}

fn build_spec(cluster: &Cluster) -> wire::ClusterSpec {
    let switch_type = match cluster.switch_type {
        SwitchType::LinuxBridge => wire::SwitchType::LinuxBridge,
        SwitchType::Ovs => wire::SwitchType::Ovs,
    };
    wire::ClusterSpec { switch_type: switch_type.into(), description: cluster.description.clone() }
}
