//! Clusters.

use trestle_model::ResourceId;
use trestle_model::fleet::{
    Cluster, EntityId, Fleet, MacConflictPolicy, Meta, NetworkRole, RoleHolder, SwitchType, VnicPolicy,
};

use super::resource::shape;
use super::{Resource, parse_name_of};
use crate::engine::v1 as wire;
use crate::form::Form;

impl Resource for wire::Cluster {
    shape!(Cluster, "cluster", "clusters/{cluster}", ResourceId, cluster => (cluster), build_spec, status: build_status);

    fn parts(cluster: &Cluster) -> (ResourceId, &Meta) {
        (cluster.id.clone(), &cluster.meta)
    }

    fn read(&self, form: &mut Form, id: ResourceId, meta: Meta) -> Option<Cluster> {
        let spec = self.spec.clone().unwrap_or_default();
        let switch_type = form.known("cluster.spec.switch_type", spec.switch_type).map(|kind| match kind {
            wire::SwitchType::Unspecified | wire::SwitchType::LinuxBridge => SwitchType::LinuxBridge,
            wire::SwitchType::Ovs => SwitchType::Ovs,
        });
        let policy = form.known("cluster.spec.mac_conflict_policy", spec.mac_conflict_policy).map(|kind| match kind {
            wire::MacConflictPolicy::Unspecified | wire::MacConflictPolicy::Prevent => MacConflictPolicy::Prevent,
            wire::MacConflictPolicy::Warn => MacConflictPolicy::Warn,
        });
        let vnic_policy = form.known("cluster.spec.vnic_policy", spec.vnic_policy).map(|kind| match kind {
            wire::VnicPolicy::Unspecified | wire::VnicPolicy::Plug => VnicPolicy::Plug,
            wire::VnicPolicy::Report => VnicPolicy::Report,
        });
        let mac_pool = match spec.mac_pool.as_str() {
            "" => None,
            name => parse_name_of::<wire::MacPool>(name, "cluster.spec.mac_pool")
                .map_err(|findings| form.note_all(findings))
                .ok(),
        };
        Some(Cluster {
            id,
            meta,
            switch_type: switch_type?,
            description: spec.description,
            mac_pool,
            mac_conflict_policy: policy?,
            vnic_policy: vnic_policy?,
        })
    }
}

/// What follows from its networks, a cluster does not know.
const fn build_status(_: &Cluster) -> Option<wire::ClusterStatus> {
    None
}

/// Builds what follows from a cluster's networks.
pub fn build_cluster_status(fleet: &Fleet, cluster: &ResourceId) -> wire::ClusterStatus {
    let holder = |role| {
        let (holder, by_default) = match fleet.role_holder(cluster, role)? {
            RoleHolder::Given(holder) => (holder, false),
            RoleHolder::ByDefault(holder) => (holder, true),
        };
        let network = EntityId::Network(holder.network.clone()).to_string();
        Some(wire::RoleHolder { role: wire_role(role).into(), network, by_default })
    };
    wire::ClusterStatus { roles: NetworkRole::ALL.into_iter().filter_map(holder).collect() }
}

const fn wire_role(role: NetworkRole) -> wire::NetworkRole {
    match role {
        NetworkRole::Management => wire::NetworkRole::Management,
        NetworkRole::Migration => wire::NetworkRole::Migration,
        NetworkRole::Display => wire::NetworkRole::Display,
        NetworkRole::DefaultRoute => wire::NetworkRole::DefaultRoute,
    }
}

fn build_spec(cluster: &Cluster) -> wire::ClusterSpec {
    let switch_type = match cluster.switch_type {
        SwitchType::LinuxBridge => wire::SwitchType::LinuxBridge,
        SwitchType::Ovs => wire::SwitchType::Ovs,
    };
    let policy = match cluster.mac_conflict_policy {
        MacConflictPolicy::Prevent => wire::MacConflictPolicy::Prevent,
        MacConflictPolicy::Warn => wire::MacConflictPolicy::Warn,
    };
    let vnic_policy = match cluster.vnic_policy {
        VnicPolicy::Plug => wire::VnicPolicy::Plug,
        VnicPolicy::Report => wire::VnicPolicy::Report,
    };
    wire::ClusterSpec {
        switch_type: switch_type.into(),
        description: cluster.description.clone(),
        mac_pool: cluster.mac_pool.clone().map(|pool| EntityId::MacPool(pool).to_string()).unwrap_or_default(),
        mac_conflict_policy: policy.into(),
        vnic_policy: vnic_policy.into(),
    }
}
