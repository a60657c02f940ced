//! Bonds: made, and set.

use netlink_packet_core::DefaultNla;
use rtnetlink::packet_route::link::{BondMode as WireMode, InfoBond, InfoData, InfoKind, LinkAttribute, LinkInfo};
use trestle_model::{BondMode, IfName, MacAddr};
use trestle_plan::BondTuning;

use super::links::{create_or_find, set_alias, set_info};
use crate::bonding::{attribute, bytes};
use crate::device::Devices;
use crate::failure::Failure;

pub(super) async fn create_bond(
    devices: &mut Devices<'_>,
    name: &IfName,
    (mode, mac): (BondMode, Option<MacAddr>),
    alias: &str,
) -> Result<(), Failure> {
    let data = InfoData::Bond(vec![InfoBond::Mode(WireMode::from(mode.number()))]);
    let info = vec![LinkInfo::Kind(InfoKind::Bond), LinkInfo::Data(data)];
    let mut attributes = vec![LinkAttribute::LinkInfo(info)];
    attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.octets().to_vec())));
    let device = create_or_find(devices, name, attributes).await?;
    if device.kind != Some(InfoKind::Bond) {
        return Err(Failure::Mismatch(format!("{name} exists and is {}", device.kind_words())));
    }
    set_alias(devices, name, Some(alias)).await
}

pub(super) async fn set_bond(devices: &mut Devices<'_>, bond: &IfName, change: &BondTuning) -> Result<(), Failure> {
    let index = devices.require(bond).await?.index;
    let mut options = Vec::new();
    options.extend(change.mode.map(|mode| InfoBond::Mode(WireMode::from(mode.number()))));
    for (option, value) in &change.numbers {
        options.push(InfoBond::Other(DefaultNla::new(attribute(*option).0, bytes(*option, *value))));
    }
    options.extend(change.arp_ip_targets.clone().map(InfoBond::ArpIpTarget));
    if let Some(primary) = &change.primary {
        // Index 0 is no port, and clears it.
        let index = match primary.port() {
            Some(port) => devices.require(port).await?.index,
            None => 0,
        };
        options.push(InfoBond::Primary(index));
    }
    if let Some(port) = &change.active_port {
        options.push(InfoBond::ActivePort(devices.require(port).await?.index));
    }
    options.extend(change.ad_actor_system.map(|system| InfoBond::AdActorSystem(system.octets())));
    if options.is_empty() {
        return Ok(());
    }
    // The kernel sets them in an order of its own, whatever the order here.
    set_info(devices, index, vec![LinkInfo::Kind(InfoKind::Bond), LinkInfo::Data(InfoData::Bond(options))]).await
}
