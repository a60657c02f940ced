//! What an attachment stands on, and who stands there, too.

use trestle_model::fleet::{Bond, EntityId, Network};
use trestle_model::{Code, Finding, IfName, Ipv4Config, Ipv6Config, Mtu, Southbound};

use super::{IPV4, IPV6};
use crate::layout::{Layout, Placement, bond_name};
use crate::spot::{Spot, enumerate};

/// Judges what a network stands on among the others of its host; `field` is what says so.
pub(crate) fn devices(placement: Placement<'_>, layout: &Layout<'_>, field: &str, spot: &Spot) -> Vec<Finding> {
    let Placement { network, attachment } = placement;
    let mut findings = match &attachment.southbound {
        None => without_southbound(network, field, spot),
        Some(Southbound::Nic(nic)) => on_nic(nic, layout, field, spot),
        Some(Southbound::Bond(bond)) => on_bond(bond, placement, layout, field, spot),
    };
    let sharing = layout.sharing_uplink(placement);
    if !sharing.is_empty() {
        let message = format!("the device carries {} in the same VLAN, or untagged like this one", enumerate(&sharing));
        findings.push(
            spot.error(Code::SouthboundTaken, field, message)
                .related(sharing)
                .remedy("use another NIC or bond, or give the networks different VLANs"),
        );
    }
    let sharing = layout.sharing_bridge_name(placement);
    if !sharing.is_empty() {
        let message = format!("a bridge would have the name of another device of {}", enumerate(&sharing));
        findings.push(
            spot.error(Code::BridgeNameTaken, field, message)
                .related(sharing)
                .remedy("give the network a bridge_name of its own"),
        );
    }
    let outgrowing = layout.outgrowing(placement);
    if !outgrowing.is_empty() {
        let message = format!(
            "of the networks on a device, one without VLAN and bridge has the largest MTU; that does not go with {}",
            enumerate(&outgrowing)
        );
        findings.push(
            spot.error(Code::MtuOutOfRange, field, message)
                .related(outgrowing)
                .remedy("give the networks the same MTU, or another NIC or bond"),
        );
    }
    findings
}

/// Judges the host's addresses on a network among those on the others.
pub(super) fn addresses(placement: Placement<'_>, layout: &Layout<'_>, spot: &Spot) -> Vec<Finding> {
    let Placement { network, attachment } = placement;
    let mut findings = Vec::new();
    let sharing = layout.sharing_address(placement);
    if !sharing.is_empty() {
        let field = if attachment.ipv4 == Ipv4Config::None { IPV6 } else { IPV4 };
        let message = format!("an address is also configured on {}", enumerate(&sharing));
        findings.push(spot.error(Code::AddressTaken, field, message).related(sharing));
    }
    if attachment.ipv6 != Ipv6Config::None && network.mtu < Mtu::IPV6_LEAST {
        let message = format!("IPv6 needs an MTU of {}, network {} has {}", Mtu::IPV6_LEAST, network.id, network.mtu);
        findings.push(
            spot.error(Code::MtuOutOfRange, IPV6, message)
                .related([EntityId::Network(network.id.clone()).to_string()])
                .remedy("raise the network's MTU, or leave IPv6 out"),
        );
    }
    findings
}

fn without_southbound(network: &Network, field: &str, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !network.vm_network {
        let message = format!("network {} has no bridge and so needs a NIC or bond to stand on", network.id);
        let finding = spot.error(Code::BridgelessWithoutSouthbound, field, message);
        findings.push(finding.remedy("name a NIC or bond of the host"));
    }
    if let Some(vlan) = network.vlan {
        let message = format!("network {} has VLAN {vlan}, which needs a NIC or bond", network.id);
        findings.push(spot.error(Code::VlanWithoutSouthbound, field, message).remedy("name a NIC or bond of the host"));
    }
    findings
}

fn on_nic(nic: &IfName, layout: &Layout<'_>, field: &str, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(bond) = layout.bond_with(nic) {
        let message = format!("{nic} is in bond {}", bond.id);
        findings.push(
            spot.error(Code::NicInUse, field, message)
                .related([bond_name(bond)])
                .remedy("let the network stand on the bond, or on another NIC"),
        );
    }
    if let Some(bond) = layout.bond(nic) {
        let finding = spot.error(Code::NicNotFound, field, format!("{nic} is a bond of the host, no NIC"));
        findings.push(finding.related([bond_name(bond)]).remedy("give it as bond"));
    }
    findings
}

fn on_bond(name: &IfName, placement: Placement<'_>, layout: &Layout<'_>, field: &str, spot: &Spot) -> Vec<Finding> {
    if layout.bond(name).is_none() {
        return vec![spot.missing(field, &EntityId::Bond(placement.attachment.host.clone(), name.clone()))];
    }
    let unsafe_mode = |bond: &Bond| {
        let message = format!("mode {} of bond {name} breaks the traffic of guests", bond.options.mode.name());
        spot.error(Code::BondModeUnsafe, field, message)
            .related([bond_name(bond)])
            .remedy("choose active-backup, balance-xor, broadcast or 802.3ad, or another bond")
    };
    layout.unsafe_bond(placement).map(unsafe_mode).into_iter().collect()
}
