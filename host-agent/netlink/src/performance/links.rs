//! Devices: made, removed, and set.

mod options;

use std::io;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use trestle_model::{IfName, MacAddr, Mtu, VlanId};

use crate::device::{Device, Devices};
use crate::failure::{Failure, tolerate};

pub(super) use options::{forget_learned, set_bridge, set_info, set_port};

/// `IFLA_IFALIAS` in `uapi/linux/if_link.h`.
const IFALIAS: u16 = 20;

/// Asks for a new device, down.
pub(crate) async fn create(
    devices: &mut Devices<'_>,
    name: &IfName,
    attributes: Vec<LinkAttribute>,
) -> Result<(), Failure> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.as_str().to_owned()));
    message.attributes.extend(attributes);
    devices.socket.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).await
}

pub(super) async fn create_bridge(
    devices: &mut Devices<'_>,
    name: &IfName,
    mac: Option<MacAddr>,
    alias: &str,
) -> Result<(), Failure> {
    let mut attributes = vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)])];
    attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.octets().to_vec())));
    let device = create_or_find(devices, name, attributes).await?;
    if device.kind != Some(InfoKind::Bridge) {
        return Err(Failure::Mismatch(format!("{name} exists and is {}", device.kind_words())));
    }
    set_alias(devices, name, Some(alias)).await
}

pub(super) async fn create_vlan(
    devices: &mut Devices<'_>,
    name: &IfName,
    (base, id): (&IfName, VlanId),
    alias: &str,
) -> Result<(), Failure> {
    let below = devices.require(base).await?;
    let data = LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(id.get())]));
    let attributes =
        vec![LinkAttribute::Link(below.index), LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vlan), data])];
    let device = create_or_find(devices, name, attributes).await?;
    if device.kind != Some(InfoKind::Vlan) {
        return Err(Failure::Mismatch(format!("{name} exists and is {}", device.kind_words())));
    }
    if device.vlan != Some((below.index, id.get())) {
        return Err(Failure::Mismatch(format!("{name} exists and is for another VLAN or on another device")));
    }
    set_alias(devices, name, Some(alias)).await
}

pub(super) async fn delete(devices: &mut Devices<'_>, name: &IfName) -> Result<(), Failure> {
    let Some(device) = devices.find(name).await? else { return Ok(()) };
    let mut message = LinkMessage::default();
    message.header.index = device.index;
    devices.forget_all();
    tolerate(devices.socket.change(RouteNetlinkMessage::DelLink(message), 0).await, &[Errno::ENODEV])
}

/// Sets an alias, if it is not set so already: the kernel ignores one that is given when a device is made.
pub(super) async fn set_alias(devices: &mut Devices<'_>, link: &IfName, alias: Option<&str>) -> Result<(), Failure> {
    let device = devices.require(link).await?;
    if device.alias.as_deref().unwrap_or_default() == alias.unwrap_or_default() {
        return Ok(());
    }
    // Only an attribute of no length clears the alias: an empty text has a closing zero.
    let attribute = match alias {
        Some(alias) if !alias.is_empty() => LinkAttribute::IfAlias(alias.to_owned()),
        Some(_) | None => LinkAttribute::Other(DefaultNla::new(IFALIAS, Vec::new())),
    };
    set(devices, device.index, attribute).await?;
    devices.note(link, |device| device.alias = alias.map(ToOwned::to_owned));
    Ok(())
}

pub(super) async fn set_mac(devices: &mut Devices<'_>, link: &IfName, mac: MacAddr) -> Result<(), Failure> {
    // A bridge's address may have followed a port's since it was looked at.
    devices.forget(link);
    let device = devices.require(link).await?;
    // Also the same address anew makes a bridge sort its local entries anew.
    if device.mac == Some(mac) {
        return Ok(());
    }
    // Ports of a bond, and VLAN devices, follow.
    devices.forget_all();
    set(devices, device.index, LinkAttribute::Address(mac.octets().to_vec())).await
}

pub(super) async fn set_mtu(devices: &mut Devices<'_>, link: &IfName, mtu: Mtu) -> Result<(), Failure> {
    let index = devices.require(link).await?.index;
    set(devices, index, LinkAttribute::Mtu(mtu.get())).await
}

pub(super) async fn set_up(devices: &mut Devices<'_>, link: &IfName, up: bool) -> Result<(), Failure> {
    let mut message = LinkMessage::default();
    message.header.index = devices.require(link).await?.index;
    message.header.flags.set(LinkFlags::Up, up);
    message.header.change_mask = LinkFlags::Up;
    devices.socket.change(RouteNetlinkMessage::SetLink(message), 0).await
}

pub(super) async fn set_master(
    devices: &mut Devices<'_>,
    link: &IfName,
    master: Option<&IfName>,
) -> Result<(), Failure> {
    let index = devices.require(link).await?.index;
    // Index 0 takes the device out of whatever it is in.
    let above = match master {
        Some(master) => devices.require(master).await?.index,
        None => 0,
    };
    set(devices, index, LinkAttribute::Controller(above)).await?;
    // A bond may get another MAC by it, and the device that of the bond.
    devices.forget_all();
    Ok(())
}

/// Switches IPv6 off or on by the one way there is, a file; it is that of the network namespace of this process.
pub(super) async fn set_ipv6_disabled(devices: &mut Devices<'_>, link: &IfName, disabled: bool) -> Result<(), Failure> {
    let index = devices.require(link).await?.index;
    let file = format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6");
    let mut written = tokio::fs::write(&file, if disabled { "1" } else { "0" }).await;
    if !disabled && written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        wake_ipv6(devices, link, index).await?;
        written = tokio::fs::write(&file, "0").await;
    }
    match written {
        Ok(()) => Ok(()),
        // A kernel without IPv6, and a device whose MTU is too small for it, have no such file: IPv6 is off.
        Err(error) if error.kind() == io::ErrorKind::NotFound && disabled => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::Mismatch(format!("{link} has no IPv6: the kernel lacks it, or the MTU is below 1280")))
        }
        Err(error) => Err(Failure::of_io(&error)),
    }
}

/// Lets a device whose MTU has room for IPv6 have it again.
///
/// One that was a bond's port while the MTU was below 1280 loses IPv6, and does not get it back with the MTU that it returns
/// to when the bond lets it go (measured on 6.1); a change of the MTU afterwards brings it.
pub(super) async fn wake_ipv6(devices: &Devices<'_>, link: &IfName, index: u32) -> Result<(), Failure> {
    let text = tokio::fs::read_to_string(format!("/sys/class/net/{link}/mtu")).await;
    let mtu: u32 = text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    let least = Mtu::IPV6_LEAST.get();
    if mtu < least {
        return Ok(());
    }
    let other = if mtu == least { mtu + 1 } else { mtu - 1 };
    set(devices, index, LinkAttribute::Mtu(other)).await?;
    set(devices, index, LinkAttribute::Mtu(mtu)).await
}

/// Returns the device called `name`, which is made of `attributes` where there is none.
pub(super) async fn create_or_find(
    devices: &mut Devices<'_>,
    name: &IfName,
    attributes: Vec<LinkAttribute>,
) -> Result<Device, Failure> {
    match create(devices, name, attributes).await {
        Ok(()) => devices.require(name).await,
        // It is there already, or the name is another device's alternative name: then there is none.
        Err(failure) if failure.errno() == Some(Errno::EEXIST) => devices.find(name).await?.ok_or(failure),
        Err(failure) => Err(failure),
    }
}

async fn set(devices: &Devices<'_>, index: u32, attribute: LinkAttribute) -> Result<(), Failure> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(attribute);
    devices.socket.change(RouteNetlinkMessage::SetLink(message), 0).await
}
