//! Devices: a new one, and what a change of its attributes leaves.

use trestle_model::{BondOptions, Bridge, Egress, IfName, Link, LinkKind, Mtu, NicState, PortFlags};

use crate::{BondTuning, BridgeChange, PortChange};

pub(super) fn new_link(name: &IfName, kind: LinkKind, mtu: Mtu, alias: &str) -> Link {
    Link {
        name: name.clone(),
        index: 0,
        kind,
        mac: None,
        permanent_mac: None,
        mtu,
        max_mtu: None,
        up: false,
        carrier: false,
        master: None,
        alias: Some(alias.to_owned()).filter(|alias| !alias.is_empty()),
        port: None,
        vlans: None,
        bond_port: None,
        ipv6_disabled: false,
        autoconf: None,
        promiscuity: 0,
        egress: Egress::Kernels,
        settings: NicState::default(),
        addresses: Vec::new(),
    }
}

pub(super) fn set_bridge(bridge: &mut Bridge, change: &BridgeChange) {
    let set = |field: &mut u32, value: Option<u32>| *field = value.unwrap_or(*field);
    let switch = |field: &mut bool, value: Option<bool>| *field = value.unwrap_or(*field);
    switch(&mut bridge.stp, change.stp);
    set(&mut bridge.ageing_time_cs, change.ageing_time_cs);
    set(&mut bridge.forward_delay_cs, change.forward_delay_cs);
    set(&mut bridge.hello_time_cs, change.hello_time_cs);
    set(&mut bridge.max_age_cs, change.max_age_cs);
    bridge.priority = change.priority.unwrap_or(bridge.priority);
    switch(&mut bridge.multicast_snooping, change.multicast_snooping);
    switch(&mut bridge.multicast_querier, change.multicast_querier);
    bridge.group_fwd_mask = change.group_fwd_mask.unwrap_or(bridge.group_fwd_mask);
    switch(&mut bridge.vlan_filtering, change.vlan_filtering);
    bridge.default_pvid = change.default_pvid.unwrap_or(bridge.default_pvid);
    bridge.numbers.set(&change.numbers);
}

pub(super) fn set_bond(options: &mut BondOptions, change: &BondTuning) {
    if let Some(mode) = change.mode {
        *options = BondOptions::of(mode).complete();
    }
    options.numbers.extend(&change.numbers);
    if let Some(primary) = &change.primary {
        options.primary = primary.port().cloned();
    }
    if let Some(targets) = &change.arp_ip_targets {
        options.arp_ip_targets.clone_from(targets);
    }
    if let Some(system) = change.ad_actor_system {
        options.ad_actor_system = Some(system).filter(|system| !system.is_zero());
    }
}

pub(super) fn set_port(flags: &mut PortFlags, change: &PortChange) {
    let switch = |field: &mut bool, value: Option<bool>| *field = value.unwrap_or(*field);
    switch(&mut flags.learning, change.learning);
    switch(&mut flags.flood, change.flood);
    switch(&mut flags.multicast_flood, change.multicast_flood);
    switch(&mut flags.broadcast_flood, change.broadcast_flood);
    switch(&mut flags.isolated, change.isolated);
    switch(&mut flags.locked, change.locked);
}
