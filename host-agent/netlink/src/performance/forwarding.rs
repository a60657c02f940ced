//! Forwarding entries of bridges.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use nix::errno::Errno;
use rtnetlink::packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::{FdbEntry, FdbState};

use crate::device::Devices;
use crate::failure::{Failure, tolerate};

/// `NUD_NOARP | NUD_REACHABLE`: static, and what libvirt sends.
const STATIC: u16 = 0x40 | 0x02;

pub(super) async fn replace(devices: &mut Devices<'_>, entry: &FdbEntry) -> Result<(), Failure> {
    let bridge = devices.require(&entry.bridge).await?;
    let port = devices.require(&entry.port).await?;
    if entry.port != entry.bridge && port.master != Some(bridge.index) {
        return Err(Failure::Mismatch(format!("{} is not a port of {}", entry.port, entry.bridge)));
    }
    let mut message = message(entry, port.index);
    message.header.state = match entry.state {
        FdbState::Learned => NeighbourState::Reachable,
        FdbState::Static => NeighbourState::Other(STATIC),
        FdbState::Local => NeighbourState::Permanent,
    };
    message.header.flags.set(NeighbourFlags::Sticky, entry.sticky);
    devices.socket.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE).await
}

pub(super) async fn remove(devices: &mut Devices<'_>, entry: &FdbEntry) -> Result<(), Failure> {
    let Some(bridge) = devices.find(&entry.bridge).await? else { return Ok(()) };
    let Some(port) = devices.find(&entry.port).await? else { return Ok(()) };
    // A device that has left the bridge took its entries with it.
    if entry.port != entry.bridge && port.master != Some(bridge.index) {
        return Ok(());
    }
    let message = RouteNetlinkMessage::DelNeighbour(message(entry, port.index));
    tolerate(devices.socket.change(message, 0).await, &[Errno::ENOENT, Errno::ESRCH, Errno::ENODEV])
}

fn message(entry: &FdbEntry, port: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    // A port's entries are its bridge's (NTF_MASTER); the bridge's own are asked of itself (NTF_SELF).
    let own = entry.port == entry.bridge;
    message.header.flags = if own { NeighbourFlags::Own } else { NeighbourFlags::Controller };
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(entry.mac.octets().to_vec()));
    message.attributes.extend(entry.vlan.map(NeighbourAttribute::Vlan));
    message
}
