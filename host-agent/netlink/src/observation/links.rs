//! Links: one dump tells everything but their addresses.

use std::collections::BTreeMap;

use nix::libc::{
    IFLA_ADDRESS, IFLA_AF_SPEC, IFLA_IFALIAS, IFLA_IFNAME, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER,
    IFLA_MAX_MTU, IFLA_MTU, IFLA_PARENT_DEV_BUS_NAME, IFLA_PARENT_DEV_NAME, IFLA_PERM_ADDRESS, IFLA_PROMISCUITY,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgeStpState, Inet6DevConf, InfoBridge, InfoBridgePort, InfoData, InfoKind,
    InfoPortData, InfoVlan, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, VlanProtocol,
};
use trestle_model::{
    AcceptRa, AddrGenMode, Bridge, Egress, IfName, Ipv6Autoconf, Link, LinkKind, MacAddr, Mtu, NicState, PortFlags,
    VlanId,
};

use super::{Names, bonds, pick};
use crate::bridge_number;
use crate::failure::Failure;
use crate::hardware::Place;
use crate::socket::{Attributes, Socket};

/// The attributes that [`links`], [`names`] and [`places`] look at.
const LOOKED_AT: [u16; 14] = [
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_MTU,
    IFLA_LINK,
    IFLA_MASTER,
    IFLA_LINKINFO,
    IFLA_IFALIAS,
    IFLA_AF_SPEC,
    IFLA_PROMISCUITY,
    IFLA_LINK_NETNSID,
    IFLA_MAX_MTU,
    IFLA_PERM_ADDRESS,
    IFLA_PARENT_DEV_NAME,
    IFLA_PARENT_DEV_BUS_NAME,
];

/// Dumps all links, with the attributes that are looked at here.
pub(super) async fn dump(socket: &Socket) -> Result<Vec<LinkMessage>, Failure> {
    dump_of(socket, &LOOKED_AT, |message| Some(slim(message))).await
}

/// Dumps all links, without their counters, and has of each what `keep` makes of these of its attributes.
pub(super) async fn dump_of<T: Send>(
    socket: &Socket,
    attributes: &'static [u16],
    keep: impl Fn(LinkMessage) -> Option<T> + Sync,
) -> Result<Vec<T>, Failure> {
    let mut request = LinkMessage::default();
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let link = |answer| if let RouteNetlinkMessage::NewLink(link) = answer { keep(link) } else { None };
    socket.dump_of(RouteNetlinkMessage::GetLink(request), Attributes::OfLinks(attributes), link).await
}

/// Leaves out of a message the room for more, and the settings of families that nobody looks at.
fn slim(mut message: LinkMessage) -> LinkMessage {
    for attribute in &mut message.attributes {
        if let LinkAttribute::AfSpecUnspec(families) = attribute {
            families.retain(|family| matches!(family, AfSpecUnspec::Inet6(_)));
            families.shrink_to_fit();
        }
    }
    message.attributes.shrink_to_fit();
    message
}

/// Returns the names of those links whose names Trestle can express.
pub(super) fn names(messages: &[LinkMessage]) -> Names {
    messages
        .iter()
        .filter_map(|message| {
            let name = pick!(message.attributes, LinkAttribute::IfName)?;
            Some((message.header.index, IfName::parse(name).ok()?))
        })
        .collect()
}

/// Returns where to look for what hardware and drivers tell of a device; only of those that are no bridge, no VLAN
/// device, no tap and no loopback.
pub(super) fn places(messages: &[LinkMessage], names: &Names) -> Vec<Place> {
    let place = |message: &LinkMessage| {
        let parent = pick!(message.attributes, LinkAttribute::ParentDevBusName)
            .zip(pick!(message.attributes, LinkAttribute::ParentDevName));
        let name = names.get(&message.header.index)?.clone();
        Some(Place {
            name,
            index: message.header.index,
            parent: parent.map(|(bus, device)| (bus.clone(), device.clone())),
        })
    };
    let may_have = |message: &&LinkMessage| match kind(message, names) {
        LinkKind::Nic | LinkKind::Veth | LinkKind::Other(_) => true,
        LinkKind::Vlan { .. } | LinkKind::Bridge(_) | LinkKind::Bond(_) | LinkKind::Tun | LinkKind::Loopback => false,
    };
    messages.iter().filter(may_have).filter_map(place).collect()
}

/// Reads links, without addresses.
pub(super) fn links(messages: &[LinkMessage], names: &Names) -> BTreeMap<IfName, Link> {
    messages.iter().filter_map(|message| link(message, names)).map(|link| (link.name.clone(), link)).collect()
}

/// Returns a link's flags as a bridge port; none unless it is one.
fn port_flags(message: &LinkMessage) -> Option<PortFlags> {
    let info = pick!(message.attributes, LinkAttribute::LinkInfo)?;
    let Some(InfoPortData::BridgePort(port)) = pick!(info, LinkInfo::PortData) else { return None };
    Some(PortFlags {
        learning: pick!(port, InfoBridgePort::Learning).copied().unwrap_or_default(),
        flood: pick!(port, InfoBridgePort::UnicastFlood).copied().unwrap_or_default(),
        multicast_flood: pick!(port, InfoBridgePort::MulticastFlood).copied().unwrap_or_default(),
        broadcast_flood: pick!(port, InfoBridgePort::BroadcastFlood).copied().unwrap_or_default(),
        isolated: pick!(port, InfoBridgePort::Isolated).copied().unwrap_or_default(),
        locked: pick!(port, InfoBridgePort::Locked).copied().unwrap_or_default(),
    })
}

fn link(message: &LinkMessage, names: &Names) -> Option<Link> {
    let attributes = &message.attributes;
    let flags = message.header.flags;
    Some(Link {
        name: names.get(&message.header.index)?.clone(),
        index: message.header.index,
        kind: kind(message, names),
        mac: pick!(attributes, LinkAttribute::Address).and_then(|bytes| mac(bytes)),
        permanent_mac: pick!(attributes, LinkAttribute::PermAddress).and_then(|bytes| mac(bytes)),
        mtu: mtu(pick!(attributes, LinkAttribute::Mtu).copied().unwrap_or_default()),
        max_mtu: pick!(attributes, LinkAttribute::MaxMtu).copied().filter(|limit| *limit != 0),
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        master: pick!(attributes, LinkAttribute::Controller).and_then(|index| names.get(index)).cloned(),
        alias: pick!(attributes, LinkAttribute::IfAlias).cloned().filter(|alias| !alias.is_empty()),
        port: port_flags(message),
        vlans: None,
        bond_port: bonds::port(message),
        ipv6_disabled: settings(attributes).is_none_or(|settings| settings.disable_ipv6 != 0),
        autoconf: settings(attributes).and_then(autoconf),
        promiscuity: pick!(attributes, LinkAttribute::Promiscuity).copied().unwrap_or_default(),
        egress: Egress::Kernels,
        settings: NicState::default(),
        addresses: Vec::new(),
    })
}

fn kind(message: &LinkMessage, names: &Names) -> LinkKind {
    let info = pick!(message.attributes, LinkAttribute::LinkInfo).map_or(&[][..], Vec::as_slice);
    let Some(kind) = pick!(info, LinkInfo::Kind) else {
        return if message.header.flags.contains(LinkFlags::Loopback) { LinkKind::Loopback } else { LinkKind::Nic };
    };
    let other = || LinkKind::Other(kind.to_string());
    match (kind, pick!(info, LinkInfo::Data)) {
        (InfoKind::Bridge, Some(InfoData::Bridge(data))) => LinkKind::Bridge(bridge(data)),
        (InfoKind::Vlan, Some(InfoData::Vlan(data))) => vlan(message, data, names).unwrap_or_else(other),
        (InfoKind::Bond, Some(InfoData::Bond(data))) => bonds::bond(data, names).map_or_else(other, LinkKind::Bond),
        (InfoKind::Veth, _) => LinkKind::Veth,
        (InfoKind::Tun, _) => LinkKind::Tun,
        (_, _) => other(),
    }
}

/// Reads an 802.1Q VLAN device; none for other tags, and for one whose device below is in another namespace.
fn vlan(message: &LinkMessage, data: &[InfoVlan], names: &Names) -> Option<LinkKind> {
    let elsewhere = pick!(message.attributes, LinkAttribute::LinkNetNsId).is_some();
    let tag = pick!(data, InfoVlan::Protocol).copied().unwrap_or(VlanProtocol::Ieee8021Q);
    if elsewhere || tag != VlanProtocol::Ieee8021Q {
        return None;
    }
    let base = names.get(pick!(message.attributes, LinkAttribute::Link)?)?.clone();
    let id = VlanId::try_from(u32::from(*pick!(data, InfoVlan::Id)?)).ok()?;
    Some(LinkKind::Vlan { base, id })
}

/// Reads a bridge's attributes. The kernel counts times in hundredths of a second here, whatever its own tick is.
fn bridge(data: &[InfoBridge]) -> Bridge {
    Bridge {
        stp: pick!(data, InfoBridge::StpState).is_some_and(|state| *state != BridgeStpState::Disabled),
        ageing_time_cs: pick!(data, InfoBridge::AgeingTime).copied().unwrap_or_default(),
        forward_delay_cs: pick!(data, InfoBridge::ForwardDelay).copied().unwrap_or_default(),
        hello_time_cs: pick!(data, InfoBridge::HelloTime).copied().unwrap_or_default(),
        max_age_cs: pick!(data, InfoBridge::MaxAge).copied().unwrap_or_default(),
        priority: pick!(data, InfoBridge::Priority).copied().unwrap_or_default(),
        multicast_snooping: pick!(data, InfoBridge::MulticastSnooping).copied().unwrap_or_default(),
        multicast_querier: pick!(data, InfoBridge::MulticastQuerier).copied().unwrap_or_default(),
        group_fwd_mask: pick!(data, InfoBridge::GroupFwdMask).copied().unwrap_or_default(),
        vlan_filtering: pick!(data, InfoBridge::VlanFiltering).copied().unwrap_or_default(),
        default_pvid: pick!(data, InfoBridge::VlanDefaultPvid).copied().unwrap_or_default(),
        numbers: bridge_number::read(data),
    }
}

/// Returns a device's IPv6 settings. One that the kernel keeps none for has no IPv6 either.
fn settings(attributes: &[LinkAttribute]) -> Option<&Inet6DevConf> {
    let families = pick!(attributes, LinkAttribute::AfSpecUnspec).map_or(&[][..], Vec::as_slice);
    let inet6 = pick!(families, AfSpecUnspec::Inet6).map_or(&[][..], Vec::as_slice);
    pick!(inet6, AfSpecInet6::DevConf)
}

fn autoconf(settings: &Inet6DevConf) -> Option<Ipv6Autoconf> {
    Some(Ipv6Autoconf {
        accept_ra: AcceptRa::of_kernel(settings.accept_ra)?,
        autoconf: settings.autoconf != 0,
        accept_ra_defrtr: settings.accept_ra_defrtr != 0,
        addr_gen_mode: AddrGenMode::of_kernel(settings.addr_gen_mode)?,
        forwarding: settings.forwarding != 0,
    })
}

pub(super) fn mac(bytes: &[u8]) -> Option<MacAddr> {
    MacAddr::from_bytes(bytes).ok().filter(|mac| !mac.is_zero())
}

/// Brings a kernel's MTU into the range of the model: the loopback has 65536, some tunnels have 0.
fn mtu(value: u32) -> Mtu {
    Mtu::try_from(value.clamp(68, 65_535)).expect("the clamped value is in range")
}
