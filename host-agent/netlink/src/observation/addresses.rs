//! Addresses, v4 and v6, and how they came to be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::{Address, AddressOrigin, IfName, Link, MacAddr};

use super::{Names, pick};
use crate::failure::Failure;
use crate::socket::Socket;

/// Adds to `links` their addresses: IPv4 first, in the kernel's order within each family.
pub(super) async fn add_to(links: &mut BTreeMap<IfName, Link>, socket: &Socket, names: &Names) -> Result<(), Failure> {
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        for message in dump(socket, family).await? {
            let Some(link) = names.get(&message.header.index).and_then(|name| links.get_mut(name)) else { continue };
            link.addresses.extend(address(&message, link.name.as_str(), link.mac));
        }
    }
    Ok(())
}

/// Reads the addresses of one family on one device.
pub(crate) async fn on_device(
    socket: &Socket,
    family: AddressFamily,
    (name, index): (&IfName, u32),
) -> Result<Vec<Address>, Failure> {
    let messages = dump(socket, family).await?;
    let here = messages.iter().filter(|message| message.header.index == index);
    Ok(here.filter_map(|message| address(message, name.as_str(), None)).collect())
}

/// Tells whether an address is on the host, but not usable before duplicates of it have been looked for.
pub(crate) async fn is_tentative(socket: &Socket, address: IpAddr) -> Result<bool, Failure> {
    let messages = dump(socket, AddressFamily::Inet6).await?;
    Ok(messages.iter().any(|message| {
        pick!(message.attributes, AddressAttribute::Address) == Some(&address)
            && flags(message).contains(AddressFlags::Tentative)
    }))
}

async fn dump(socket: &Socket, family: AddressFamily) -> Result<Vec<AddressMessage>, Failure> {
    let mut request = AddressMessage::default();
    request.header.family = family;
    let answers = socket.dump(RouteNetlinkMessage::GetAddress(request)).await?;
    let messages = answers
        .into_iter()
        .filter_map(|answer| if let RouteNetlinkMessage::NewAddress(message) = answer { Some(message) } else { None });
    // A kernel without the family answers for all families.
    Ok(messages.filter(|message| message.header.family == family).collect())
}

fn address(message: &AddressMessage, device: &str, mac: Option<MacAddr>) -> Option<Address> {
    let attributes = &message.attributes;
    // On a point-to-point link IFA_ADDRESS is the peer; IPv6 leaves IFA_LOCAL out where there is no peer.
    let own = pick!(attributes, AddressAttribute::Local).or_else(|| pick!(attributes, AddressAttribute::Address))?;
    let flags = flags(message);
    Some(Address {
        net: IpNet::new(*own, message.header.prefix_len).ok()?,
        origin: origin(message, flags, *own, mac),
        broadcast: pick!(attributes, AddressAttribute::Broadcast).copied().map(IpAddr::V4),
        label: pick!(attributes, AddressAttribute::Label).filter(|label| label.as_str() != device).cloned(),
        scope: u8::from(message.header.scope),
        no_prefix_route: flags.contains(AddressFlags::Noprefixroute),
    })
}

/// Returns all flags: the attribute has 32 of them, the header only the first eight.
fn flags(message: &AddressMessage) -> AddressFlags {
    pick!(message.attributes, AddressAttribute::Flags)
        .copied()
        .unwrap_or_else(|| AddressFlags::from_bits_retain(u32::from(message.header.flags.bits())))
}

fn origin(message: &AddressMessage, flags: AddressFlags, own: IpAddr, mac: Option<MacAddr>) -> AddressOrigin {
    // IFA_PROTO tells since kernel 5.18.
    match pick!(message.attributes, AddressAttribute::Protocol) {
        Some(AddressProtocol::Loopback | AddressProtocol::LinkLocal) => return AddressOrigin::Kernel,
        Some(AddressProtocol::RouterAnnouncement) => return AddressOrigin::Auto,
        Some(AddressProtocol::Other(_) | _) | None => {}
    }
    if own.is_loopback() {
        return AddressOrigin::Kernel;
    }
    let made_by_kernel = flags.contains(AddressFlags::StablePrivacy) || mac.is_some_and(|mac| is_eui64(own, mac));
    if !flags.contains(AddressFlags::Permanent) {
        let is_auto = own.is_ipv6() && (made_by_kernel || flags.contains(AddressFlags::Secondary));
        return if is_auto { AddressOrigin::Auto } else { AddressOrigin::Dynamic };
    }
    if is_link_local(own) && made_by_kernel { AddressOrigin::Kernel } else { AddressOrigin::Static }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Tells whether the address's last 64 bits are made of `mac`.
///
/// *Source*: RFC 4291, appendix A.
fn is_eui64(address: IpAddr, mac: MacAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    let [a, b, c, d, e, f] = mac.octets();
    address.octets().ends_with(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(own: &str, flags: AddressFlags, protocol: Option<AddressProtocol>) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.prefix_len = 24;
        message.attributes.push(AddressAttribute::Address(own.parse().unwrap()));
        message.attributes.push(AddressAttribute::Flags(flags));
        message.attributes.extend(protocol.map(AddressAttribute::Protocol));
        message
    }

    #[test]
    fn tells_who_made_an_address() {
        let mac = Some("52:54:00:00:00:01".parse().unwrap());
        let permanent = AddressFlags::Permanent;
        let private = AddressFlags::Permanent | AddressFlags::StablePrivacy;
        let cases = [
            ("10.0.0.1", permanent, None, AddressOrigin::Static),
            ("10.0.0.1", AddressFlags::empty(), None, AddressOrigin::Dynamic),
            ("2001:db8::1", AddressFlags::empty(), None, AddressOrigin::Dynamic),
            ("2001:db8::1", AddressFlags::empty(), Some(AddressProtocol::RouterAnnouncement), AddressOrigin::Auto),
            ("2001:db8::5054:ff:fe00:1", AddressFlags::empty(), None, AddressOrigin::Auto),
            ("2001:db8::1", AddressFlags::StablePrivacy, None, AddressOrigin::Auto),
            // `IFA_F_TEMPORARY` has the number of `IFA_F_SECONDARY`: drawn at random for privacy (RFC 8981).
            ("2001:db8::1", AddressFlags::Secondary, None, AddressOrigin::Auto),
            ("127.0.0.1", permanent, None, AddressOrigin::Kernel),
            ("fe80::9", permanent, Some(AddressProtocol::LinkLocal), AddressOrigin::Kernel),
            ("fe80::9", permanent, None, AddressOrigin::Static),
            ("fe80::9", private, None, AddressOrigin::Kernel),
            ("fe80::5054:ff:fe00:1", permanent, None, AddressOrigin::Kernel),
            ("2001:db8::5054:ff:fe00:1", permanent, None, AddressOrigin::Static),
        ];
        for (own, flags, protocol, expected) in cases {
            let found = address(&message(own, flags, protocol), "eth0", mac).unwrap();
            assert_eq!(found.origin, expected, "{own} with {flags:?} by {protocol:?}");
        }
    }

    #[test]
    fn takes_the_local_address_of_a_point_to_point_link() {
        let mut message = message("10.0.0.2", AddressFlags::Permanent, None);
        message.header.prefix_len = 32;
        message.attributes.push(AddressAttribute::Local("10.0.0.1".parse().unwrap()));
        assert_eq!(address(&message, "tun0", None).unwrap().net.to_string(), "10.0.0.1/32");
    }
}
