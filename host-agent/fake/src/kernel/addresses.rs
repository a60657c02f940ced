//! Addresses, in the order in which a kernel keeps them.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use trestle_model::{
    AcceptRa, AddrGenMode, Address, AddressOrigin, IfName, Ipv6Autoconf, Link, LinkKind, MacAddr, Mtu, Route,
};
use trestle_plan::AutoconfChange;

use super::{Answer, Kernel, is_ipv4};

/// The address of every segment's router.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

impl Kernel {
    pub(super) fn set_ipv6_disabled(&mut self, name: &IfName, disabled: bool) -> Answer {
        self.link_mut(name)?.ipv6_disabled = disabled;
        if disabled {
            self.drop_ipv6(name);
        }
        Ok(())
    }

    pub(crate) fn add_address(&mut self, name: &IfName, address: &Address) -> Answer {
        // A lease's remaining time is not in the step: what comes by it stays.
        self.add_with_origin(name, address, AddressOrigin::Static)
    }

    pub(super) fn add_leased_address(&mut self, name: &IfName, address: &Address, valid_s: u32) -> Answer {
        let origin = if valid_s == u32::MAX { AddressOrigin::Static } else { AddressOrigin::Dynamic };
        self.add_with_origin(name, address, origin)
    }

    fn add_with_origin(&mut self, name: &IfName, address: &Address, origin: AddressOrigin) -> Answer {
        let link = self.link_mut(name)?;
        if !is_ipv4(address.net) {
            if link.ipv6_disabled {
                return Err(format!("{} on {name}: Permission denied", address.net));
            }
            if link.mtu < Mtu::IPV6_LEAST {
                return Err(format!("{} on {name}: Invalid argument", address.net));
            }
        }
        let origin = if address.origin == AddressOrigin::Kernel { AddressOrigin::Kernel } else { origin };
        insert(link, Address { origin, ..address.clone() });
        Ok(())
    }

    /// Adds an address as another program would, with its lifetime.
    pub(crate) fn lease_address(&mut self, name: &IfName, address: &Address) {
        if let Some(link) = self.state.links.get_mut(name) {
            insert(link, address.clone());
        }
        self.follow();
    }

    pub(super) fn remove_address(&mut self, name: &IfName, address: &Address) -> Answer {
        let link = self.link_mut(name)?;
        let Some(position) = link.addresses.iter().position(|has| has.net == address.net) else { return Ok(()) };
        let gone = link.addresses.remove(position);
        let host = gone.net.addr();
        let mut lost = vec![host];
        if is_ipv4(gone.net) {
            // The kernel's default (`promote_secondaries` off): secondary addresses go with their primary one.
            let is_orphan = |later: &Address| is_one_network(later, &gone);
            let was_primary = !link.addresses.iter().take(position).any(|earlier| is_one_network(earlier, &gone));
            if was_primary {
                lost.extend(
                    link.addresses.iter().filter(|address| is_orphan(address)).map(|address| address.net.addr()),
                );
                link.addresses.retain(|address| !is_orphan(address));
            }
        }
        let is_last_ipv4 = is_ipv4(gone.net) && !link.addresses.iter().any(|address| is_ipv4(address.net));
        if is_last_ipv4 {
            self.state.routes.retain(|route| route.device != *name || !is_ipv4(route.destination));
        }
        self.lose_sources(&lost);
        Ok(())
    }

    /// Does to routes what the loss of their preferred source does: IPv4 routes go, IPv6 routes forget it.
    fn lose_sources(&mut self, lost: &[IpAddr]) {
        let links = &self.state.links;
        let is_lost = |source: &IpAddr| {
            lost.contains(source)
                && !links.values().any(|link| link.addresses.iter().any(|address| address.net.addr() == *source))
        };
        self.state
            .routes
            .retain(|route| !is_ipv4(route.destination) || !route.preferred_source.as_ref().is_some_and(is_lost));
        for route in &mut self.state.routes {
            route.preferred_source = route.preferred_source.filter(|source| !is_lost(source));
        }
    }

    pub(super) fn set_autoconf(&mut self, name: &IfName, change: AutoconfChange) -> Answer {
        let link = self.link_mut(name)?;
        let Some(settings) = link.autoconf else { return Err(format!("{name}: No such file or directory")) };
        link.autoconf = Some(change.of(settings));
        Ok(())
    }

    /// Lets every device take what the routers of its segment advertise all the time: an address, and a default route.
    /// What it took stays when it no longer listens.
    pub(super) fn follow_routers(&mut self) {
        let mut routes = Vec::new();
        for (segment, prefix) in self.routers.clone() {
            let Some(below) = self.state.links.get(&segment) else { continue };
            let name = below.master.clone().unwrap_or(segment);
            let Some(link) = self.state.links.get_mut(&name) else { continue };
            let speaks_ipv6 = link.up && !link.ipv6_disabled && link.bond_port.is_none();
            let hears = |settings: &Ipv6Autoconf| speaks_ipv6 && settings.accept_ra != AcceptRa::Never;
            let Some(settings) = link.autoconf.filter(hears) else { continue };
            let host = link.addresses.iter().find_map(|address| match address.net {
                IpNet::V6(net) if address.origin == AddressOrigin::Kernel => Some(net.addr()),
                IpNet::V4(_) | IpNet::V6(_) => None,
            });
            if let Some(host) = host.filter(|_| settings.autoconf) {
                let net = IpNet::V6(Ipv6Net::new_assert(joined(prefix.addr(), host), prefix.prefix_len()));
                if !link.addresses.iter().any(|has| has.net.addr() == net.addr()) {
                    insert(
                        link,
                        Address { net, origin: AddressOrigin::Auto, scope: 0, ..link_local(MacAddr::new([0; 6])) },
                    );
                }
            }
            if settings.accept_ra_defrtr {
                routes.push(advertised_default(&name));
            }
        }
        for route in routes {
            if !self.state.routes.contains(&route) {
                self.state.routes.push(route);
            }
        }
    }

    /// Gives every device that is up and speaks IPv6 its link-local address.
    pub(super) fn follow_link_local(&mut self) {
        for link in self.state.links.values_mut() {
            let speaks_ipv6 =
                link.up && !link.ipv6_disabled && link.mtu >= Mtu::IPV6_LEAST && link.kind != LinkKind::Loopback;
            // The kernel gives none to the ports of a bond.
            let makes_one = link.autoconf.is_some_and(|settings| settings.addr_gen_mode != AddrGenMode::None);
            let speaks_ipv6 = speaks_ipv6 && makes_one && link.bond_port.is_none();
            let has_one = link.addresses.iter().any(|address| address.origin == AddressOrigin::Kernel);
            if let Some(mac) = link.mac.filter(|_| speaks_ipv6 && !has_one) {
                link.addresses.push(link_local(mac));
            }
        }
    }
}

/// Inserts an address where the kernel would: IPv4 primary ones before secondary ones, IPv6 the newest first; one that
/// is there already is replaced in its place.
fn insert(link: &mut Link, address: Address) {
    if let Some(has) = link.addresses.iter_mut().find(|has| has.net == address.net) {
        *has = address;
        return;
    }
    let (mut ipv4, mut ipv6): (Vec<Address>, Vec<Address>) =
        link.addresses.drain(..).partition(|address| is_ipv4(address.net));
    if is_ipv4(address.net) {
        let is_secondary = |address: &Address, position: usize, all: &[Address]| {
            all.iter().take(position).any(|earlier| is_one_network(earlier, address))
        };
        let primaries = (0..ipv4.len())
            .filter(|position| ipv4.get(*position).is_some_and(|has| !is_secondary(has, *position, &ipv4)))
            .count();
        if ipv4.iter().any(|earlier| is_one_network(earlier, &address)) {
            ipv4.push(address);
        } else {
            ipv4.insert(primaries, address);
        }
    } else {
        ipv6.insert(0, address);
    }
    ipv4.append(&mut ipv6);
    link.addresses = ipv4;
}

/// Puts the first half of one address before the second half of another.
fn joined(prefix: Ipv6Addr, host: Ipv6Addr) -> Ipv6Addr {
    let upper = prefix.to_bits() & (u128::MAX << 64);
    Ipv6Addr::from_bits(upper | host.to_bits() & u128::from(u64::MAX))
}

/// Returns the default route over a segment's router, as the kernel makes it.
fn advertised_default(device: &IfName) -> Route {
    Route {
        table: Route::MAIN,
        destination: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
        gateway: Some(IpAddr::V6(ROUTER)),
        device: device.clone(),
        metric: 1024,
        preferred_source: None,
        protocol: 9,
        scope: 0,
    }
}

fn is_one_network(a: &Address, b: &Address) -> bool {
    is_ipv4(a.net) && is_ipv4(b.net) && a.net.trunc() == b.net.trunc() && a.scope == b.scope
}

/// Returns the link-local address of a MAC (RFC 4291, appendix A).
fn link_local(mac: MacAddr) -> Address {
    let [a, b, c, d, e, f] = mac.octets();
    let half = |high, low| u16::from_be_bytes([high, low]);
    let host = Ipv6Addr::new(0xfe80, 0, 0, 0, half(a ^ 2, b), half(c, 0xff), half(0xfe, d), half(e, f));
    let net = Ipv6Net::new_assert(host, 64);
    Address {
        net: IpNet::V6(net),
        origin: AddressOrigin::Kernel,
        broadcast: None,
        label: None,
        scope: 253,
        no_prefix_route: false,
    }
}
