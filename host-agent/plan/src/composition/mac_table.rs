//! The MAC table of a network's bridge: whose addresses are where, and which ports learn and flood.
//!
//! Where libvirt manages it, a guest's MAC is found at its tap alone, and only while the guest's CPUs run: before that, as
//! in a migration, it lives elsewhere. It makes no difference how the guest is wired to the bridge.

use std::collections::BTreeSet;

use trestle_model::{BridgeSpec, FdbEntry, FdbState, GuestInterface, IfName, MacAddr, MacTableManager, NetworkSpec};

use super::{Composition, why};
use crate::PortChange;
use crate::target::{FdbTarget, KindTarget, LinkTarget, LinkWanted, MasterTarget};

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
            // A second one cannot have an entry; without one it must go on learning, if it does.
            if found.insert(guest.mac) {
                self.guest_port(spec, tap, false);
                for vlan in [None, Some(pvid)] {
                    self.entry(bridge, tap, guest.mac, vlan, FdbState::Static);
                }
            }
        }
        for (guest, tap) in others {
            // What another guest with its MAC wants is moved there, and not taken away.
            let is_left =
                |entry: &&&FdbEntry| entry.mac == guest.mac && &entry.port == tap && !found.contains(&entry.mac);
            for entry in entries.iter().filter(is_left) {
                self.no_entry(entry);
            }
            // Nobody adds the entry of such a guest at the moment when it runs: until that is seen, it learns.
            if guest.mac_table_manager == MacTableManager::Kernel {
                self.guest_port(spec, tap, true);
            }
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
        self.guest_port(spec, tap, true);
        let of_guest = |entry: &&FdbEntry| {
            entry.mac == guest.mac && &entry.port == tap && &entry.bridge == bridge && entry.state == FdbState::Static
        };
        for entry in self.ground.census.entries(bridge).iter().copied().filter(of_guest) {
            self.no_entry(entry);
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

    fn guest_port(&mut self, spec: &NetworkSpec, tap: &IfName, learns: bool) {
        let mut wanted = LinkWanted::leaving_alone(KindTarget::Guest, why(spec));
        wanted.port = PortChange { learning: Some(learns), flood: Some(learns), ..PortChange::default() };
        self.present(tap.clone(), wanted);
    }
}
