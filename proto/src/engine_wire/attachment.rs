//! Networks on hosts.

use trestle_model::fleet::{AttachmentId, Meta, NetworkAttachment};
use trestle_model::{Code, IfName};

use super::Resource;
use super::resource::shape;
use crate::engine::v1 as wire;
use crate::form::Form;
use crate::host_wire::{build_ipv4, build_ipv6, read_ipv4, read_ipv6};

impl Resource for wire::NetworkAttachment {
    shape!(
        NetworkAttachment,
        "network_attachment",
        "hosts/{host}/networkAttachments/{network}",
        AttachmentId,
        (host, network) => (host, network),
        build_spec
    );

    fn parts(attachment: &NetworkAttachment) -> (AttachmentId, &Meta) {
        ((attachment.host.clone(), attachment.network.clone()), &attachment.meta)
    }

    fn read(&self, form: &mut Form, (host, network): AttachmentId, meta: Meta) -> Option<NetworkAttachment> {
        let spec = self.spec.clone().unwrap_or_default();
        let nic = match spec.nic.as_str() {
            "" => None,
            text => form.name("network_attachment.spec.nic", text, Code::NameInvalid, IfName::parse),
        };
        Some(NetworkAttachment {
            host,
            network,
            meta,
            nic,
            ipv4: read_ipv4(form, "network_attachment.spec.ipv4", spec.ipv4.as_ref()),
            ipv6: read_ipv6(form, "network_attachment.spec.ipv6", spec.ipv6.as_ref()),
            default_route: spec.default_route,
        })
    }
}

fn build_spec(attachment: &NetworkAttachment) -> wire::NetworkAttachmentSpec {
    wire::NetworkAttachmentSpec {
        nic: attachment.nic.as_ref().map(IfName::to_string).unwrap_or_default(),
        ipv4: build_ipv4(&attachment.ipv4),
        ipv6: build_ipv6(&attachment.ipv6),
        default_route: attachment.default_route,
    }
}
