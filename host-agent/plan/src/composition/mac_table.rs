//! The MAC table of a network's bridge: whose addresses are where, which ports learn and flood, and in which VLANs they are.
//!
//! Where libvirt manages it, a guest's MAC is found at its tap alone, and only while the guest's CPUs run: before that, as
//! in a migration, it lives elsewhere. It makes no difference how the guest is wired to the bridge.

use std::collections::BTreeSet;

use trestle_model::{
    BridgeSpec, FdbEntry, FdbState, Feature, GuestInterface, IfName, MacAddr, MacTableManager, NetworkSpec, PortVlans,
    VlanRange,
};

use super::bridged::attributes;
use super::{Composition, why};
use crate::PortChange;
use crate::target::{FdbTarget, KindTarget, LinkTarget, LinkWanted, MasterTarget, VlansTarget};

impl Composition<'_> {
    /// Wants the table of a bridge; `own_mac` is the MAC that the bridge is to have, `pvid` the VLAN of untagged frames.
    pub(super) fn mac_table(&mut self, spec: &NetworkSpec, bridge: &BridgeSpec, own_mac: Option<MacAddr>, pvid: u16) {
        match spec.mac_table_manager {
            MacTableManager::Kernel => {
                for guest in self.ground.census.guests(&bridge.name) {
                    self.release_guest(spec, guest, &bridge.name);
                }
            }
            MacTableManager::Libvirt => {
                self.own_entries(&bridge.name, own_mac, pvid);
                self.manage_guests(spec, &bridge.name, pvid);
            }
        }
    }

    /// Returns the VLANs of an uplink: untagged frames pass in the bridge's default one, where libvirt manages the table.
    pub(super) fn uplink_vlans(&self, spec: &NetworkSpec, bridge: &BridgeSpec) -> VlansTarget {
        let pvid = attributes(spec, bridge).default_pvid;
        if !spec.is_managed() || pvid == 0 || !self.filters() {
            return VlansTarget::Leave;
        }
        VlansTarget::Having { these: [VlanRange::untagged(pvid)].into_iter().collect(), without: BTreeSet::new() }
    }

    fn filters(&self) -> bool {
        self.observed().features.has(Feature::BridgeVlanFiltering)
    }

    /// Wants the host's own address found. The kernel sees to that whenever the address or the VLAN changes; a flush of
    /// the table takes it away, and with it the host's unicast traffic.
    fn own_entries(&mut self, name: &IfName, wanted: Option<MacAddr>, pvid: u16) {
        let Some(link) = self.observed().kernel.links.get(name) else { return };
        let (Some(mac), Some(bridge)) = (link.mac, link.bridge()) else { return };
        if wanted.is_some_and(|wanted| wanted != mac) {
            return;
        }
        // The one in a VLAN that is yet to come comes with it.
        for vlan in [None].into_iter().chain((bridge.default_pvid == pvid).then_some(Some(pvid))) {
            self.entry(name, name, mac, vlan, FdbState::Local);
        }
    }

    fn manage_guests(&mut self, spec: &NetworkSpec, bridge: &IfName, pvid: u16) {
        let census = self.ground.census;
        let is_static = |entry: &&&FdbEntry| entry.state == FdbState::Static;
        let entries: Vec<&FdbEntry> = census.entries(bridge).iter().filter(is_static).copied().collect();
        let held: BTreeSet<(MacAddr, &IfName)> = entries.iter().map(|entry| (entry.mac, &entry.port)).collect();
        let guests = census.guests(bridge).iter().chain(census.strays(bridge));
        let taps = guests.filter_map(|guest| Some((*guest, guest.tap.as_ref()?)));
        let (mut running, others): (Vec<_>, Vec<_>) = taps.partition(|(guest, _)| guest.running);
        // Of two guests with one MAC, the one that has the entry keeps it.
        running.sort_by_key(|(guest, tap)| !held.contains(&(guest.mac, tap)));
        let mut found = BTreeSet::new();
        for (guest, tap) in running {
            let vlans = self.guest_vlans(guest, pvid);
            // A second one cannot have an entry; without one it must go on learning, if it does.
            let learns = if found.insert(guest.mac) { Some(false) } else { None };
            if learns.is_some() {
                for vlan in [None].into_iter().chain(self.member_vlans(tap, &vlans).into_iter().map(Some)) {
                    self.entry(bridge, tap, guest.mac, vlan, FdbState::Static);
                }
            }
            self.guest_port(spec, tap, learns, vlans);
        }
        for (guest, tap) in others {
            // What another guest with its MAC wants is moved there, and not taken away.
            let is_left =
                |entry: &&&FdbEntry| entry.mac == guest.mac && &entry.port == tap && !found.contains(&entry.mac);
            for entry in entries.iter().filter(is_left) {
                self.no_entry(entry);
            }
            // Nobody adds the entry of such a guest at the moment when it runs: until that is seen, it learns.
            let learns = (guest.mac_table_manager == MacTableManager::Kernel).then_some(true);
            self.guest_port(spec, tap, learns, self.guest_vlans(guest, pvid));
        }
        self.bring_back(spec, bridge);
    }

    /// Wants the taps of guests in the bridge that their domains name: one that is taken out, or whose bridge was deleted,
    /// is put back by nobody else until libvirt starts anew.
    fn bring_back(&mut self, spec: &NetworkSpec, bridge: &IfName) {
        for tap in self.ground.census.strays(bridge).iter().filter_map(|guest| guest.tap.as_ref()) {
            let guest = || LinkTarget::Present(LinkWanted::leaving_alone(KindTarget::Guest, why(spec)));
            if let LinkTarget::Present(wanted) = self.target.links.entry(tap.clone()).or_insert_with(guest) {
                wanted.master = MasterTarget::PortOf(bridge.clone());
            }
        }
    }

    fn release_guest(&mut self, spec: &NetworkSpec, guest: &GuestInterface, bridge: &IfName) {
        let Some(tap) = &guest.tap else { return };
        self.guest_port(spec, tap, Some(true), VlansTarget::Leave);
        let of_guest = |entry: &&FdbEntry| {
            entry.mac == guest.mac && &entry.port == tap && &entry.bridge == bridge && entry.state == FdbState::Static
        };
        for entry in self.ground.census.entries(bridge).iter().copied().filter(of_guest) {
            self.no_entry(entry);
        }
    }

    /// Returns the VLANs of a guest's port: those that its domain's XML gives it, else the bridge's default one. The kernel
    /// makes every new port a member of the latter, whatever the XML says.
    fn guest_vlans(&self, guest: &GuestInterface, pvid: u16) -> VlansTarget {
        if pvid == 0 || !self.filters() {
            return VlansTarget::Leave;
        }
        let default = || [VlanRange::untagged(pvid)].into_iter().collect();
        let these: PortVlans = if guest.vlans.is_empty() { default() } else { guest.vlans.clone() };
        let without = [pvid].into_iter().filter(|pvid| these.membership(*pvid).is_none()).collect();
        VlansTarget::Having { these, without }
    }

    /// Returns every VLAN that a port is to be a member of, or is and stays: in each, its guest has to be found.
    fn member_vlans(&self, tap: &IfName, wanted: &VlansTarget) -> BTreeSet<u16> {
        let is = self.observed().kernel.links.get(tap).and_then(|link| link.vlans.as_ref());
        let is = is.into_iter().flat_map(PortVlans::ids);
        match wanted {
            VlansTarget::Leave => is.collect(),
            VlansTarget::Having { these, without } => {
                is.filter(|id| !without.contains(id)).chain(these.ids()).collect()
            }
            VlansTarget::Exactly(these) => these.ids().collect(),
        }
    }

    fn entry(&mut self, bridge: &IfName, port: &IfName, mac: MacAddr, vlan: Option<u16>, state: FdbState) {
        let entry = FdbEntry { bridge: bridge.clone(), port: port.clone(), mac, vlan, state, sticky: false };
        self.target.fdb.push(FdbTarget { bridge: bridge.clone(), mac, vlan, entry: Some(entry) });
    }

    fn no_entry(&mut self, entry: &FdbEntry) {
        let FdbEntry { bridge, mac, vlan, .. } = entry;
        self.target.fdb.push(FdbTarget { bridge: bridge.clone(), mac: *mac, vlan: *vlan, entry: None });
    }

    /// Wants of a guest's port whether it learns and floods, where that is said, and its VLANs.
    fn guest_port(&mut self, spec: &NetworkSpec, tap: &IfName, learns: Option<bool>, vlans: VlansTarget) {
        let mut wanted = LinkWanted::leaving_alone(KindTarget::Guest, why(spec));
        wanted.port = PortChange { learning: learns, flood: learns, ..PortChange::default() };
        wanted.vlans = vlans;
        self.present(tap.clone(), wanted);
    }
}
