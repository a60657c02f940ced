//! Options of bridges and of their ports.

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    BridgeStpState, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, LinkAttribute,
    LinkInfo, LinkMessage,
};
use trestle_model::IfName;
use trestle_plan::{BridgeChange, PortChange};

use crate::bridge_number;
use crate::device::Devices;
use crate::failure::Failure;

pub(crate) async fn set_bridge(
    devices: &mut Devices<'_>,
    bridge: &IfName,
    change: &BridgeChange,
) -> Result<(), Failure> {
    let index = devices.require(bridge).await?.index;
    // The kernel sets the times before the spanning tree, and checks them against 802.1D while the tree runs: a tree
    // that is to stop must stop first, or a forward delay of 0 would be out of range.
    if change.stp == Some(false) {
        set_bridge_options(devices, index, vec![InfoBridge::StpState(BridgeStpState::Disabled)]).await?;
    }
    let options = bridge_options(change);
    if options.is_empty() {
        return Ok(());
    }
    set_bridge_options(devices, index, options).await
}

pub(crate) async fn set_port(devices: &mut Devices<'_>, port: &IfName, change: &PortChange) -> Result<(), Failure> {
    let index = devices.require(port).await?.index;
    let flags = port_flags(change);
    if flags.is_empty() {
        return Ok(());
    }
    set_port_data(devices, index, flags).await
}

/// Flushes a port: the kernel keeps what is static.
pub(crate) async fn forget_learned(devices: &mut Devices<'_>, port: &IfName) -> Result<(), Failure> {
    let index = devices.require(port).await?.index;
    set_port_data(devices, index, vec![InfoBridgePort::Flush]).await
}

async fn set_port_data(devices: &Devices<'_>, index: u32, flags: Vec<InfoBridgePort>) -> Result<(), Failure> {
    let kind = LinkInfo::PortKind(InfoPortKind::Bridge);
    set_info(devices, index, vec![kind, LinkInfo::PortData(InfoPortData::BridgePort(flags))]).await
}

fn bridge_options(change: &BridgeChange) -> Vec<InfoBridge> {
    let BridgeChange {
        stp,
        ageing_time_cs,
        forward_delay_cs,
        hello_time_cs,
        max_age_cs,
        priority,
        multicast_snooping,
        multicast_querier,
        group_fwd_mask,
        vlan_filtering,
        default_pvid,
        ref numbers,
    } = *change;
    let starts = stp == Some(true);
    [
        forward_delay_cs.map(InfoBridge::ForwardDelay),
        hello_time_cs.map(InfoBridge::HelloTime),
        max_age_cs.map(InfoBridge::MaxAge),
        ageing_time_cs.map(InfoBridge::AgeingTime),
        starts.then_some(InfoBridge::StpState(BridgeStpState::KernelStp)),
        priority.map(InfoBridge::Priority),
        vlan_filtering.map(InfoBridge::VlanFiltering),
        group_fwd_mask.map(InfoBridge::GroupFwdMask),
        default_pvid.map(InfoBridge::VlanDefaultPvid),
        multicast_snooping.map(InfoBridge::MulticastSnooping),
        multicast_querier.map(InfoBridge::MulticastQuerier),
    ]
    .into_iter()
    .flatten()
    .chain(numbers.iter().map(|(number, value)| bridge_number::attribute(number, value)))
    .collect()
}

fn port_flags(change: &PortChange) -> Vec<InfoBridgePort> {
    let PortChange { learning, flood, multicast_flood, broadcast_flood, isolated, locked } = *change;
    [
        learning.map(InfoBridgePort::Learning),
        flood.map(InfoBridgePort::UnicastFlood),
        multicast_flood.map(InfoBridgePort::MulticastFlood),
        broadcast_flood.map(InfoBridgePort::BroadcastFlood),
        isolated.map(InfoBridgePort::Isolated),
        locked.map(InfoBridgePort::Locked),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn set_bridge_options(devices: &Devices<'_>, index: u32, options: Vec<InfoBridge>) -> Result<(), Failure> {
    set_info(devices, index, vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(InfoData::Bridge(options))]).await
}

/// Changes what only `RTM_NEWLINK` changes: without `NLM_F_CREATE` it makes nothing.
pub(crate) async fn set_info(devices: &Devices<'_>, index: u32, info: Vec<LinkInfo>) -> Result<(), Failure> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::LinkInfo(info));
    devices.socket.change(RouteNetlinkMessage::NewLink(message), 0).await
}
