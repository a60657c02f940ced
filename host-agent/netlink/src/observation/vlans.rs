//! The VLANs of bridges' ports; read only where some bridge filters by VLAN, since elsewhere they have no effect.

use std::collections::BTreeMap;

use nix::libc::IFLA_AF_SPEC;
use rtnetlink::packet_route::link::{
    AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask, LinkMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::{IfName, Link, PortVlans, VlanRange};

use super::{Names, pick};
use crate::failure::Failure;
use crate::socket::{Attributes, Socket};

/// Adds to each port of a bridge that filters by VLAN the VLANs that it is a member of.
pub(super) async fn add_to(links: &mut BTreeMap<IfName, Link>, socket: &Socket, names: &Names) -> Result<(), Failure> {
    let filters = |link: &Link| link.bridge().is_some_and(|bridge| bridge.vlan_filtering);
    let is_filtered = |link: &Link| link.master.as_ref().and_then(|master| links.get(master)).is_some_and(filters);
    let ports: Vec<IfName> = links.values().filter(|link| is_filtered(link)).map(|link| link.name.clone()).collect();
    if ports.is_empty() {
        return Ok(());
    }
    let mut told = dump(socket, names).await?;
    for port in ports {
        if let Some(link) = links.get_mut(&port) {
            link.vlans = Some(told.remove(&port).unwrap_or_default());
        }
    }
    Ok(())
}

/// Dumps the VLANs of all ports of all bridges, in ranges.
async fn dump(socket: &Socket, names: &Names) -> Result<BTreeMap<IfName, PortVlans>, Failure> {
    let mut request = LinkMessage::default();
    request.header.interface_family = AddressFamily::Bridge;
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::BrvlanCompressed]));
    let vlans = |answer| {
        let RouteNetlinkMessage::NewLink(message) = answer else { return None };
        Some((names.get(&message.header.index)?.clone(), vlans(&message)))
    };
    let attributes = Attributes::OfLinks(&[IFLA_AF_SPEC]);
    let told = socket.dump_of(RouteNetlinkMessage::GetLink(request), attributes, vlans).await?;
    Ok(told.into_iter().collect())
}

fn vlans(message: &LinkMessage) -> PortVlans {
    let told = pick!(message.attributes, LinkAttribute::AfSpecBridge).map_or(&[][..], Vec::as_slice);
    let infos = told.iter().filter_map(|told| if let AfSpecBridge::VlanInfo(info) = told { Some(info) } else { None });
    ranges(infos).collect()
}

/// Puts ranges together, of which the kernel tells the beginning and the end.
fn ranges<'i>(infos: impl Iterator<Item = &'i BridgeVlanInfo>) -> impl Iterator<Item = VlanRange> {
    let mut first = None;
    infos.filter_map(move |info| {
        if info.flags.contains(BridgeVlanInfoFlags::RangeBegin) {
            first = Some(info.vid);
            return None;
        }
        Some(VlanRange {
            first: first.take().unwrap_or(info.vid),
            last: info.vid,
            pvid: info.flags.contains(BridgeVlanInfoFlags::Pvid),
            untagged: info.flags.contains(BridgeVlanInfoFlags::Untagged),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_told_by_its_beginning_and_its_end() {
        let info = |vid, flags| BridgeVlanInfo { vid, flags };
        let infos = [
            info(1, BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged),
            info(10, BridgeVlanInfoFlags::RangeBegin),
            info(19, BridgeVlanInfoFlags::RangeEnd),
            info(30, BridgeVlanInfoFlags::empty()),
        ];
        let vlans: PortVlans = ranges(infos.iter()).collect();
        assert_eq!(vlans.to_string(), "1 untagged, 10-19 tagged, 30 tagged");
    }
}
