//! Addresses on devices.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use nix::errno::Errno;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::{Address, AddressOrigin, IfName};

use crate::device::Devices;
use crate::failure::{Failure, tolerate};
use crate::observation;

/// Adds an address for ever, whatever its origin was.
pub(super) async fn add(devices: &mut Devices<'_>, link: &IfName, address: &Address) -> Result<(), Failure> {
    let index = devices.require(link).await?.index;
    let created = create(devices, address, index, NLM_F_EXCL).await;
    match created {
        Err(failure) if failure.errno() == Some(Errno::EEXIST) => replace(devices, (link, index), address).await,
        other => other,
    }
}

/// Adds an address, or gives one that is there so much time: valid, and preferred, in seconds; the most is for ever.
pub(super) async fn lease(
    devices: &mut Devices<'_>,
    link: &IfName,
    address: &Address,
    (valid_s, preferred_s): (u32, u32),
) -> Result<(), Failure> {
    let index = devices.require(link).await?.index;
    let mut message = new(address, index);
    let mut time = CacheInfo::default();
    (time.ifa_valid, time.ifa_preferred) = (valid_s, preferred_s.min(valid_s));
    message.attributes.push(AddressAttribute::CacheInfo(time));
    devices.socket.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE).await
}

pub(super) async fn remove(devices: &mut Devices<'_>, link: &IfName, address: &Address) -> Result<(), Failure> {
    let Some(device) = devices.find(link).await? else { return Ok(()) };
    // A device that has lost its IPv6 settings altogether answers ENXIO.
    tolerate(delete(devices, address, device.index).await, &[Errno::EADDRNOTAVAIL, Errno::ENODEV, Errno::ENXIO])
}

/// Brings an address that is there into the wanted form, and leaves it alone where it has that form.
async fn replace(devices: &Devices<'_>, link: (&IfName, u32), address: &Address) -> Result<(), Failure> {
    let there = observation::addresses_on_device(devices.socket, family(address), link).await?;
    let there = there.into_iter().find(|found| found.net == address.net);
    let Some(there) = there else { return create(devices, address, link.1, NLM_F_REPLACE).await };
    // An IPv6 address's scope follows from the address, whatever is asked for.
    let scope = if address.net.addr().is_ipv6() { there.scope } else { address.scope };
    let wanted = Address { origin: there.origin, scope, ..address.clone() };
    if there != wanted && address.net.addr().is_ipv4() {
        // The kernel's replacement of an IPv4 address keeps broadcast, label and scope: only a new one takes them.
        delete(devices, address, link.1).await?;
        return create(devices, address, link.1, NLM_F_EXCL).await;
    }
    if there != wanted || matches!(there.origin, AddressOrigin::Dynamic | AddressOrigin::Auto) {
        return create(devices, address, link.1, NLM_F_REPLACE).await;
    }
    Ok(())
}

async fn create(devices: &Devices<'_>, address: &Address, index: u32, flags: u16) -> Result<(), Failure> {
    let message = RouteNetlinkMessage::NewAddress(new(address, index));
    devices.socket.change(message, NLM_F_CREATE | flags).await
}

fn new(address: &Address, index: u32) -> AddressMessage {
    let mut message = message(address, index);
    message.header.scope = address.scope.into();
    if let Some(IpAddr::V4(broadcast)) = address.broadcast {
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    message.attributes.extend(address.label.clone().map(AddressAttribute::Label));
    if address.no_prefix_route {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
    }
    message
}

async fn delete(devices: &Devices<'_>, address: &Address, index: u32) -> Result<(), Failure> {
    devices.socket.change(RouteNetlinkMessage::DelAddress(message(address, index)), 0).await
}

fn message(address: &Address, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = address.net.prefix_len();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(address.net.addr()));
    message.attributes.push(AddressAttribute::Address(address.net.addr()));
    message
}

fn family(address: &Address) -> AddressFamily {
    if address.net.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
