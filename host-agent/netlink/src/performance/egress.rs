//! What queues what leaves a device: Trestle's classes, each of several messages.
//!
//! A class is whole when its last message is made; what an observation finds half made is made again.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use trestle_model::{HostQos, IfName, TrafficClass, VlanId};

use crate::device::Devices;
use crate::discipline::{self, FLOWER, FQ_CODEL, ROOT};
use crate::failure::{Failure, tolerate};

pub(super) async fn shape(devices: &mut Devices<'_>, name: &IfName, rest: &HostQos) -> Result<(), Failure> {
    let index = devices.require(name).await?.index;
    let mut root = discipline::about(index);
    (root.header.parent, root.header.handle) = (TcHandle::ROOT, ROOT);
    root.attributes = discipline::root();
    // One of somebody else's is there as well then, and refuses the class.
    let made = devices.socket.change(RouteNetlinkMessage::NewQueueDiscipline(root), NLM_F_CREATE | NLM_F_EXCL).await;
    tolerate(made, &[Errno::EEXIST])?;
    class(devices, index, TrafficClass::Rest, rest).await
}

pub(super) async fn unshape(devices: &mut Devices<'_>, name: &IfName) -> Result<(), Failure> {
    let mut root = discipline::about(devices.require(name).await?.index);
    (root.header.parent, root.header.handle) = (TcHandle::ROOT, ROOT);
    let removed = devices.socket.change(RouteNetlinkMessage::DelQueueDiscipline(root), 0).await;
    // Another handle than the root's is invalid.
    tolerate(removed, &[Errno::ENOENT, Errno::EINVAL])
}

pub(super) async fn set_class(
    devices: &mut Devices<'_>,
    name: &IfName,
    kind: TrafficClass,
    qos: &HostQos,
) -> Result<(), Failure> {
    let index = devices.require(name).await?.index;
    class(devices, index, kind, qos).await
}

pub(super) async fn remove_class(devices: &mut Devices<'_>, name: &IfName, kind: TrafficClass) -> Result<(), Failure> {
    let index = devices.require(name).await?.index;
    if let TrafficClass::Vlan(id) = kind {
        // The kernel keeps a class that a filter leads to.
        let mut filter = filter(index, id);
        filter.attributes = vec![TcAttribute::Kind(FLOWER.to_owned())];
        let removed = devices.socket.change(RouteNetlinkMessage::DelTrafficFilter(filter), 0).await;
        tolerate(removed, &[Errno::ENOENT])?;
    }
    let mut class = discipline::about(index);
    (class.header.parent, class.header.handle) = (ROOT, discipline::handle(kind));
    let removed = devices.socket.change(RouteNetlinkMessage::DelTrafficClass(class), 0).await;
    tolerate(removed, &[Errno::ENOENT])
}

async fn class(devices: &Devices<'_>, index: u32, kind: TrafficClass, qos: &HostQos) -> Result<(), Failure> {
    let handle = discipline::handle(kind);
    let mut class = discipline::about(index);
    (class.header.parent, class.header.handle) = (ROOT, handle);
    class.attributes = discipline::rates(qos);
    devices.socket.change(RouteNetlinkMessage::NewTrafficClass(class), NLM_F_CREATE).await?;
    let mut leaf = discipline::about(index);
    leaf.header.parent = handle;
    leaf.attributes = vec![TcAttribute::Kind(FQ_CODEL.to_owned())];
    let made = devices.socket.change(RouteNetlinkMessage::NewQueueDiscipline(leaf), NLM_F_CREATE | NLM_F_EXCL).await;
    tolerate(made, &[Errno::EEXIST])?;
    match kind {
        TrafficClass::Rest => Ok(()),
        TrafficClass::Vlan(id) => {
            let mut filter = filter(index, id);
            filter.attributes = discipline::filter(id);
            devices.socket.change(RouteNetlinkMessage::NewTrafficFilter(filter), NLM_F_CREATE).await
        }
    }
}

fn filter(index: u32, id: VlanId) -> TcMessage {
    let mut filter = discipline::about(index);
    (filter.header.parent, filter.header.handle) = (ROOT, discipline::filter_handle(id));
    filter.header.info = discipline::filter_info();
    filter
}
