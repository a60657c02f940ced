//! A host's tables, by what stands on what: whatever is asked for many networks then reads each table once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use trestle_model::{DhcpClient, FdbEntry, GuestInterface, HostState, IfName, LibvirtNetwork, Link, LinkKind, Route};

/// An observation with its tables of contents.
///
/// *Shape*: within an entry, everything is in the order of the table that it is from.
pub(crate) struct Census<'a> {
    pub(crate) state: &'a HostState,
    ports: BTreeMap<&'a IfName, Vec<&'a Link>>,
    vlans: BTreeMap<&'a IfName, Vec<&'a Link>>,
    addresses: BTreeMap<IpAddr, Vec<&'a Link>>,
    routes: BTreeMap<&'a IfName, Vec<&'a Route>>,
    entries: BTreeMap<&'a IfName, Vec<&'a FdbEntry>>,
    taps: BTreeMap<&'a IfName, Vec<&'a GuestInterface>>,
    guests: BTreeMap<&'a IfName, Vec<&'a GuestInterface>>,
    strays: BTreeMap<&'a str, Vec<&'a GuestInterface>>,
    served: BTreeMap<&'a str, Vec<&'a GuestInterface>>,
    networks: BTreeMap<&'a str, Vec<&'a LibvirtNetwork>>,
    clients: BTreeMap<&'a IfName, Vec<&'a DhcpClient>>,
}

impl<'a> Census<'a> {
    pub(crate) fn of(state: &'a HostState) -> Self {
        let links = || state.kernel.links.values();
        let base = |link: &'a Link| if let LinkKind::Vlan { base, .. } = &link.kind { Some(base) } else { None };
        let guests = || state.libvirt.iter().flat_map(|libvirt| &libvirt.guests);
        let tap = |guest: &'a GuestInterface| state.kernel.links.get(guest.tap.as_ref()?);
        let stray =
            |guest: &'a GuestInterface| tap(guest).filter(|tap| tap.master.is_none()).and(guest.bridge.as_deref());
        let networks = state.libvirt.iter().flat_map(|libvirt| libvirt.networks.values());
        Self {
            state,
            ports: grouped(links().filter_map(|link| Some((link.master.as_ref()?, link)))),
            vlans: grouped(links().filter_map(|link| Some((base(link)?, link)))),
            addresses: grouped(
                links().flat_map(|link| link.addresses.iter().map(move |address| (address.net.addr(), link))),
            ),
            routes: grouped(state.kernel.routes.iter().map(|route| (&route.device, route))),
            entries: grouped(state.kernel.fdb.iter().map(|entry| (&entry.bridge, entry))),
            taps: grouped(guests().filter_map(|guest| Some((guest.tap.as_ref()?, guest)))),
            guests: grouped(guests().filter_map(|guest| Some((tap(guest)?.master.as_ref()?, guest)))),
            strays: grouped(guests().filter_map(|guest| Some((stray(guest)?, guest)))),
            served: grouped(
                guests()
                    .filter(|guest| guest.tap.is_some())
                    .filter_map(|guest| Some((guest.network.as_deref()?, guest))),
            ),
            networks: grouped(networks.filter_map(|network| Some((network.bridge.as_deref()?, network)))),
            clients: grouped(state.dhcp.iter().map(|client| (&client.spec.link, client))),
        }
    }

    /// Returns the ports of a bridge.
    pub(crate) fn ports(&self, bridge: &IfName) -> &[&'a Link] {
        at(&self.ports, bridge)
    }

    /// Returns the VLAN devices on a device.
    pub(crate) fn vlans(&self, base: &IfName) -> &[&'a Link] {
        at(&self.vlans, base)
    }

    /// Returns the devices that have an address; one that has it with two prefixes, twice.
    pub(crate) fn holders(&self, address: IpAddr) -> &[&'a Link] {
        self.addresses.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Returns the routes through a device.
    pub(crate) fn routes(&self, device: &IfName) -> &[&'a Route] {
        at(&self.routes, device)
    }

    /// Returns the forwarding entries of a bridge.
    pub(crate) fn entries(&self, bridge: &IfName) -> &[&'a FdbEntry] {
        at(&self.entries, bridge)
    }

    /// Returns the DHCP clients on a device.
    pub(crate) fn clients(&self, device: &IfName) -> &[&'a DhcpClient] {
        at(&self.clients, device)
    }

    /// Returns the guest behind a tap.
    pub(crate) fn guest(&self, tap: &IfName) -> Option<&'a GuestInterface> {
        self.behind(tap).first().copied()
    }

    /// Returns everybody behind a tap: one guest, unless libvirt is mistaken.
    pub(crate) fn behind(&self, tap: &IfName) -> &[&'a GuestInterface] {
        at(&self.taps, tap)
    }

    /// Returns the guests that have a tap and a libvirt network's name.
    pub(crate) fn served(&self, network: &str) -> &[&'a GuestInterface] {
        self.served.get(network).map_or(&[], Vec::as_slice)
    }

    /// Returns the guests whose taps are ports of a bridge.
    pub(crate) fn guests(&self, bridge: &IfName) -> &[&'a GuestInterface] {
        at(&self.guests, bridge)
    }

    /// Returns the guests whose domains say that they are on a bridge, and whose taps are ports of nothing.
    pub(crate) fn strays(&self, bridge: &IfName) -> &[&'a GuestInterface] {
        self.strays.get(bridge.as_str()).map_or(&[], Vec::as_slice)
    }

    /// Returns the libvirt networks on a bridge.
    pub(crate) fn networks(&self, bridge: &IfName) -> &[&'a LibvirtNetwork] {
        self.networks.get(bridge.as_str()).map_or(&[], Vec::as_slice)
    }
}

fn grouped<K: Ord, V>(pairs: impl Iterator<Item = (K, V)>) -> BTreeMap<K, Vec<V>> {
    let mut groups = BTreeMap::<K, Vec<V>>::new();
    for (key, value) in pairs {
        groups.entry(key).or_default().push(value);
    }
    groups
}

fn at<'m, V>(groups: &'m BTreeMap<&IfName, Vec<V>>, key: &IfName) -> &'m [V] {
    groups.get(key).map_or(&[], Vec::as_slice)
}
