//! What ports of bridges let through: their flags, their VLANs, and the entries that point at them.

use trestle_model::{FdbEntry, IfName, Link, PortVlans, VlanRange};

use super::Draft;
use crate::difference::{Change, fdb_change, learned_at, port_change, vlan_change};
use crate::target::{KindTarget, LearnedTarget, LinkTarget, LinkWanted, MasterTarget};
use crate::{KernelStep, PortChange};

/// Which of a port's flags to set: those that let frames through, or those that hold them back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Shut,
}

impl Draft<'_> {
    /// Sets flags of ports that are in their places, as far as the gate goes.
    pub(super) fn set_ports(&mut self, gate: Gate, applies: fn(&LinkWanted) -> bool) {
        for (name, wanted) in self.target.present().filter(|(_, wanted)| applies(wanted)) {
            if self.in_place(name, wanted).is_some() {
                self.set_flags(name, wanted, |change| through(gate, change));
            }
        }
    }

    /// Sets those flags of a port that differ, and that `which` lets through.
    pub(super) fn set_flags(&mut self, name: &IfName, wanted: &LinkWanted, which: impl Fn(PortChange) -> PortChange) {
        let Some(flags) = self.now.link(name).and_then(|link| link.port) else { return };
        let change = which(port_change(&wanted.port, &flags));
        if change != PortChange::default() {
            if change.learning == Some(false) {
                self.deafened.insert(name.clone());
            }
            self.plan_kernel(KernelStep::SetPort { port: name.clone(), change }, &wanted.why, "port flags differ");
        }
    }

    /// Forgets what was learned on ports in their places that are to have learned nothing, and that learn no more.
    pub(super) fn forget_learned(&mut self) {
        for (name, wanted) in self.target.present() {
            if self.in_place(name, wanted).is_some() {
                self.forget_at(name, wanted);
            }
        }
    }

    /// Forgets what was learned on a port. One whose learning this plan has switched off may have learned since it was
    /// looked at.
    pub(super) fn forget_at(&mut self, name: &IfName, wanted: &LinkWanted) {
        let Some(bridge) = self.now.link(name).and_then(|link| link.master.as_ref()) else { return };
        let has_learned = learned_at(name, self.now.entries(bridge)).next().is_some();
        if wanted.learned == LearnedTarget::Nothing && (has_learned || self.deafened.contains(name)) {
            self.deafened.remove(name);
            let step = KernelStep::ForgetLearned { port: name.clone() };
            self.plan_kernel(step, &wanted.why, "port is to have learned nothing");
        }
    }

    /// Returns a device where it is a port of what it is to be a port of.
    fn in_place(&self, name: &IfName, wanted: &LinkWanted) -> Option<&Link> {
        self.now.link(name).filter(|link| match &wanted.master {
            MasterTarget::PortOf(master) => link.master.as_ref() == Some(master),
            MasterTarget::Leave => true,
            MasterTarget::Free => false,
        })
    }

    /// Puts ports in their places into their VLANs: before entries come, which the kernel makes in all VLANs of a port.
    ///
    /// What a port of a bridge that has yet to filter is a member of is not told, so it is made one of all.
    pub(super) fn set_vlans(&mut self, applies: impl Fn(&IfName) -> bool) {
        for (name, wanted) in self.target.present().filter(|(name, _)| applies(name)) {
            let change = self.vlan_change(name, wanted);
            for vlans in change.add {
                let step = KernelStep::AddVlans { port: name.clone(), vlans };
                self.plan_kernel(step, &wanted.why, "port is no member of them");
            }
            for VlanRange { first, last, .. } in change.remove {
                let step = KernelStep::RemoveVlans { port: name.clone(), first, last };
                self.plan_kernel(step, &wanted.why, "port is not to be a member of them");
            }
        }
    }

    /// Returns how the VLANs of a port change that is in its place; not at all where its bridge does not filter.
    fn vlan_change(&self, name: &IfName, wanted: &LinkWanted) -> Change<VlanRange> {
        let filters =
            |master: &IfName| self.now.link(master).and_then(Link::bridge).is_some_and(|bridge| bridge.vlan_filtering);
        match self.in_place(name, wanted).filter(|link| link.master.as_ref().is_some_and(filters)) {
            Some(link) => vlan_change(&wanted.vlans, link.vlans.as_ref().unwrap_or(&PortVlans::NONE)),
            None => Change::none(),
        }
    }

    /// Removes entries that are not wanted where they are, as far as `applies` goes.
    pub(super) fn remove_entries(&mut self, applies: fn(&Self, &FdbEntry) -> bool) {
        for target in &self.target.fdb {
            let Some(change) = fdb_change(target, self.now.entries(&target.bridge)) else { continue };
            for entry in change.remove {
                if applies(self, &entry) {
                    self.plan_kernel(KernelStep::RemoveFdb { entry }, "MAC table", "entry is not wanted");
                }
            }
        }
    }

    /// Tells whether an entry can be removed already: the kernel refuses that in a VLAN that the port has left, and tells of its
    /// VLANs only while the bridge filters. Until it does, such an entry has no effect.
    pub(super) fn is_in_reach(&self, entry: &FdbEntry) -> bool {
        let is_told = self.now.link(&entry.port).is_some_and(|port| port.vlans.is_some());
        let will_filter = match self.target.links.get(&entry.bridge) {
            Some(LinkTarget::Present(LinkWanted { kind: KindTarget::Bridge(bridge), .. })) => bridge.vlan_filtering,
            Some(LinkTarget::Present(_) | LinkTarget::Absent { .. }) | None => false,
        };
        entry.vlan.is_none() || is_told || !will_filter
    }

    /// Sets entries whose ports are in their bridge.
    pub(super) fn add_entries(&mut self) {
        for target in &self.target.fdb {
            let Some(change) = fdb_change(target, self.now.entries(&target.bridge)) else { continue };
            for entry in change.add {
                let in_place = self
                    .now
                    .link(&entry.port)
                    .is_some_and(|port| entry.port == entry.bridge || port.master.as_ref() == Some(&entry.bridge));
                if in_place {
                    self.plan_kernel(KernelStep::ReplaceFdb { entry }, "MAC table", "entry is missing or differs");
                }
            }
        }
    }
}

/// Tells whether it is a guest's port.
pub(super) const fn is_guest(wanted: &LinkWanted) -> bool {
    matches!(wanted.kind, KindTarget::Guest)
}

/// Tells whether it is none.
pub(super) const fn is_no_guest(wanted: &LinkWanted) -> bool {
    !is_guest(wanted)
}

const fn through(gate: Gate, change: PortChange) -> PortChange {
    let open = matches!(gate, Gate::Open);
    PortChange {
        learning: matching(change.learning, open),
        flood: matching(change.flood, open),
        multicast_flood: matching(change.multicast_flood, open),
        broadcast_flood: matching(change.broadcast_flood, open),
        isolated: matching(change.isolated, !open),
        locked: matching(change.locked, !open),
    }
}

const fn matching(flag: Option<bool>, value: bool) -> Option<bool> {
    match (flag, value) {
        (Some(true), true) | (Some(false), false) => flag,
        (Some(true), false) | (Some(false), true) | (None, _) => None,
    }
}
