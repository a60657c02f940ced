//! What queues what leaves devices: one dump of all disciplines, and one of classes and filters for each device that
//! Trestle shapes.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use trestle_model::{Egress, IfName, Link, Shaping, TrafficClass, VlanId};

use super::{Names, pick};
use crate::discipline::{self, HFSC, ROOT};
use crate::failure::Failure;
use crate::socket::Socket;

/// Adds to links what queues what leaves them; a kernel without queueing disciplines says nothing.
pub(super) async fn add_to(links: &mut BTreeMap<IfName, Link>, socket: &Socket, names: &Names) -> Result<(), Failure> {
    let answers = match socket.dump(RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default())).await {
        Err(failure) if failure.errno() == Some(Errno::EOPNOTSUPP) => return Ok(()),
        other => other?,
    };
    for answer in &answers {
        let RouteNetlinkMessage::NewQueueDiscipline(message) = answer else { continue };
        let Ok(index) = u32::try_from(message.header.index) else { continue };
        let link = names.get(&index).and_then(|name| links.get_mut(name));
        if let Some(link) = link.filter(|_| message.header.parent == TcHandle::ROOT) {
            link.egress = egress(socket, index, message).await?;
        }
    }
    Ok(())
}

/// Reads a device's root discipline. What the kernel makes by itself has no number of its own.
async fn egress(socket: &Socket, index: u32, root: &TcMessage) -> Result<Egress, Failure> {
    let kind = pick!(root.attributes, TcAttribute::Kind).map_or("", String::as_str);
    match root.header.handle {
        TcHandle { major: 0, .. } => Ok(Egress::Kernels),
        ROOT if kind == HFSC => Ok(Egress::Shaped(shaping(socket, index).await?)),
        TcHandle { .. } => Ok(Egress::Foreign(kind.to_owned())),
    }
}

/// Reads the classes that are whole: with rates, a leaf and, but for that of the rest, a filter.
async fn shaping(socket: &Socket, index: u32) -> Result<Shaping, Failure> {
    let led = filters(socket, index).await?;
    let answers = socket.dump(RouteNetlinkMessage::GetTrafficClass(discipline::about(index))).await?;
    let class = |answer: &RouteNetlinkMessage| {
        let RouteNetlinkMessage::NewTrafficClass(message) = answer else { return None };
        let class = discipline::class(message.header.handle)?;
        let is_led = match class {
            TrafficClass::Rest => true,
            TrafficClass::Vlan(id) => led.contains(&id),
        };
        // A class tells its leaf's handle; the kernel's own leaf has none.
        let is_whole = is_led && message.header.info != 0;
        is_whole.then_some((class, discipline::read_rates(message)?))
    };
    Ok(Shaping(answers.iter().filter_map(class).collect()))
}

/// Reads the VLANs that filters lead to their classes.
async fn filters(socket: &Socket, index: u32) -> Result<BTreeSet<VlanId>, Failure> {
    let mut request = discipline::about(index);
    request.header.parent = ROOT;
    let answers = socket.dump(RouteNetlinkMessage::GetTrafficFilter(request)).await?;
    let vlan = |answer: &RouteNetlinkMessage| {
        let RouteNetlinkMessage::NewTrafficFilter(message) = answer else { return None };
        discipline::read_filter(message)
    };
    Ok(answers.iter().filter_map(vlan).collect())
}
