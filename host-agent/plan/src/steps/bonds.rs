//! Bonds: made and tuned before anything stands on them, joined before anything leaves them.

use trestle_model::{BondMode, BondOptions, IfName, Link, Settable};

use super::Draft;
use crate::KernelStep;
use crate::difference::{active_change, bond_change};
use crate::step::{BondTuning, Primary};
use crate::target::{KindTarget, LinkWanted, MasterTarget};

impl Draft<'_> {
    /// Makes bonds, and sets what can only be set before their ports come.
    pub(super) fn make_bonds(&mut self) {
        for (name, wanted) in self.target.present() {
            let KindTarget::Bond(options) = &wanted.kind else { continue };
            if self.now.link(name).is_none() {
                let step = KernelStep::CreateBond {
                    name: name.clone(),
                    mode: options.mode,
                    mac: wanted.mac,
                    alias: super::order::mark(wanted),
                };
                self.plan_kernel(step, &wanted.why, "bond is missing");
                self.settle_ipv6(name, wanted);
            }
            self.tune(name, wanted, options);
            self.set_mac_of_bond(name, wanted);
            self.raise_mtu(name, wanted);
            self.bring_up(name, wanted);
        }
    }

    /// Sets what differs, and takes the bond down, or its ports out, only where the kernel asks for it.
    fn tune(&mut self, name: &IfName, wanted: &LinkWanted, options: &BondOptions) {
        let Some(change) = self.difference_of_bond(name, options) else { return };
        let settable = if self.now.made.contains(name) { Settable::Always } else { change.settable() };
        if settable == Settable::Portless {
            let ports: Vec<IfName> = self.now.ports(name).map(|port| port.name.clone()).collect();
            for port in ports {
                let step = KernelStep::SetMaster { link: port, master: None };
                self.plan_kernel(step, &wanted.why, "bond has to be without ports for its new mode");
            }
        }
        if settable > Settable::Always && self.now.link(name).is_some_and(|link| link.up) {
            let step = KernelStep::SetUp { link: name.clone(), up: false };
            self.plan_kernel(step, &wanted.why, "bond has to be down for its new options");
        }
        // Ports may have gone, and the primary with them.
        if let Some(change) = self.difference_of_bond(name, options) {
            let step = KernelStep::SetBond { bond: name.clone(), change };
            self.plan_kernel(step, &wanted.why, "bond options differ");
        }
        self.tuned.insert(name.clone());
    }

    fn difference_of_bond(&self, name: &IfName, options: &BondOptions) -> Option<BondTuning> {
        let bond = self.now.link(name).and_then(Link::bond)?;
        if !self.tuned.contains(name) && self.now.made.contains(name) {
            // How the kernel makes a bond depends on how its module was loaded: everything is said.
            let other =
                BondOptions::of(if options.mode == BondMode::Lacp { BondMode::Broadcast } else { BondMode::Lacp });
            return Some(BondTuning { mode: None, ..bond_change(options, &other, &[]) });
        }
        let ports: Vec<&IfName> = self.now.ports(name).map(|port| &port.name).collect();
        let mut change = bond_change(options, &bond.options, &ports);
        // The kernel remembers by name a preferred port that has left, and tells of it when it comes back.
        if !self.tuned.contains(name) && options.mode.has_primary() && options.primary.is_none() && self.gets_port(name)
        {
            change.primary = Some(Primary::Nobody);
        }
        Some(change).filter(|change| !change.is_empty())
    }

    fn gets_port(&self, bond: &IfName) -> bool {
        let joins = |(name, wanted): (&IfName, &LinkWanted)| {
            wanted.master == MasterTarget::PortOf(bond.clone())
                && self.now.link(name).is_some_and(|link| link.master.as_ref() != Some(bond))
        };
        self.target.present().any(joins)
    }

    /// A bond whose MAC the plan does not know any more has lost its last port on the way.
    fn set_mac_of_bond(&mut self, name: &IfName, wanted: &LinkWanted) {
        if !matches!(&wanted.kind, KindTarget::Bond(options) if options.follows_active_mac()) {
            self.set_mac(name, wanted);
        }
    }

    /// Takes what is to be a port of a bond there. The kernel takes only what is down, and brings it up.
    pub(super) fn join_bonds(&mut self) {
        for (name, wanted) in self.target.present() {
            let MasterTarget::PortOf(bond) = &wanted.master else { continue };
            let Some(link) = self.now.link(name).filter(|link| link.master.as_ref() != Some(bond)) else { continue };
            if !self.is_bond(bond) {
                continue;
            }
            // What leaves another bond goes down by that.
            let comes_from_bond = link.master.as_ref().is_some_and(|master| self.is_bond(master));
            if link.up && !comes_from_bond {
                let step = KernelStep::SetUp { link: name.clone(), up: false };
                self.plan_kernel(step, &wanted.why, "device has to be down to join a bond");
            }
            let step = KernelStep::SetMaster { link: name.clone(), master: Some(bond.clone()) };
            self.plan_kernel(step, &wanted.why, "device is not a port of its bond");
        }
    }

    /// Gives what has left a bond its MTU back before anything on it needs that.
    pub(super) fn recover_mtu(&mut self, name: &IfName, wanted: &LinkWanted) {
        if self.now.unsure_of_mtu.contains(name) {
            self.settle_mtu(name, wanted);
        }
    }

    /// Sets what needs the ports to be there, and the MAC of a bond that has had none on the way.
    pub(super) fn finish_bonds(&mut self) {
        for (name, wanted) in self.target.present() {
            let KindTarget::Bond(options) = &wanted.kind else { continue };
            if let Some(change) = self.difference_of_bond(name, options).filter(|c| c.settable() == Settable::Always) {
                let step = KernelStep::SetBond { bond: name.clone(), change };
                self.plan_kernel(step, &wanted.why, "bond options differ");
            }
            self.use_port(name, wanted);
            self.set_mac_of_bond(name, wanted);
            // One of others is marked when it has become what is wanted.
            self.set_alias(name, wanted);
        }
    }

    fn use_port(&mut self, name: &IfName, wanted: &LinkWanted) {
        let port = wanted.active_port.as_ref().and_then(|port| self.now.link(port));
        let Some(bond) = self.now.link(name) else { return };
        if let Some(port) = active_change(wanted.active_port.as_ref(), bond, port) {
            let change = BondTuning { active_port: Some(port.clone()), ..BondTuning::default() };
            let step = KernelStep::SetBond { bond: name.clone(), change };
            self.plan_kernel(step, &wanted.why, "bond uses another port");
        }
    }

    pub(super) fn is_bond(&self, name: &IfName) -> bool {
        self.now.link(name).is_some_and(|link| link.bond().is_some())
    }
}
