//! Rules for bonds of hosts.

use std::collections::BTreeSet;

use trestle_model::fleet::{Bond, EntityId, Fleet, Host, Network, NetworkAttachment};
use trestle_model::{Code, Finding, HostName, IfName, Southbound};

use crate::layout::{Layout, Placement, bond_name, names};
use crate::spot::{Spot, enumerate};

const NAME: &str = "bond.name";
const NICS: &str = "bond.spec.nics";
const MODE: &str = "bond.spec.mode";
const OPTIONS: &str = "bond.spec.options";
const PRIMARY: &str = "bond.spec.options.primary";
const HWADDR: &str = "bond.spec.hwaddr";

/// How many NICs make a bond.
const LEAST: usize = 2;

/// Evaluates a new or changed bond of a host.
pub(crate) fn put(bond: &Bond, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Bond(bond.host.clone(), bond.id.clone()));
    let mut findings = wish(bond, &spot);
    if !fleet.hosts().contains_key(&bond.host) {
        findings.push(spot.missing(NAME, &EntityId::Host(bond.host.clone())));
    }
    let before = Layout::of(fleet, &bond.host);
    findings.extend(nics_taken(bond, &before, &spot));
    findings.extend(name_taken(bond, &before, &spot));
    findings.extend(guests(bond, &before, &spot));
    findings.extend(moves(bond, &before, &spot));
    findings
}

/// Evaluates the removal of a bond: refused while networks stand on it, and while it has labels.
pub(crate) fn delete(host: &HostName, bond: &IfName, fleet: &Fleet) -> Vec<Finding> {
    let on_it = fleet.attachments_of(host).filter(|attachment| stands_on(attachment, bond));
    let users: Vec<String> = on_it
        .map(|attachment| EntityId::NetworkAttachment(host.clone(), attachment.network.clone()).to_string())
        .collect();
    let labels = fleet.hosts().get(host).filter(|host| host.nic_labels.values().any(|device| device == bond));
    let users: Vec<String> =
        users.into_iter().chain(labels.map(|host| EntityId::Host(host.id.clone()).to_string())).collect();
    Spot::new(EntityId::Bond(host.clone(), bond.clone())).in_use("name", users).into_iter().collect()
}

/// Returns the networks of the bond's host that come to stand on it, as they will be: those that stand on one of its NICs, or
/// on a NIC of its name.
pub(crate) fn moved(bond: &Bond, fleet: &Fleet) -> Vec<NetworkAttachment> {
    let below = |attachment: &&NetworkAttachment| {
        !attachment.by.is_label() && nic_of(attachment).is_some_and(|nic| becomes(bond, nic))
    };
    fleet.attachments_of(&bond.host).filter(below).map(|attachment| onto(attachment, bond)).collect()
}

/// Returns the bond's host with the labels of the bond's NICs given to the bond; `None` where they have none.
pub(crate) fn relabelled(bond: &Bond, fleet: &Fleet) -> Option<Host> {
    let mut host = fleet
        .hosts()
        .get(&bond.host)
        .filter(|host| host.nic_labels.values().any(|nic| bond.nics.contains(nic)))?
        .clone();
    host.nic_labels.values_mut().filter(|nic| bond.nics.contains(nic)).for_each(|nic| *nic = bond.id.clone());
    Some(host)
}

/// What contradicts itself.
fn wish(bond: &Bond, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if bond.nics.len() < LEAST {
        let message = format!("the bond has {} NICs, and needs {LEAST}", bond.nics.len());
        findings.push(spot.error(Code::BondTooFewNics, NICS, message).remedy("name more NICs"));
    }
    let mut seen = BTreeSet::new();
    for (position, nic) in bond.nics.iter().enumerate().filter(|(_, nic)| !seen.insert(*nic)) {
        let field = format!("{NICS}[{position}]");
        let finding = spot.error(Code::Duplicate, &field, format!("{nic} is named twice"));
        findings.push(finding.remedy("name each NIC once"));
    }
    for fault in bond.options.faults() {
        let finding = spot.error(Code::BondOptionInvalid, &format!("{OPTIONS}.{}", fault.option), fault.reason);
        findings.push(finding.remedy("change the option, or leave it out"));
    }
    if let Some(primary) = bond.options.primary.as_ref().filter(|primary| !bond.nics.contains(primary)) {
        let finding = spot.error(Code::BondOptionInvalid, PRIMARY, format!("{primary} is none of the bond's NICs"));
        findings.push(finding.remedy("name one of the bond's NICs"));
    }
    if bond.hwaddr.is_some() && bond.options.follows_active_mac() {
        let message = "with fail_over_mac active the bond's MAC is that of the active port";
        let finding = spot.error(Code::BondOptionInvalid, HWADDR, message);
        findings.push(finding.remedy("leave hwaddr out, or choose another fail_over_mac"));
    }
    findings
}

/// A NIC is in one bond, and bonds are not in bonds.
fn nics_taken(bond: &Bond, layout: &Layout<'_>, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, nic) in bond.nics.iter().enumerate() {
        let others = layout.bonds.iter().filter(|other| other.id != bond.id);
        let has = |other: &&&Bond| other.nics.contains(nic) || other.id == *nic;
        let users: Vec<String> = others.filter(has).map(|other| bond_name(other)).collect();
        if !users.is_empty() {
            let message = format!("{nic} is, or is in, {}", enumerate(&users));
            let finding = spot.error(Code::NicInUse, &format!("{NICS}[{position}]"), message).related(users);
            findings.push(finding.remedy("take the NIC out of the other bond first, or choose another"));
        }
    }
    findings
}

/// The bond's name is that of no other device that Trestle makes.
fn name_taken(bond: &Bond, layout: &Layout<'_>, spot: &Spot) -> Option<Finding> {
    let bridges =
        layout.placements.iter().copied().filter(|placement| {
            placement.bridge().is_some_and(|bridge| bridge == bond.id || bond.nics.contains(&bridge))
        });
    let in_bonds = layout.bonds.iter().filter(|other| other.id != bond.id && other.nics.contains(&bond.id));
    let taken: Vec<String> = names(bridges).into_iter().chain(in_bonds.map(|other| bond_name(other))).collect();
    (!taken.is_empty()).then(|| {
        let message = format!("the bond, or a NIC in it, has the name of a device of {}", enumerate(&taken));
        spot.error(Code::BridgeNameTaken, NAME, message).related(taken).remedy("choose another name for the bond")
    })
}

/// Networks with a bridge do not stand on a mode that breaks guests' traffic.
fn guests(bond: &Bond, layout: &Layout<'_>, spot: &Spot) -> Option<Finding> {
    if bond.options.mode.is_safe_under_bridges() {
        return None;
    }
    let comes = |placement: &Placement<'_>| {
        stands_on(placement.attachment, &bond.id) || nic_of(placement.attachment).is_some_and(|nic| becomes(bond, nic))
    };
    let is_for_guests = |network: &Network| network.vm_network;
    let networks = layout.placements.iter().copied().filter(comes).filter(|placement| is_for_guests(placement.network));
    let networks = names(networks);
    (!networks.is_empty()).then(|| {
        let mode = bond.options.mode.name();
        let message = format!("mode {mode} breaks the traffic of guests on {}", enumerate(&networks));
        spot.error(Code::BondModeUnsafe, MODE, message)
            .related(networks)
            .remedy("choose active-backup, balance-xor, broadcast or 802.3ad")
    })
}

/// Networks that stand on a NIC of the bond move onto the bond with it, if that is acknowledged and they fit together there.
fn moves(bond: &Bond, before: &Layout<'_>, spot: &Spot) -> Vec<Finding> {
    let moving = |placement: &&Placement<'_>| nic_of(placement.attachment).is_some_and(|nic| becomes(bond, nic));
    let moved: Vec<(NetworkAttachment, &Network)> = before
        .placements
        .iter()
        .filter(moving)
        .map(|placement| (onto(placement.attachment, bond), placement.network))
        .collect();
    if moved.is_empty() {
        return Vec::new();
    }
    let stay = before.placements.iter().filter(|placement| !moving(placement)).copied();
    let come = moved.iter().map(|(attachment, network)| Placement { network, attachment });
    let after = Layout { placements: stay.chain(come.clone()).collect(), bonds: before.bonds.clone() };
    let together = |others: fn(&Layout<'_>, Placement<'_>) -> Vec<String>| -> Vec<String> {
        come.clone().flat_map(|placement| others(&after, placement)).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let moving = names(come.clone());
    let message = format!("{} comes to stand on the bond", enumerate(&moving));
    let warning = spot.warning(Code::NicInUse, NICS, message).related(moving);
    let mut findings = vec![warning.remedy("acknowledge it, or move the networks to other NICs first")];
    let taken = together(|layout, placement| layout.sharing_uplink(placement));
    if !taken.is_empty() {
        let message = format!("on the bond, {} would share a VLAN, or be untagged both", enumerate(&taken));
        let finding = spot.error(Code::SouthboundTaken, NICS, message).related(taken);
        findings.push(finding.remedy("move one of the networks to another NIC first"));
    }
    let outgrowing = together(|layout, placement| layout.outgrowing(placement));
    if !outgrowing.is_empty() {
        let message = format!("on the bond, the MTUs of {} would not go together", enumerate(&outgrowing));
        let finding = spot.error(Code::MtuOutOfRange, NICS, message).related(outgrowing);
        findings.push(finding.remedy("give the networks the same MTU first"));
    }
    findings
}

fn onto(attachment: &NetworkAttachment, bond: &Bond) -> NetworkAttachment {
    NetworkAttachment { southbound: Some(Southbound::Bond(bond.id.clone())), ..attachment.clone() }
}

/// Tells whether what stands on `nic` comes to stand on the bond.
fn becomes(bond: &Bond, nic: &IfName) -> bool {
    bond.nics.contains(nic) || bond.id == *nic
}

fn nic_of(attachment: &NetworkAttachment) -> Option<&IfName> {
    match attachment.southbound.as_ref()? {
        Southbound::Nic(nic) => Some(nic),
        Southbound::Bond(_) => None,
    }
}

fn stands_on(attachment: &NetworkAttachment, bond: &IfName) -> bool {
    attachment.southbound.as_ref().and_then(Southbound::bond) == Some(bond)
}
