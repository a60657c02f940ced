//! A bridged network: the bridge, its uplink's part in it, its guests' isolation and its libvirt network.

use trestle_model::{BondEntry, Bridge, BridgeSpec, MacAddr, NetworkSpec, Southbound};

use super::bond::own_mac;
use super::separation::keeps_filtering;
use super::{Composition, guest_ports, why};
use crate::steps::NEW_BRIDGE;
use crate::target::{
    AddressTarget, DefinitionTarget, DhcpTarget, KindTarget, LibvirtTarget, LibvirtWanted, LinkTarget, LinkWanted,
    MasterTarget, RouteTarget,
};
use crate::{NetworkDefinition, PortChange, ownership};

impl Composition<'_> {
    /// Makes a device a bridge's uplink: it carries nothing of its own.
    pub(super) fn make_port(&self, wanted: &mut LinkWanted, spec: &NetworkSpec, bridge: &BridgeSpec) {
        wanted.master = MasterTarget::PortOf(bridge.name.clone());
        wanted.ipv6_disabled = Some(true);
        wanted.addresses = AddressTarget::Exactly(Vec::new());
        wanted.routes = RouteTarget::Exactly(Vec::new());
        wanted.dhcp = DhcpTarget::Exactly(Vec::new());
        // An uplink that learns would let one stray frame move a guest's static entry to itself.
        wanted.port = PortChange { learning: Some(!spec.is_managed()), flood: Some(true), ..PortChange::default() };
        wanted.vlans = self.uplink_vlans(spec, bridge);
    }

    pub(super) fn bridge(&mut self, spec: &NetworkSpec, bridge: &BridgeSpec) {
        let mut attributes = attributes(spec, bridge);
        // Who has put ports into VLANs counts on their being kept apart.
        attributes.vlan_filtering |= keeps_filtering(spec, self.running, self.ground.census);
        let pvid = attributes.default_pvid;
        let mut wanted = self.made(KindTarget::Bridge(attributes), spec);
        wanted.mac = spec.southbound.as_ref().and_then(|southbound| self.mac_below(southbound));
        let mac = wanted.mac;
        self.make_top(&mut wanted, spec);
        self.present(bridge.name.clone(), wanted);
        self.mac_table(spec, bridge, mac, pvid);
        self.isolation(spec, bridge);
        self.libvirt_network(spec, bridge);
    }

    /// Returns the MAC that a bridge has from what it stands on.
    fn mac_below(&self, southbound: &Southbound) -> Option<MacAddr> {
        let links = &self.observed().kernel.links;
        let entry = southbound.bond().and_then(|bond| self.desired.bonds.get(bond));
        // Where a bond's MAC comes and goes with the active port, the bridge has one that stays.
        let of_first = |entry: &BondEntry| entry.spec.nics.iter().find_map(|nic| own_mac(links.get(nic)?));
        match entry {
            Some(entry) => entry.mac.or_else(|| of_first(entry)),
            None => links.get(southbound.device()).and_then(own_mac),
        }
    }

    /// Isolates guests' ports from one another. Ports that are isolated for another reason, as by their domain's XML, are
    /// left alone where the network never asked for it.
    fn isolation(&mut self, spec: &NetworkSpec, bridge: &BridgeSpec) {
        let was_isolated = self.running.networks.get(&spec.name).is_some_and(|entry| entry.spec.port_isolation);
        if !spec.port_isolation && !was_isolated {
            return;
        }
        for tap in guest_ports(self.ground.census, &bridge.name) {
            let guest = || LinkTarget::Present(LinkWanted::leaving_alone(KindTarget::Guest, why(spec)));
            if let LinkTarget::Present(wanted) = self.target.links.entry(tap).or_insert_with(guest) {
                wanted.port.isolated = Some(spec.port_isolation);
            }
        }
    }

    fn libvirt_network(&mut self, spec: &NetworkSpec, bridge: &BridgeSpec) {
        let Some(libvirt) = &self.observed().libvirt else { return };
        let name = ownership::libvirt_name(&spec.name);
        let definition = NetworkDefinition {
            name: name.clone(),
            uuid: libvirt.networks.get(&name).map(|network| network.uuid),
            bridge: bridge.name.clone(),
            mac_table_manager: spec.mac_table_manager,
            owner: spec.name.to_string(),
        };
        let wanted = LibvirtWanted {
            why: why(spec),
            definition: DefinitionTarget::Trestles(definition),
            active: true,
            autostart: true,
        };
        self.target.libvirt.insert(name, LibvirtTarget::Present(wanted));
    }
}

/// Returns the attributes of a network's bridge: what is not set is as the kernel makes it.
pub(super) fn attributes(spec: &NetworkSpec, bridge: &BridgeSpec) -> Bridge {
    let options = &bridge.options;
    Bridge {
        stp: bridge.stp,
        ageing_time_cs: options.ageing_time_cs.unwrap_or(NEW_BRIDGE.ageing_time_cs),
        forward_delay_cs: options.forward_delay_cs.unwrap_or(NEW_BRIDGE.forward_delay_cs),
        hello_time_cs: options.hello_time_cs.unwrap_or(NEW_BRIDGE.hello_time_cs),
        max_age_cs: options.max_age_cs.unwrap_or(NEW_BRIDGE.max_age_cs),
        priority: options.priority.unwrap_or(NEW_BRIDGE.priority),
        multicast_snooping: options.multicast_snooping.unwrap_or(NEW_BRIDGE.multicast_snooping),
        multicast_querier: options.multicast_querier.unwrap_or(NEW_BRIDGE.multicast_querier),
        group_fwd_mask: options.group_fwd_mask.unwrap_or(NEW_BRIDGE.group_fwd_mask),
        vlan_filtering: options.vlan_filtering.unwrap_or_else(|| spec.is_managed()),
        default_pvid: options.default_pvid.unwrap_or(NEW_BRIDGE.default_pvid),
        numbers: options.numbers.unusual(),
    }
}
