//! The MAC table of a network's bridge: whose addresses are where, which ports learn and flood, and in which VLANs they are.
//!
//! Where libvirt manages it, a guest's MAC is found at its tap alone, and only while the guest's CPUs run: before that, as
//! in a migration, it lives elsewhere. It makes no difference how the guest is wired to the bridge.

use std::borrow::Cow;
use std::collections::BTreeSet;

use trestle_model::{
    BridgeSpec, FdbEntry, FdbState, Feature, GuestInterface, GuestPorts, HostConfig, IfName, Link, MacAddr,
    MacTableManager, NetworkSpec, PortVlans, SourceMacs, VlanRange,
};

use super::bridged::attributes;
use super::{Composition, why};
use crate::PortChange;
use crate::target::{FdbTarget, KindTarget, LearnedTarget, LinkWanted, MasterTarget, VlansTarget};

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

    /// Returns the VLANs of an uplink: untagged frames pass in the bridge's default one, where libvirt manages the table, and
    /// tagged ones where some guest may have them.
    pub(super) fn uplink_vlans(&self, spec: &NetworkSpec, bridge: &BridgeSpec) -> VlansTarget {
        let pvid = attributes(spec, bridge).default_pvid;
        let rules = GuestRules::of(spec, self.running);
        rules.vlans(self.default_vlan(spec, pvid), rules.now.all_vlans(), &rules.before.all_vlans())
    }

    /// Returns the VLAN of untagged frames where a port is to be in it.
    fn default_vlan(&self, spec: &NetworkSpec, pvid: u16) -> PortVlans {
        let has = spec.is_managed() && pvid != 0 && self.filters();
        has.then(|| VlanRange::untagged(pvid)).into_iter().collect()
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
        let rules = GuestRules::of(spec, self.running);
        let is_static = |entry: &&&FdbEntry| entry.state == FdbState::Static;
        let entries: Vec<&FdbEntry> = census.entries(bridge).iter().filter(is_static).copied().collect();
        let held: BTreeSet<(MacAddr, &IfName)> = entries.iter().map(|entry| (entry.mac, &entry.port)).collect();
        let guests = census.guests(bridge).iter().chain(census.strays(bridge));
        let taps = guests.filter_map(|guest| Some((*guest, guest.tap.as_ref()?)));
        let (mut running, others): (Vec<_>, Vec<_>) = taps.partition(|(guest, _)| guest.running);
        // Of two guests with one MAC, the one that has the entry keeps it.
        running.sort_by_key(|(guest, tap)| !held.contains(&(guest.mac, tap)));
        // What is some guest's own is no other's further one.
        let mut found: BTreeSet<MacAddr> = running.iter().map(|(guest, _)| guest.mac).collect();
        let mut places = BTreeSet::new();
        let mut own = BTreeSet::new();
        for (guest, tap) in running {
            let vlans = self.guest_vlans(spec, guest, pvid);
            // A second one cannot have an entry; without one it must go on learning, if it does.
            let opens = if own.insert(guest.mac) { Opens::Shut } else { Opens::Leave };
            if opens == Opens::Shut {
                let extras = rules.now.extra_macs(guest.mac).filter(|mac| found.insert(*mac));
                for mac in [guest.mac].into_iter().chain(extras.collect::<Vec<_>>()) {
                    for vlan in [None].into_iter().chain(self.member_vlans(tap, &vlans).into_iter().map(Some)) {
                        self.entry(bridge, tap, mac, vlan, FdbState::Static);
                        places.insert((mac, vlan));
                    }
                }
            }
            self.guest_port(spec, tap, &rules, opens, vlans);
        }
        let at_tap = |guest: &GuestInterface, tap: &IfName, entry: &FdbEntry| {
            &entry.port == tap && rules.is_of(guest.mac, entry.mac)
        };
        let taps = census.guests(bridge).iter().filter_map(|guest| Some((*guest, guest.tap.as_ref()?)));
        for (guest, tap) in taps {
            // What is no longer allowed goes, and all of a guest whose CPUs stand still; what another guest with its MAC
            // wants is moved there, and not taken away.
            let is_left = |entry: &&&FdbEntry| {
                let goes = !guest.running || rules.is_forbidden(guest.mac, entry);
                goes && at_tap(guest, tap, entry) && !places.contains(&(entry.mac, entry.vlan))
            };
            for entry in entries.iter().filter(is_left).filter(|entry| guest.running || !own.contains(&entry.mac)) {
                self.no_entry(entry);
            }
        }
        for (guest, tap) in others {
            // Nobody adds the entry of such a guest at the moment when it runs: until that is seen, it learns.
            let opens = if guest.mac_table_manager == MacTableManager::Kernel { Opens::Open } else { Opens::Leave };
            let vlans = self.guest_vlans(spec, guest, pvid);
            self.guest_port(spec, tap, &rules, opens, vlans);
        }
    }

    fn release_guest(&mut self, spec: &NetworkSpec, guest: &GuestInterface, bridge: &IfName) {
        let Some(tap) = &guest.tap else { return };
        let rules = GuestRules::of(spec, self.running);
        let vlans = rules.vlans(PortVlans::NONE, BTreeSet::new(), &rules.before.vlans(guest.mac).collect());
        self.guest_port(spec, tap, &rules, Opens::Open, vlans);
        let of_guest = |entry: &&FdbEntry| {
            rules.is_of(guest.mac, entry.mac)
                && &entry.port == tap
                && &entry.bridge == bridge
                && entry.state == FdbState::Static
        };
        for entry in self.ground.census.entries(bridge).iter().copied().filter(of_guest) {
            self.no_entry(entry);
        }
    }

    /// Returns the VLANs of a guest's port: those that its domain's XML gives it, else the bridge's default one, and those that
    /// it may have. The kernel makes every new port a member of the default one, whatever the XML says.
    fn guest_vlans(&self, spec: &NetworkSpec, guest: &GuestInterface, pvid: u16) -> VlansTarget {
        let rules = GuestRules::of(spec, self.running);
        let default = self.default_vlan(spec, pvid);
        let mut gone: BTreeSet<u16> = rules.before.vlans(guest.mac).collect();
        let base = if guest.vlans.is_empty() || default.is_empty() {
            default
        } else {
            gone.insert(pvid);
            guest.vlans.clone()
        };
        rules.vlans(base, rules.now.vlans(guest.mac).collect(), &gone)
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

    /// Wants an entry gone. One in a VLAN that its port has left is out of reach, and without effect: the kernel refuses to
    /// remove it.
    fn no_entry(&mut self, entry: &FdbEntry) {
        let FdbEntry { bridge, port, mac, vlan, .. } = entry;
        let vlans = self.observed().kernel.links.get(port).and_then(|link| link.vlans.as_ref());
        if let (Some(vlans), Some(vlan)) = (vlans, vlan)
            && vlans.membership(*vlan).is_none()
        {
            return;
        }
        self.target.fdb.push(FdbTarget { bridge: bridge.clone(), mac: *mac, vlan: *vlan, entry: None });
    }

    /// Wants of a guest's port its place, its flags and its VLANs.
    fn guest_port(
        &mut self,
        spec: &NetworkSpec,
        tap: &IfName,
        rules: &GuestRules<'_>,
        opens: Opens,
        vlans: VlansTarget,
    ) {
        let mut wanted = LinkWanted::leaving_alone(KindTarget::Guest, why(spec));
        let learns = match opens {
            Opens::Open => Some(true),
            Opens::Shut => Some(false),
            Opens::Leave => None,
        };
        let locks = rules.now.source_macs == SourceMacs::Locked;
        let locked = match opens {
            // Nobody's lock is taken away that no rule of the network's has set.
            Opens::Open => (locks || rules.before.source_macs == SourceMacs::Locked).then_some(false),
            Opens::Shut if locks => Some(true),
            Opens::Shut => (rules.before.source_macs == SourceMacs::Locked).then_some(false),
            Opens::Leave => None,
        };
        wanted.port = PortChange { learning: learns, flood: learns, locked, ..PortChange::default() };
        wanted.vlans = vlans;
        let link = self.observed().kernel.links.get(tap);
        // What was learned while the port still did, and be it in a guest's favour who spoofs, nothing else corrects: neither
        // this port nor the uplink learns.
        let is_shut = learns == Some(false) || (learns.is_none() && link.is_some_and(is_deaf));
        wanted.learned = if is_shut { LearnedTarget::Nothing } else { LearnedTarget::Leave };
        let is_stray = link.is_some_and(|link| link.master.is_none());
        if let Some(bridge) = spec.bridge().filter(|_| is_stray) {
            wanted.master = MasterTarget::PortOf(bridge.name.clone());
        }
        self.present(tap.clone(), wanted);
    }
}

/// Tells whether a port does not learn.
fn is_deaf(link: &Link) -> bool {
    link.port.is_some_and(|flags| !flags.learning)
}

/// Whether a guest's port learns and floods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opens {
    /// It does, and is not locked.
    Open,
    /// It does not, and is locked where that is the rule: its guest is found by entries alone.
    Shut,
    /// As it does.
    Leave,
}

/// The rules of a network's guests' ports, and those that were in force before.
struct GuestRules<'a> {
    now: Cow<'a, GuestPorts>,
    before: Cow<'a, GuestPorts>,
}

impl<'a> GuestRules<'a> {
    fn of(spec: &'a NetworkSpec, running: &'a HostConfig) -> Self {
        let in_force = |spec: &'a NetworkSpec| {
            if spec.is_managed() { Cow::Borrowed(&spec.guest_ports) } else { Cow::Owned(GuestPorts::default()) }
        };
        let before = running.networks.get(&spec.name).map(|entry| in_force(&entry.spec));
        Self { now: in_force(spec), before: before.unwrap_or_default() }
    }

    /// Returns the wish for `base` and for these VLANs, tagged, and for none of `gone` that are not among them.
    fn vlans(&self, base: PortVlans, tagged: BTreeSet<u16>, gone: &BTreeSet<u16>) -> VlansTarget {
        let mut these = base;
        for id in tagged {
            if these.membership(id).is_none() {
                these.add(VlanRange::tagged(id));
            }
        }
        let without: BTreeSet<u16> = gone.iter().copied().filter(|id| these.membership(*id).is_none()).collect();
        if these.is_empty() && without.is_empty() {
            return VlansTarget::Leave;
        }
        VlansTarget::Having { these, without }
    }

    /// Tells whether a MAC is a NIC's own or a further one of it, now or before.
    fn is_of(&self, nic: MacAddr, mac: MacAddr) -> bool {
        mac == nic || self.now.extra_macs(nic).chain(self.before.extra_macs(nic)).any(|extra| extra == mac)
    }

    /// Tells whether an entry at a NIC's port was allowed before and is no longer.
    fn is_forbidden(&self, nic: MacAddr, entry: &FdbEntry) -> bool {
        let had_mac = self.before.extra_macs(nic).any(|mac| mac == entry.mac);
        let has_mac = self.now.extra_macs(nic).any(|mac| mac == entry.mac);
        let had_vlan = entry.vlan.is_some_and(|vlan| self.before.vlans(nic).any(|id| id == vlan));
        let has_vlan = entry.vlan.is_some_and(|vlan| self.now.vlans(nic).any(|id| id == vlan));
        (had_mac && !has_mac) || (had_vlan && !has_vlan)
    }
}
