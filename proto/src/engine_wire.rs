//! The engine's resources and the model's entities: names, whole resources, and partial updates.
//!
//! Every resource has the same shape on the wire (name, uid, etag, labels, times, generation, spec), so that one way of
//! creating and one of changing serves all of them; [`Resource`] holds what differs.

mod any;
mod attachment;
mod bond;
mod cluster;
mod cluster_network;
mod copy;
mod dns;
mod host;
mod mac_pool;
mod mask;
mod network;
mod placement;
mod plugging;
mod resource;
mod resource_name;
mod vm;
mod vnic;
mod vnic_profile;
mod write;

#[cfg(test)]
mod tests;

pub use any::{build_any, changed_fields, view_any};
pub use cluster::build_cluster_status;
pub use copy::{CopyWish, Others, parse_copy};
pub use placement::{PlacementQuestion, PlacementSubject, parse_placements};
pub use plugging::{build_seen_domain, build_seen_interface};
pub use resource::{Resource, etag, timestamp};
pub use resource_name::{parse_name, parse_name_of, parse_parent_of};
pub use write::{
    check_etag, existing, merge, missing, parse_acknowledged, parse_named, parse_new, parse_request_id, target_of,
};
