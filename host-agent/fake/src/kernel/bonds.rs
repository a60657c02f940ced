//! Bonds: what the bonding driver lets be set, and what it does to its ports.

use std::collections::BTreeMap;

use trestle_model::{
    Bond, BondMode, BondOption, BondOptions, BondPort, BondPortLink, Feature, FeatureSet, IfName, Lacp, Link, LinkKind,
    MacAddr, Mtu, Settable,
};
use trestle_plan::{BondTuning, Primary};

use super::links::{random_mac, require};
use super::{Answer, Kernel, no_such_device};

/// What the driver keeps of a bond and does not tell.
#[derive(Debug, Clone, Default)]
pub(super) struct BondMemory {
    /// Whether somebody has set the MAC: the first port's does not replace it.
    mac_set: bool,
    /// The preferred port by name, also while it is none of the ports.
    primary: Option<IfName>,
    /// The ports in the order in which they came, each with what it was before.
    ports: Vec<(IfName, Before)>,
}

/// What a device gets back when it leaves a bond.
#[derive(Debug, Clone, Copy)]
struct Before {
    mac: Option<MacAddr>,
    mtu: Mtu,
}

pub(super) type BondMemories = BTreeMap<IfName, BondMemory>;

impl Kernel {
    pub(super) fn create_bond(
        &mut self,
        name: &IfName,
        mode: BondMode,
        mac: Option<MacAddr>,
        alias: &str,
        features: &FeatureSet,
    ) -> Answer {
        match self.state.links.get(name).map(|link| &link.kind) {
            Some(LinkKind::Bond(_)) => return self.set_alias(name, Some(alias)),
            Some(_) => return Err(format!("{name}: File exists")),
            None => {}
        }
        require(features, Feature::Bonding)?;
        let mut options = BondOptions::of(mode).complete();
        // The kernel's own default is not to look at the links, where the mode allows it.
        if mode.has_arp_monitor() {
            options.numbers.insert(BondOption::Miimon, 0);
        }
        self.make(name, LinkKind::Bond(Bond { options, active_port: None, lacp: None }), mac, Mtu::ETHERNET);
        self.bonds.insert(name.clone(), BondMemory { mac_set: mac.is_some(), ..BondMemory::default() });
        self.set_alias(name, Some(alias))
    }

    pub(super) fn set_bond(&mut self, name: &IfName, change: &BondTuning) -> Answer {
        let has_ports = !self.ports(name).is_empty();
        let link = self.link(name)?;
        let Some(bond) = link.bond() else { return Err(format!("{name}: Operation not supported")) };
        let (is_up, mode) = (link.up, change.mode.unwrap_or(bond.options.mode));
        let refused = |reason: &str| Err(format!("{change} of {name}: {reason}"));
        match change.settable() {
            Settable::Portless if has_ports => return refused("Directory not empty"),
            Settable::Portless if change.mode.is_some() && is_up => return refused("Device or resource busy"),
            Settable::Down if is_up => return refused("Device or resource busy"),
            Settable::Always | Settable::Down | Settable::Portless => {}
        }
        let needs_down = |option: &BondOption| option.settable() == Settable::Down;
        if is_up && change.numbers.keys().any(needs_down) {
            return refused("Device or resource busy");
        }
        let is_foreign = |option: &BondOption| !option.applies_to(mode);
        if change.numbers.keys().any(is_foreign)
            || (change.primary.is_some() && !mode.has_primary())
            || (change.ad_actor_system.is_some() && mode != BondMode::Lacp)
            || (change.active_port.is_some() && !mode.has_primary())
        {
            return refused("Permission denied");
        }
        if let Some(port) = &change.active_port {
            let is_port = self.state.links.get(port).filter(|link| link.master.as_ref() == Some(name));
            if !is_port.is_some_and(|port| port.carrier) {
                return refused("Invalid argument");
            }
        }
        let mut options = if change.mode.is_some() {
            let arp_ip_targets = bond.options.arp_ip_targets.clone();
            BondOptions { arp_ip_targets, ..BondOptions::of(mode).complete() }
        } else {
            bond.options.clone()
        };
        let given = |option| change.numbers.get(&option).copied();
        let (miimon, arp_interval) = (given(BondOption::Miimon), given(BondOption::ArpInterval));
        if miimon.unwrap_or(0) > 0 && arp_interval.unwrap_or(0) > 0 {
            return refused("Invalid argument");
        }
        // Each way of watching ends the other, and delays are counted in the interval.
        if miimon.unwrap_or(0) > 0 && mode.has_arp_monitor() {
            options.numbers.extend([(BondOption::ArpInterval, 0), (BondOption::ArpValidate, 0)]);
        }
        if arp_interval.unwrap_or(0) > 0 {
            options.numbers.insert(BondOption::Miimon, 0);
        }
        recount_delays(&mut options, miimon);
        for (option, number) in &change.numbers {
            let (low, high) = option.range();
            if *number < low || *number > high {
                return refused("Invalid argument");
            }
            let is_delay = matches!(option, BondOption::Updelay | BondOption::Downdelay | BondOption::PeerNotifDelay);
            let interval = miimon.unwrap_or_else(|| options.number(BondOption::Miimon));
            let number = match (is_delay, number.checked_rem(interval)) {
                (true, None) => return refused("Operation not permitted"),
                (true, Some(rest)) => number - rest,
                (false, _) => *number,
            };
            options.numbers.insert(*option, number);
        }
        if let Some(targets) = &change.arp_ip_targets {
            options.arp_ip_targets.clone_from(targets);
        }
        if let Some(system) = change.ad_actor_system {
            options.ad_actor_system = Some(system).filter(|system| !system.is_zero());
        }
        if let LinkKind::Bond(bond) = &mut self.link_mut(name)?.kind {
            bond.options = options;
            if let Some(port) = &change.active_port {
                bond.active_port = Some(port.clone());
            }
        }
        if let (Some(primary), Some(memory)) = (&change.primary, self.bonds.get_mut(name)) {
            memory.primary = match primary {
                Primary::Nobody => None,
                Primary::Port(port) => Some(port.clone()),
            };
        }
        Ok(())
    }

    /// Takes a device into a bond.
    pub(super) fn join_bond(&mut self, name: &IfName, bond: &IfName) -> Answer {
        let link = self.link(name)?;
        if link.up {
            return Err(format!("{name} into {bond}: Operation not permitted"));
        }
        if !matches!(link.kind, LinkKind::Nic | LinkKind::Veth | LinkKind::Other(_)) {
            return Err(format!("{name} into {bond}: Invalid argument"));
        }
        let before = Before { mac: link.mac, mtu: link.mtu };
        let above = self.link(bond)?.clone();
        if link.max_mtu.is_some_and(|limit| above.mtu.get() > limit) {
            return Err(format!("{name} into {bond}: Invalid argument"));
        }
        let keeps_mac = above.bond().is_some_and(|bond| bond.options.number(BondOption::FailOverMac) == 1);
        let memory = self.bonds.get_mut(bond).ok_or_else(|| no_such_device(bond))?;
        let gives_mac = memory.ports.is_empty() && !memory.mac_set;
        memory.ports.push((name.clone(), before));
        if gives_mac && let Some(mac) = before.mac {
            self.change_mac(bond, mac);
        }
        let mac = self.link(bond)?.mac.filter(|_| !keeps_mac);
        self.link_mut(name)?.master = Some(bond.clone());
        if let Some(mac) = mac {
            self.change_mac(name, mac);
        }
        self.change_mtu(name, above.mtu);
        let link = self.link_mut(name)?;
        link.addresses.retain(|address| address.origin != trestle_model::AddressOrigin::Kernel);
        self.set_up(name, true)
    }

    /// Lets a device out of its bond, down, as it was before it came.
    pub(super) fn leave_bond(&mut self, name: &IfName, bond: &IfName) {
        let Some(memory) = self.bonds.get_mut(bond) else { return };
        let Some(position) = memory.ports.iter().position(|(port, _)| port == name) else { return };
        let (_, before) = memory.ports.remove(position);
        let is_empty = memory.ports.is_empty();
        if is_empty {
            memory.mac_set = false;
        }
        let down = self.set_up(name, false);
        debug_assert!(down.is_ok(), "a port can go down");
        if let Some(link) = self.state.links.get_mut(name) {
            link.master = None;
            link.bond_port = None;
        }
        if let Some(mac) = before.mac {
            self.change_mac(name, mac);
        }
        self.change_mtu(name, before.mtu);
        if is_empty {
            let index = self.next_index();
            self.change_mac(bond, random_mac(index));
        }
    }

    /// Sets a bond's MAC, which all its ports have, too.
    pub(super) fn set_mac_of_bond(&mut self, name: &IfName, mac: MacAddr, options: &BondOptions) {
        if options.follows_active_mac() {
            return;
        }
        self.change_mac(name, mac);
        if let Some(memory) = self.bonds.get_mut(name) {
            memory.mac_set = true;
        }
        for port in self.ports(name) {
            self.change_mac(&port, mac);
        }
    }

    /// Chooses active ports and reports of LACP as the driver does.
    pub(super) fn follow_bonds(&mut self) {
        for (name, memory) in self.bonds.clone() {
            let names: Vec<&IfName> = memory.ports.iter().map(|(port, _)| port).collect();
            let has_carrier = |name: &IfName| self.state.links.get(name).is_some_and(|link| link.carrier);
            let working: Vec<IfName> =
                names.iter().filter(|name| has_carrier(name)).map(|name| (*name).clone()).collect();
            let Some(link) = self.state.links.get_mut(&name) else { continue };
            let mac = link.mac;
            let LinkKind::Bond(bond) = &mut link.kind else { continue };
            let mode = bond.options.mode;
            bond.options.primary =
                memory.primary.clone().filter(|primary| mode.has_primary() && names.contains(&primary));
            let preferred = [bond.options.primary.clone(), bond.active_port.clone(), working.first().cloned()];
            bond.active_port =
                preferred.into_iter().flatten().find(|port| working.contains(port)).filter(|_| mode.has_primary());
            let count = u16::try_from(working.len()).unwrap_or(u16::MAX);
            bond.lacp = (mode == BondMode::Lacp && count > 0).then_some(Lacp {
                aggregator: 1,
                ports: count,
                actor_key: 15,
                partner_key: 1,
                partner_mac: MacAddr::new([0; 6]),
            });
            let (active, follows) = (bond.active_port.clone(), bond.options.follows_active_mac());
            let aggregates = mode == BondMode::Lacp;
            for (port, before) in &memory.ports {
                let works = working.contains(port);
                if let Some(link) = self.state.links.get_mut(port) {
                    link.bond_port = Some(BondPort {
                        active: works
                            && (!mode.has_primary() || mode == BondMode::BalanceAlb || active.as_ref() == Some(port)),
                        link: if works { BondPortLink::Up } else { BondPortLink::Down },
                        failures: 0,
                        permanent_mac: before.mac,
                        aggregator: aggregates.then_some(1),
                        actor_state: aggregates.then_some(0x4d),
                        partner_state: aggregates.then_some(1),
                    });
                }
            }
            let active_mac = active.and_then(|port| self.state.links.get(&port)).and_then(|link| link.mac);
            if let Some(active_mac) = active_mac.filter(|active| follows && mac != Some(*active)) {
                self.change_mac(&name, active_mac);
            }
        }
    }

    /// Sets a MAC, and with it that of the VLAN devices that have none of their own.
    pub(super) fn change_mac(&mut self, name: &IfName, mac: MacAddr) {
        let Some(link) = self.state.links.get_mut(name) else { return };
        let before = link.mac.replace(mac);
        for vlan in self.vlans_on(name) {
            if self.state.links.get(&vlan).is_some_and(|vlan| vlan.mac == before) {
                self.change_mac(&vlan, mac);
            }
        }
    }
}

pub(super) fn is_bond(link: &Link) -> bool {
    link.bond().is_some()
}

/// Keeps the delays in the number of intervals, as the driver counts them.
fn recount_delays(options: &mut BondOptions, miimon: Option<u32>) {
    let Some(interval) = miimon else { return };
    let before = options.number(BondOption::Miimon);
    for delay in [BondOption::Updelay, BondOption::Downdelay, BondOption::PeerNotifDelay] {
        if let Some(number) = options.numbers.get_mut(&delay) {
            *number = number.checked_div(before).unwrap_or(0) * interval;
        }
    }
}
