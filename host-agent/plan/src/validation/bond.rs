//! Every reason against a bond.

use trestle_model::{
    BondChange, BondEntry, BondSpec, Code, Feature, Finding, HostConfig, HostState, IfName, Link, LinkKind,
    NetworkSpec, Settable, Support,
};

use super::clash::{configured, handover};
use super::{Rivals, sub};
use crate::composition::is_hardware;
use crate::difference::bond_change;
use crate::ownership;

pub(super) fn bonds(rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    for (position, change) in rivals.request.bonds.iter().enumerate() {
        let field = format!("bonds[{position}]");
        let name = change.bond();
        if rivals.request.bonds.iter().take(position).any(|earlier| earlier.bond() == name) {
            let finding =
                Finding::error(Code::Duplicate, sub(&field, "name"), "the bond is named twice in the request");
            findings.push(finding.about(name).remedy("describe each bond once"));
        }
        match change {
            BondChange::Set(spec) => {
                wish(spec, &field, rivals, findings);
                surroundings(spec, &field, rivals.census.state, findings);
                clashes(spec, &field, rivals, findings);
            }
            BondChange::Remove(name) => removal(name, &field, rivals, findings),
        }
    }
}

/// Judges a bond against the host alone; a restore asks this of every bond, too.
pub(crate) fn surroundings(spec: &BondSpec, field: &str, observed: &HostState, findings: &mut Vec<Finding>) {
    let links = &observed.kernel.links;
    match observed.features.support(Feature::Bonding) {
        Support::Present => {}
        Support::Absent(reason) | Support::Unknown(reason) => {
            let message = format!("the kernel lacks {}: {reason}", Feature::Bonding);
            let finding = error(spec, Code::KernelLacksFeature, field, "name", message);
            findings
                .push(finding.related([Feature::Bonding.to_string()]).remedy("use a host that has it, or do without"));
        }
    }
    if let Some(link) = links.get(&spec.name).filter(|link| link.bond().is_none()) {
        let message = format!("device {} has the bond's name and is none", link.name);
        let finding = error(spec, Code::ForeignDevice, field, "name", message).related([link.name.to_string()]);
        findings.push(finding.remedy("remove or rename the device, or choose another name"));
    }
    for (position, nic) in spec.nics.iter().enumerate() {
        let name = format!("nics[{position}]");
        let Some(link) = links.get(nic).filter(|link| is_hardware(&link.kind)) else {
            let what = if links.contains_key(nic) { "is no NIC" } else { "is not on the host" };
            let nics = links.values().filter(|link| is_hardware(&link.kind)).map(|link| link.name.to_string());
            let finding = error(spec, Code::NicNotFound, field, &name, format!("{nic} {what}")).related(nics);
            findings.push(finding.remedy("name a NIC of the host"));
            continue;
        };
        let foreign = |master: &&IfName| **master != spec.name && !links.get(*master).is_some_and(ownership::is_ours);
        let vlans = links.values().filter(|link| is_foreign_vlan(link, nic)).map(|link| link.name.to_string());
        let users: Vec<String> = link.master.iter().filter(foreign).map(ToString::to_string).chain(vlans).collect();
        if !users.is_empty() {
            let message = format!("{nic} is used by {}", users.join(", "));
            let finding = error(spec, Code::NicInUse, field, &name, message).related(users);
            findings.push(finding.remedy(format!("free {nic} first, or choose another NIC")));
        }
    }
}

fn wish(spec: &BondSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let exists = rivals.running.bonds.contains_key(&spec.name)
        || rivals.census.state.kernel.links.get(&spec.name).is_some_and(|link| link.bond().is_some());
    let least = if exists { 1 } else { 2 };
    if spec.nics.len() < least {
        let message = format!("the bond has {} NICs, and needs {least}", spec.nics.len());
        findings.push(error(spec, Code::BondTooFewNics, field, "nics", message).remedy("name more NICs"));
    }
    for (position, nic) in spec.nics.iter().enumerate() {
        if spec.nics.iter().take(position).any(|earlier| earlier == nic) {
            let message = format!("{nic} is named twice");
            let finding = error(spec, Code::Duplicate, field, &format!("nics[{position}]"), message);
            findings.push(finding.remedy("name each NIC once"));
        }
    }
    for fault in spec.options.faults() {
        let finding = error(spec, Code::BondOptionInvalid, field, &format!("options.{}", fault.option), fault.reason);
        findings.push(finding.remedy("change the option, or leave it out"));
    }
    if let Some(primary) = spec.options.primary.as_ref().filter(|primary| !spec.nics.contains(primary)) {
        let message = format!("{primary} is none of the bond's NICs");
        let finding = error(spec, Code::BondOptionInvalid, field, "options.primary", message);
        findings.push(finding.remedy("name one of the bond's NICs"));
    }
    if spec.hwaddr.is_some_and(|mac| mac.is_multicast() || mac.is_zero()) {
        let message = "the MAC is none of a station";
        findings.push(error(spec, Code::BondOptionInvalid, field, "hwaddr", message).remedy("give another MAC"));
    }
    if spec.hwaddr.is_some() && spec.options.follows_active_mac() {
        let message = "with fail_over_mac active the bond's MAC is that of the active port";
        let finding = error(spec, Code::BondOptionInvalid, field, "hwaddr", message);
        findings.push(finding.remedy("leave hwaddr out, or choose another fail_over_mac"));
    }
}

fn clashes(spec: &BondSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    if let Some(management) = rivals.census.state.managers.get(&spec.name) {
        let finding = error(spec, Code::DeviceManaged, field, "name", configured(&spec.name, management));
        findings.push(finding.related([spec.name.to_string()]).remedy(handover(&spec.name, management)));
    }
    for (position, nic) in spec.nics.iter().enumerate() {
        if let Some(management) = rivals.census.state.managers.get(nic) {
            let name = format!("nics[{position}]");
            let finding = error(spec, Code::DeviceManaged, field, &name, configured(nic, management));
            findings.push(finding.related([nic.to_string()]).remedy(handover(nic, management)));
        }
        let bonds = rivals.desired.bonds.values().filter(|other| other.spec.name != spec.name);
        let in_bond =
            bonds.filter(|other| other.spec.nics.contains(nic)).map(|other| format!("bond {}", other.spec.name));
        let below = rivals.desired.specs().filter(|network| stands_on(network, nic));
        let users: Vec<String> = in_bond.chain(below.map(|network| format!("network {}", network.name))).collect();
        if !users.is_empty() {
            let message = format!("{nic} is used by {}", users.join(", "));
            let finding = error(spec, Code::NicInUse, field, &format!("nics[{position}]"), message).related(users);
            findings.push(finding.remedy("let the network stand on the bond, or choose another NIC"));
        }
        let limit = rivals.census.state.kernel.links.get(nic).and_then(|link| link.max_mtu).filter(|limit| *limit > 0);
        let above = rivals.desired.specs().filter(|network| stands_on(network, &spec.name));
        if let Some(network) = above.max_by_key(|network| network.mtu)
            && let Some(limit) = limit.filter(|limit| network.mtu.get() > *limit)
        {
            let message =
                format!("MTU {} of network {} is above the {limit} that {nic} takes", network.mtu, network.name);
            let finding = error(spec, Code::MtuOutOfRange, field, &format!("nics[{position}]"), message);
            findings.push(finding.related([network.name.to_string()]).remedy("lower the MTU, or choose another NIC"));
        }
    }
    let bridged = rivals.desired.specs().filter(|network| stands_on(network, &spec.name) && network.bridge().is_some());
    let bridged: Vec<String> = bridged.map(|network| network.name.to_string()).collect();
    if !bridged.is_empty() && !spec.options.mode.is_safe_under_bridges() {
        let finding = unsafe_mode(spec.options.mode.name(), &bridged.join(", "));
        findings.push(Finding { field: sub(field, "mode"), ..finding }.about(&spec.name).related(bridged));
    }
    taken_down(spec, field, rivals.census.state, findings);
}

/// Refuses to take a bond down under somebody else's device.
fn taken_down(spec: &BondSpec, field: &str, observed: &HostState, findings: &mut Vec<Finding>) {
    let links = &observed.kernel.links;
    let Some(bond) = links.get(&spec.name).and_then(Link::bond) else { return };
    if bond_change(&spec.options.complete(), &bond.options, &[]).settable() == Settable::Always {
        return;
    }
    let others: Vec<String> = foreign_users(&spec.name, observed);
    if !others.is_empty() {
        let message = format!("the change takes the bond down, and {} stand on it", others.join(", "));
        let finding = error(spec, Code::BondInUse, field, "options", message).related(others);
        findings.push(finding.remedy("remove those devices first"));
    }
}

fn removal(name: &IfName, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    if !rivals.running.bonds.contains_key(name) {
        let exists = rivals.census.state.kernel.links.contains_key(name);
        let message = if exists { "the device is not Trestle's" } else { "the host has no such bond" };
        let finding = Finding::error(Code::BondNotFound, sub(field, "name"), message).about(name);
        findings.push(finding.remedy("leave it out of the request"));
        return;
    }
    let networks =
        rivals.desired.specs().filter(|network| network.southbound.as_ref().and_then(|s| s.bond()) == Some(name));
    let networks = networks.map(|network| format!("network {}", network.name));
    let users: Vec<String> = networks.chain(foreign_users(name, rivals.census.state)).collect();
    if !users.is_empty() {
        let message = format!("the bond is used by {}", users.join(", "));
        let finding = Finding::error(Code::BondInUse, sub(field, "name"), message).about(name).related(users);
        findings.push(finding.remedy("remove or move what uses it in the same request"));
    }
}

/// Judges what a network stands on, where that is a bond.
pub(super) fn below(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let Some(entry) = spec.southbound.as_ref().and_then(|s| s.bond()).and_then(|bond| rivals.desired.bonds.get(bond))
    else {
        return;
    };
    let named = rivals.request.bonds.iter().any(|change| change.bond() == &entry.spec.name);
    if !named && spec.bridge().is_some() && !entry.spec.options.mode.is_safe_under_bridges() {
        let finding = unsafe_mode(entry.spec.options.mode.name(), spec.name.as_str());
        let finding = Finding { field: sub(field, "bond"), ..finding }.about(&spec.name);
        findings.push(finding.related([entry.spec.name.to_string()]));
    }
}

/// Returns the bond that has the NIC, if there is one.
pub(super) fn bond_of<'a>(desired: &'a HostConfig, nic: &IfName) -> Option<&'a BondEntry> {
    desired.bonds.values().find(|entry| entry.spec.nics.contains(nic))
}

fn unsafe_mode(mode: &str, networks: &str) -> Finding {
    let message = format!("mode {mode} breaks the traffic of guests on {networks}");
    Finding::error(Code::BondModeUnsafe, "", message)
        .remedy("choose active-backup, balance-xor, broadcast or 802.3ad, or let the network be not bridged")
}

fn stands_on(network: &NetworkSpec, device: &IfName) -> bool {
    network.southbound.as_ref().is_some_and(|southbound| southbound.device() == device)
}

fn foreign_users(bond: &IfName, observed: &HostState) -> Vec<String> {
    let links = &observed.kernel.links;
    let vlans = links.values().filter(|link| is_foreign_vlan(link, bond)).map(|link| link.name.to_string());
    let master = links.get(bond).and_then(|link| link.master.as_ref());
    let master = master.filter(|master| !links.get(*master).is_some_and(ownership::is_ours));
    vlans.chain(master.map(ToString::to_string)).collect()
}

fn is_foreign_vlan(link: &Link, base: &IfName) -> bool {
    matches!(&link.kind, LinkKind::Vlan { base: below, .. } if below == base) && !ownership::is_ours(link)
}

/// An error about a bond's field.
fn error(spec: &BondSpec, code: Code, field: &str, name: &str, message: impl Into<String>) -> Finding {
    Finding::error(code, sub(field, name), message).about(&spec.name)
}
