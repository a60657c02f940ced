//! What the engine keeps: the desired state of the fleet.
//!
//! [`Fleet`] is the whole of it with the indexes that rules need, so that a check costs what it touches.

mod entity;
mod view;

pub use entity::{
    Cluster, ClusterNetwork, GuestTagging, Host, Meta, Network, NetworkAttachment, NetworkFilter, SwitchType,
    VnicProfile,
};
pub use view::{AttachmentId, ClusterNetworkId, Entity, EntityId, Fleet, HostRecord, Mutation, ProfileId};
