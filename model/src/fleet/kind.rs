//! Every kind of entity: its key, and the name that the key has on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Bond, Cluster, ClusterNetwork, Host, MacPool, Meta, Network, NetworkAttachment, Vm, Vnic, VnicProfile};
use crate::{HostName, IfName, NetworkName, ResourceId, VmId};

/// A vNIC profile's key: its network and its name there.
pub type ProfileId = (NetworkName, ResourceId);
/// A cluster attachment's key.
pub type ClusterNetworkId = (ResourceId, NetworkName);
/// A host attachment's key.
pub type AttachmentId = (HostName, NetworkName);
/// A bond's key.
pub type BondId = (HostName, IfName);
/// A vNIC's key: its virtual machine and its name there.
pub type VnicId = (VmId, ResourceId);

/// A change of one entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a mutation is moved a few times, and its entity is then kept")]
pub enum Mutation {
    /// The entity is to be so, whether it exists or not.
    Put(Entity),
    /// The entity is to go.
    Delete(EntityId),
}

impl Mutation {
    /// Returns the key of the entity that changes.
    pub fn id(&self) -> EntityId {
        match self {
            Self::Put(entity) => entity.id(),
            Self::Delete(id) => id.clone(),
        }
    }
}

/// Spells out every kind once: its documentation, the parts of its key with the entity's field that holds each, and the
/// pattern of its name.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($($part:ident: $type:ty = $field:ident),+) named $pattern:literal;)+) => {
        /// Any entity.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Entity {
            $($(#[$doc])* $kind($kind),)+
        }

        /// Any entity's key; its text is the resource's name on the wire.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum EntityId {
            $(#[doc = concat!("`", $pattern, "`")] $kind($($type),+),)+
        }

        impl Entity {
            /// Returns the entity's key.
            pub fn id(&self) -> EntityId {
                match self {
                    $(Self::$kind(entity) => EntityId::$kind($(entity.$field.clone()),+),)+
                }
            }

            /// Returns the common part.
            pub const fn meta(&self) -> &Meta {
                match self {
                    $(Self::$kind(entity) => &entity.meta,)+
                }
            }

            /// Returns the common part, to be set by the store.
            pub const fn meta_mut(&mut self) -> &mut Meta {
                match self {
                    $(Self::$kind(entity) => &mut entity.meta,)+
                }
            }
        }

        impl fmt::Display for EntityId {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$kind($($part),+) => write!(f, $pattern),)+
                }
            }
        }
    };
}

kinds! {
    /// A cluster.
    Cluster(cluster: ResourceId = id) named "clusters/{cluster}";
    /// A network.
    Network(network: NetworkName = id) named "networks/{network}";
    /// A network's place in a cluster.
    ClusterNetwork(cluster: ResourceId = cluster, network: NetworkName = network)
        named "clusters/{cluster}/clusterNetworks/{network}";
    /// A vNIC profile.
    VnicProfile(network: NetworkName = network, profile: ResourceId = id) named "networks/{network}/vnicProfiles/{profile}";
    /// A host.
    Host(host: HostName = id) named "hosts/{host}";
    /// A network on a host.
    NetworkAttachment(host: HostName = host, network: NetworkName = network)
        named "hosts/{host}/networkAttachments/{network}";
    /// A bond of a host.
    Bond(host: HostName = host, bond: IfName = id) named "hosts/{host}/bonds/{bond}";
    /// A pool of MACs.
    MacPool(pool: ResourceId = id) named "macPools/{pool}";
    /// A virtual machine.
    Vm(vm: VmId = id) named "vms/{vm}";
    /// A virtual NIC.
    Vnic(vm: VmId = vm, vnic: ResourceId = id) named "vms/{vm}/vnics/{vnic}";
}
