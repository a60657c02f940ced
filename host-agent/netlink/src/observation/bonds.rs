//! Bonds and their ports.

use netlink_packet_core::Nla;
use rtnetlink::packet_route::link::{
    BondAdInfo, BondPortState, InfoBond, InfoBondPort, InfoPortData, LacpState, LinkAttribute, LinkInfo, LinkMessage,
    MiiStatus,
};
use trestle_model::{Bond, BondMode, BondOption, BondOptions, BondPort, BondPortLink, Lacp, MacAddr};

use super::links::mac;
use super::{Names, pick};
use crate::bonding::{attribute, value};

/// Reads a bond; none where its mode is one that Trestle does not know.
pub(super) fn bond(data: &[InfoBond], names: &Names) -> Option<Bond> {
    let number = u8::from(*pick!(data, InfoBond::Mode)?);
    let mode = BondMode::ALL.into_iter().find(|mode| mode.number() == number)?;
    let of_mode = BondOption::ALL.into_iter().filter(|option| option.applies_to(mode));
    let options = BondOptions {
        mode,
        numbers: of_mode.filter_map(|option| Some((option, option_value(data, option)?))).collect(),
        primary: pick!(data, InfoBond::Primary).and_then(|index| names.get(index)).cloned(),
        arp_ip_targets: pick!(data, InfoBond::ArpIpTarget).cloned().unwrap_or_default(),
        ad_actor_system: pick!(data, InfoBond::AdActorSystem).and_then(|bytes| mac(bytes)),
    };
    Some(Bond {
        options,
        active_port: pick!(data, InfoBond::ActivePort).and_then(|index| names.get(index)).cloned(),
        lacp: pick!(data, InfoBond::AdInfo).and_then(|info| lacp(info)),
    })
}

/// Returns what a link is as a port of a bond; none unless it is one.
pub(super) fn port(message: &LinkMessage) -> Option<BondPort> {
    let info = pick!(message.attributes, LinkAttribute::LinkInfo)?;
    let Some(InfoPortData::BondPort(port)) = pick!(info, LinkInfo::PortData) else { return None };
    let link = match pick!(port, InfoBondPort::MiiStatus) {
        Some(MiiStatus::Up) => BondPortLink::Up,
        Some(MiiStatus::GoingDown) => BondPortLink::Failing,
        Some(MiiStatus::GoingBack) => BondPortLink::Returning,
        Some(_) | None => BondPortLink::Down,
    };
    Some(BondPort {
        active: pick!(port, InfoBondPort::BondPortState).is_some_and(|state| *state == BondPortState::Active),
        link,
        failures: pick!(port, InfoBondPort::LinkFailureCount).copied().unwrap_or_default(),
        permanent_mac: pick!(port, InfoBondPort::PermHwaddr).and_then(|bytes| mac(bytes)),
        aggregator: pick!(port, InfoBondPort::AdAggregatorId).copied(),
        actor_state: pick!(port, InfoBondPort::AdActorOperPortState).map(|state| bits(*state)),
        partner_state: pick!(port, InfoBondPort::AdPartnerOperPortState).map(|state| bits(*state)),
    })
}

fn bits(state: LacpState) -> u32 {
    u32::from(state.bits())
}

fn option_value(data: &[InfoBond], option: BondOption) -> Option<u32> {
    let (number, _) = attribute(option);
    let found = data.iter().find(|attribute| attribute.kind() == number)?;
    let mut bytes = vec![0; found.value_len()];
    found.emit_value(&mut bytes);
    value(&bytes)
}

fn lacp(info: &[BondAdInfo]) -> Option<Lacp> {
    Some(Lacp {
        aggregator: *pick!(info, BondAdInfo::Aggregator)?,
        ports: pick!(info, BondAdInfo::NumPorts).copied().unwrap_or_default(),
        actor_key: pick!(info, BondAdInfo::ActorKey).copied().unwrap_or_default(),
        partner_key: pick!(info, BondAdInfo::PartnerKey).copied().unwrap_or_default(),
        partner_mac: pick!(info, BondAdInfo::PartnerMac).copied().map_or(MacAddr::new([0; 6]), MacAddr::new),
    })
}
