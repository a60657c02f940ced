//! VLANs of bridges' ports.

use nix::errno::Errno;
use rtnetlink::packet_route::link::{AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::{IfName, VlanRange};

use crate::device::Devices;
use crate::failure::{Failure, tolerate};

pub(super) async fn add(devices: &mut Devices<'_>, port: &IfName, vlans: &VlanRange) -> Result<(), Failure> {
    let mut flags = BridgeVlanInfoFlags::empty();
    flags.set(BridgeVlanInfoFlags::Pvid, vlans.pvid);
    flags.set(BridgeVlanInfoFlags::Untagged, vlans.untagged);
    let message = message(devices.require(port).await?.index, (vlans.first, vlans.last), flags);
    devices.socket.change(RouteNetlinkMessage::SetLink(message), 0).await
}

pub(super) async fn remove(devices: &mut Devices<'_>, port: &IfName, first: u16, last: u16) -> Result<(), Failure> {
    let Some(device) = devices.find(port).await? else { return Ok(()) };
    // A device that has left its bridge left its VLANs with it.
    if device.master.is_none() {
        return Ok(());
    }
    // In a range, the kernel passes over the VLANs that the port is no member of; of a single one it says so.
    let message = message(device.index, (first, last), BridgeVlanInfoFlags::empty());
    tolerate(devices.socket.change(RouteNetlinkMessage::DelLink(message), 0).await, &[Errno::ENOENT])
}

fn message(index: u32, (first, last): (u16, u16), flags: BridgeVlanInfoFlags) -> LinkMessage {
    let vlan = |vid, flags| AfSpecBridge::VlanInfo(BridgeVlanInfo { vid, flags });
    let vlans = if first == last {
        vec![vlan(first, flags)]
    } else {
        vec![vlan(first, flags | BridgeVlanInfoFlags::RangeBegin), vlan(last, flags | BridgeVlanInfoFlags::RangeEnd)]
    };
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = index;
    message.attributes.push(LinkAttribute::AfSpecBridge(vlans));
    message
}
