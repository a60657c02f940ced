//! The device below a client, as it is at the moment.

use std::net::Ipv6Addr;

use nix::ifaddrs::getifaddrs;
use trestle_model::{IfName, MacAddr};

/// What an exchange with a server needs to know of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) index: u32,
    pub(crate) mac: MacAddr,
    /// `None` where IPv6 is off, or the address is not there yet.
    pub(crate) link_local: Option<Ipv6Addr>,
}

/// Reads a device; the error says for people why it is no place for a client.
pub(crate) fn device(name: &IfName) -> Result<Device, String> {
    let mut found = None;
    let mut link_local = None;
    let interfaces = getifaddrs().map_err(|error| format!("devices cannot be read: {error}"))?;
    for interface in interfaces.filter(|interface| interface.interface_name == name.as_str()) {
        let Some(address) = interface.address else { continue };
        if let Some(link) = address.as_link_addr() {
            let index = u32::try_from(link.ifindex()).ok();
            found = index.zip(link.addr().map(MacAddr::new));
        } else if let Some(ipv6) = address.as_sockaddr_in6() {
            link_local = link_local.or_else(|| Some(ipv6.ip()).filter(Ipv6Addr::is_unicast_link_local));
        }
    }
    let (index, mac) = found.ok_or_else(|| format!("{name} is not there, or has no hardware address"))?;
    Ok(Device { index, mac, link_local })
}
