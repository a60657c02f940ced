//! Networks on hosts.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::fleet::{AttachmentId, EntityId, Fleet, NetworkAttachment as Entity};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::network_attachment_service_server::NetworkAttachmentService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `NetworkAttachmentService`.
#[derive(Debug, Clone)]
pub struct NetworkAttachments(pub Api);

impl Collection for wire::NetworkAttachment {
    fn map(fleet: &Fleet) -> &BTreeMap<AttachmentId, Entity> {
        fleet.attachments()
    }

    fn below<'a>(fleet: &'a Fleet, parent: &'a EntityId) -> Box<dyn Iterator<Item = &'a Entity> + 'a> {
        if let EntityId::Host(parent) = parent {
            Box::new(fleet.attachments_of(parent))
        } else {
            Box::new(std::iter::empty())
        }
    }
}

standard_service! {
    NetworkAttachmentService for NetworkAttachments, NetworkAttachment as network_attachment in network_attachments, id network_attachment_id, parent [parent];
    get_network_attachment GetNetworkAttachmentRequest GetNetworkAttachmentResponse;
    list_network_attachments ListNetworkAttachmentsRequest ListNetworkAttachmentsResponse;
    create_network_attachment CreateNetworkAttachmentRequest CreateNetworkAttachmentResponse;
    update_network_attachment UpdateNetworkAttachmentRequest UpdateNetworkAttachmentResponse;
    delete_network_attachment DeleteNetworkAttachmentRequest DeleteNetworkAttachmentResponse;
    and {}
}
