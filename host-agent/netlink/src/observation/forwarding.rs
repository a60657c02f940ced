//! Forwarding entries of bridges; never a NIC's own filter.

use rtnetlink::packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::{FdbEntry, FdbState, MacAddr};

use super::{Names, pick};
use crate::failure::Failure;
use crate::socket::{Attributes, Socket};

/// `NUD_NOARP` in `uapi/linux/neighbour.h`: set by somebody, does not age.
const NOARP: u16 = 0x40;
/// `NUD_PERMANENT`: the host's own address.
const PERMANENT: u16 = 0x80;

/// Reads the entries of all bridges, ordered.
pub(super) async fn entries(socket: &Socket, names: &Names) -> Result<Vec<FdbEntry>, Failure> {
    let mut request = NeighbourMessage::default();
    request.header.family = AddressFamily::Bridge;
    let entry_of = |answer| {
        let RouteNetlinkMessage::NewNeighbour(message) = answer else { return None };
        entry(&message, names)
    };
    let mut entries = socket.dump_of(RouteNetlinkMessage::GetNeighbour(request), Attributes::All, entry_of).await?;
    entries.sort();
    // The kernel tells some entries once for the bridge and once for the port.
    entries.dedup();
    Ok(entries)
}

fn entry(message: &NeighbourMessage, names: &Names) -> Option<FdbEntry> {
    let attributes = &message.attributes;
    // An entry of a device's own filter has no bridge.
    let bridge = names.get(pick!(attributes, NeighbourAttribute::Controller)?)?;
    let state = u16::from(message.header.state);
    Some(FdbEntry {
        bridge: bridge.clone(),
        port: names.get(&message.header.ifindex)?.clone(),
        mac: MacAddr::from_bytes(pick!(attributes, NeighbourAttribute::LinkLayerAddress)?).ok()?,
        vlan: pick!(attributes, NeighbourAttribute::Vlan).copied(),
        state: match (state & PERMANENT != 0, state & NOARP != 0) {
            (true, _) => FdbState::Local,
            (false, true) => FdbState::Static,
            (false, false) => FdbState::Learned,
        },
        sticky: message.header.flags.contains(NeighbourFlags::Sticky),
    })
}
