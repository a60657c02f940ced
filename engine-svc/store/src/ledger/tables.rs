//! The tables, and what lies in them.

use redb::TableDefinition;
use trestle_model::fleet::{Entity, EntityId};

use crate::frame;

/// A table of framed values by name.
pub(super) type ByName = TableDefinition<'static, &'static str, &'static [u8]>;

/// The store's own numbers.
pub(super) const STATE: TableDefinition<'static, &str, u64> = TableDefinition::new("state");
/// In [`STATE`]: the format of the whole file.
pub(super) const FORMAT: &str = "format";
/// In [`STATE`]: the last revision.
pub(super) const REVISION: &str = "revision";
/// In [`STATE`]: how often the store was opened.
pub(super) const FENCING_EPOCH: &str = "fencing_epoch";

pub(super) const CLUSTERS: ByName = TableDefinition::new("clusters");
pub(super) const NETWORKS: ByName = TableDefinition::new("networks");
pub(super) const CLUSTER_NETWORKS: ByName = TableDefinition::new("cluster_networks");
pub(super) const VNIC_PROFILES: ByName = TableDefinition::new("vnic_profiles");
pub(super) const HOSTS: ByName = TableDefinition::new("hosts");
pub(super) const NETWORK_ATTACHMENTS: ByName = TableDefinition::new("network_attachments");
pub(super) const BONDS: ByName = TableDefinition::new("bonds");
pub(super) const MAC_POOLS: ByName = TableDefinition::new("mac_pools");
pub(super) const VMS: ByName = TableDefinition::new("vms");
pub(super) const VNICS: ByName = TableDefinition::new("vnics");
/// What hosts last reported, by the host's name.
pub(super) const OBSERVED: ByName = TableDefinition::new("observed");
/// Events by revision.
pub(super) const EVENTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("events");
/// Remembered answers by request id.
pub(super) const REQUESTS: TableDefinition<'static, u128, &[u8]> = TableDefinition::new("requests");
/// When each answer was given, and its request id.
pub(super) const REQUEST_TIMES: TableDefinition<'static, (u64, u128), ()> = TableDefinition::new("request_times");

/// Returns the table of an entity's kind; the key there is the resource's name.
pub(super) const fn of(id: &EntityId) -> ByName {
    match id {
        EntityId::Cluster(_) => CLUSTERS,
        EntityId::Network(_) => NETWORKS,
        EntityId::ClusterNetwork(..) => CLUSTER_NETWORKS,
        EntityId::VnicProfile(..) => VNIC_PROFILES,
        EntityId::Host(_) => HOSTS,
        EntityId::NetworkAttachment(..) => NETWORK_ATTACHMENTS,
        EntityId::Bond(..) => BONDS,
        EntityId::MacPool(_) => MAC_POOLS,
        EntityId::Vm(_) => VMS,
        EntityId::Vnic(..) => VNICS,
    }
}

/// Encodes an entity without its kind, which its table tells.
pub(super) fn encode(entity: &Entity) -> Result<Vec<u8>, serde_json::Error> {
    match entity {
        Entity::Cluster(entity) => frame::encode(entity),
        Entity::Network(entity) => frame::encode(entity),
        Entity::ClusterNetwork(entity) => frame::encode(entity),
        Entity::VnicProfile(entity) => frame::encode(entity),
        Entity::Host(entity) => frame::encode(entity),
        Entity::NetworkAttachment(entity) => frame::encode(entity),
        Entity::Bond(entity) => frame::encode(entity),
        Entity::MacPool(entity) => frame::encode(entity),
        Entity::Vm(entity) => frame::encode(entity),
        Entity::Vnic(entity) => frame::encode(entity),
    }
}
