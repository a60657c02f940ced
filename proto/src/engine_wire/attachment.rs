//! Networks on hosts.

use trestle_model::fleet::{AttachedBy, AttachmentId, Meta, NetworkAttachment};
use trestle_model::{Code, Finding, IfName, Southbound};

use super::Resource;
use super::dns::{build_dns, read_dns};
use super::resource::shape;
use crate::engine::v1 as wire;
use crate::form::Form;
use crate::host_wire::{
    build_ipv4, build_ipv6, build_qos, build_routes, read_custom, read_ipv4, read_ipv6, read_qos, read_routes,
};

impl Resource for wire::NetworkAttachment {
    shape!(
        NetworkAttachment,
        "network_attachment",
        "hosts/{host}/networkAttachments/{network}",
        AttachmentId,
        (host, network) => (host, network),
        build_spec,
        status: build_status
    );

    fn parts(attachment: &NetworkAttachment) -> (AttachmentId, &Meta) {
        ((attachment.host.clone(), attachment.network.clone()), &attachment.meta)
    }

    fn read(&self, form: &mut Form, (host, network): AttachmentId, meta: Meta) -> Option<NetworkAttachment> {
        let spec = self.spec.clone().unwrap_or_default();
        Some(NetworkAttachment {
            host,
            network,
            meta,
            southbound: read_southbound(form, &spec),
            ipv4: read_ipv4(form, "network_attachment.spec.ipv4", spec.ipv4.as_ref()),
            ipv6: read_ipv6(form, "network_attachment.spec.ipv6", spec.ipv6.as_ref()),
            default_route: spec.default_route,
            routes: read_routes(form, "network_attachment.spec.routes", &spec.routes),
            dns: spec.dns.map(|dns| read_dns(form, "network_attachment.spec.dns", &dns)),
            host_qos: read_qos(form, "network_attachment.spec.host_qos", spec.host_qos.as_ref()),
            custom: read_custom(form, "network_attachment.spec.custom", spec.custom.iter()),
            by: AttachedBy::Operator,
        })
    }
}

fn build_status(attachment: &NetworkAttachment) -> Option<wire::NetworkAttachmentStatus> {
    match &attachment.by {
        AttachedBy::Operator => None,
        AttachedBy::Label(label) => Some(wire::NetworkAttachmentStatus { nic_label: label.to_string() }),
    }
}

fn read_southbound(form: &mut Form, spec: &wire::NetworkAttachmentSpec) -> Option<Southbound> {
    const BOND: &str = "network_attachment.spec.bond";
    match (spec.nic.as_str(), spec.bond.as_str()) {
        ("", "") => None,
        (nic, "") => {
            form.name("network_attachment.spec.nic", nic, Code::NameInvalid, IfName::parse).map(Southbound::Nic)
        }
        ("", bond) => form.name(BOND, bond, Code::BondNameInvalid, IfName::parse_bond).map(Southbound::Bond),
        (_, _) => {
            let finding = Finding::error(Code::FieldConflict, BOND, "the network would stand on a NIC and on a bond");
            form.note(finding.remedy("give nic or bond"));
            None
        }
    }
}

fn build_spec(attachment: &NetworkAttachment) -> wire::NetworkAttachmentSpec {
    let (nic, bond) = match &attachment.southbound {
        None => (String::new(), String::new()),
        Some(Southbound::Nic(nic)) => (nic.to_string(), String::new()),
        Some(Southbound::Bond(bond)) => (String::new(), bond.to_string()),
    };
    wire::NetworkAttachmentSpec {
        nic,
        bond,
        ipv4: build_ipv4(&attachment.ipv4),
        ipv6: build_ipv6(&attachment.ipv6),
        default_route: attachment.default_route,
        routes: build_routes(&attachment.routes),
        dns: attachment.dns.as_ref().map(build_dns),
        host_qos: attachment.host_qos.as_ref().map(build_qos),
        custom: attachment.custom.clone(),
    }
}
