//! Copies of hosts: what one is to have, given to another.

use std::collections::BTreeSet;

use tonic::{Request, Response, Status};
use trestle_model::fleet::{Bond, Entity, EntityId, Fleet, Host, Meta, Mutation, NetworkAttachment};
use trestle_model::{Code, Finding, Findings, HostName, IfName, Ipv4Config, Ipv6Config, NetworkName, Southbound};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::host_copy_service_server::HostCopyService;
use trestle_proto::engine_wire::{self, CopyWish, Others};
use trestle_proto::status::Refusal;

use super::{Terms, wire_findings};
use crate::write::{Together, Writer};

/// Serves `HostCopyService`.
#[derive(Debug, Clone)]
pub struct HostCopies(pub Writer);

#[tonic::async_trait]
impl HostCopyService for HostCopies {
    async fn copy_host_networks(
        &self,
        request: Request<wire::CopyHostNetworksRequest>,
    ) -> Result<Response<wire::CopyHostNetworksResponse>, Status> {
        let wish = request.get_ref();
        let terms = Terms::of(&request, &wish.request_id, wish.validate_only, &wish.acknowledge_warnings)?;
        let copy = engine_wire::parse_copy(wish).map_err(Refusal::malformed)?;
        let written = self.0.write_together(terms.wish()?, move |fleet| changes(fleet, &copy));
        let Together { entities, removed, findings } = written.await?;
        Ok(Response::new(wire::CopyHostNetworksResponse {
            resources: entities.iter().map(engine_wire::build_any).collect(),
            removed: removed.iter().map(EntityId::to_string).collect(),
            findings: wire_findings(&findings),
        }))
    }
}

/// Returns what has to change for the target to have what the source has, in an order in which each change can follow.
///
/// *Errors*: `NOT_FOUND` for a host that is not there; `FIELD_MISSING` for a network without addresses, `REFERENCE_NOT_FOUND`
/// for addresses on a network that the source does not have: all of them.
fn changes(fleet: &Fleet, copy: &CopyWish) -> Result<Vec<Mutation>, Refusal> {
    let host = |name: &HostName, field: &str| {
        fleet.hosts().get(name).ok_or_else(|| Refusal::from(engine_wire::missing(&EntityId::Host(name.clone()), field)))
    };
    let (source, target) = (host(&copy.source, "source")?, host(&copy.target, "target")?);
    let attachments = attachments(fleet, copy)?;
    let bonds: Vec<Bond> = fleet.bonds_of(&copy.source).map(|bond| copy_of(bond, copy)).collect();
    let mut changes = match copy.others {
        Others::Keep => Vec::new(),
        Others::Remove => others(fleet, target, &attachments, &bonds),
    };
    changes.extend(bonds.into_iter().map(Entity::Bond).map(Mutation::Put));
    changes.push(Mutation::Put(Entity::Host(labelled(source, target, copy))));
    changes.extend(attachments.into_iter().map(Entity::NetworkAttachment).map(Mutation::Put));
    Ok(changes)
}

/// What the target has of its own goes: attachments and labels before the bonds that they stand on.
fn others(fleet: &Fleet, target: &Host, attachments: &[NetworkAttachment], bonds: &[Bond]) -> Vec<Mutation> {
    let networks: BTreeSet<&NetworkName> = attachments.iter().map(|attachment| &attachment.network).collect();
    let names: BTreeSet<&IfName> = bonds.iter().map(|bond| &bond.id).collect();
    let is_other =
        |attachment: &&NetworkAttachment| !attachment.by.is_label() && !networks.contains(&attachment.network);
    let attached = fleet.attachments_of(&target.id).filter(is_other);
    let attached = attached.map(|other| EntityId::NetworkAttachment(other.host.clone(), other.network.clone()));
    let doomed: BTreeSet<&IfName> =
        fleet.bonds_of(&target.id).map(|bond| &bond.id).filter(|id| !names.contains(id)).collect();
    let mut nic_labels = target.nic_labels.clone();
    nic_labels.retain(|_, device| !doomed.contains(device));
    let stripped = (nic_labels != target.nic_labels).then(|| Host { nic_labels, ..target.clone() });
    let bonded = doomed.into_iter().map(|id| EntityId::Bond(target.id.clone(), id.clone()));
    let mut changes: Vec<Mutation> = attached.map(Mutation::Delete).collect();
    changes.extend(stripped.map(Entity::Host).map(Mutation::Put));
    changes.extend(bonded.map(Mutation::Delete));
    changes
}

/// A bond has its own MAC on each host.
fn copy_of(bond: &Bond, copy: &CopyWish) -> Bond {
    Bond {
        host: copy.target.clone(),
        id: device(&bond.id, copy),
        meta: labels_of(&bond.meta),
        nics: bond.nics.iter().map(|nic| device(nic, copy)).collect(),
        options: bond.options.clone(),
        hwaddr: None,
    }
}

fn labelled(source: &Host, target: &Host, copy: &CopyWish) -> Host {
    let mut nic_labels = match copy.others {
        Others::Keep => target.nic_labels.clone(),
        Others::Remove => Default::default(),
    };
    nic_labels.extend(source.nic_labels.iter().map(|(label, nic)| (label.clone(), device(nic, copy))));
    Host { nic_labels, ..target.clone() }
}

fn attachments(fleet: &Fleet, copy: &CopyWish) -> Result<Vec<NetworkAttachment>, Refusal> {
    let (mut copies, mut faults) = (Vec::new(), Vec::new());
    let copied = fleet.attachments_of(&copy.source).filter(|attachment| !attachment.by.is_label());
    for attachment in copied {
        let (ipv4, ipv6) = match copy.addresses.get(&attachment.network) {
            Some(given) => given.clone(),
            None if is_static(attachment) => {
                let network = EntityId::Network(attachment.network.clone());
                let message = format!("{} has static addresses on {network}, which are no other host's", copy.source);
                let finding = Finding::error(Code::FieldMissing, "addresses", message).related([network.to_string()]);
                faults.push(finding.remedy("give the target addresses on it, or let it have them by DHCP"));
                continue;
            }
            None => (attachment.ipv4.clone(), attachment.ipv6.clone()),
        };
        let southbound = attachment.southbound.as_ref().map(|southbound| match southbound {
            Southbound::Nic(nic) => Southbound::Nic(device(nic, copy)),
            Southbound::Bond(bond) => Southbound::Bond(device(bond, copy)),
        });
        let (host, meta) = (copy.target.clone(), labels_of(&attachment.meta));
        copies.push(NetworkAttachment { host, meta, southbound, ipv4, ipv6, ..attachment.clone() });
    }
    for network in copy.addresses.keys() {
        let is_attached = |attachment: &NetworkAttachment| attachment.network == *network;
        if !fleet.attachments_of(&copy.source).any(is_attached) {
            let network = EntityId::Network(network.clone());
            let message = format!("{} is not attached to {network}", copy.source);
            let finding = Finding::error(Code::ReferenceNotFound, "addresses", message).related([network.to_string()]);
            faults.push(finding.remedy("leave its addresses out"));
        }
    }
    if faults.is_empty() { Ok(copies) } else { Err(Refusal::refused(Findings(faults).sorted())) }
}

fn is_static(attachment: &NetworkAttachment) -> bool {
    matches!(attachment.ipv4, Ipv4Config::Static(_)) || matches!(attachment.ipv6, Ipv6Config::Static(_))
}

fn device(name: &IfName, copy: &CopyWish) -> IfName {
    copy.devices.get(name).unwrap_or(name).clone()
}

fn labels_of(meta: &Meta) -> Meta {
    Meta { labels: meta.labels.clone(), ..Meta::default() }
}
