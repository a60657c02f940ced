//! What the engine keeps: the desired state of the fleet.
//!
//! [`Fleet`] is the whole of it with the indexes that rules need, so that a check costs what it touches.

mod entity;
mod kind;
mod mac_pool;
mod role;
mod view;
mod vm;

pub use entity::{
    AttachedBy, Bond, Cluster, ClusterNetwork, GuestTagging, Host, MacConflictPolicy, Meta, Network, NetworkAttachment,
    NetworkFilter, Passthrough, SwitchType, VnicAttachment, VnicPolicy, VnicProfile,
};
pub use kind::{AttachmentId, BondId, ClusterNetworkId, Entity, EntityId, Mutation, ProfileId, VnicId};
pub use mac_pool::MacPool;
pub use role::{NetworkRole, RoleHolder};
pub use view::{Commanded, CommandedInterface, Fleet, HostRecord, Sighting};
pub use vm::{Nesting, Vm, Vnic, VnicModel};
