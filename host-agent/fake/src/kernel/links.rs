//! Devices: making, removing, up and down, bridges and their ports.

use trestle_model::{
    Bridge, BridgeNumbers, Egress, Feature, FeatureSet, IfName, Ipv6Autoconf, Link, LinkKind, MacAddr, Mtu, NicState,
    PortFlags, VlanId,
};
use trestle_plan::{BridgeChange, PortChange};

use super::bonds::is_bond;
use super::{Answer, Kernel, is_ipv4};

const NEW_BRIDGE: Bridge = Bridge {
    stp: false,
    ageing_time_cs: 30_000,
    forward_delay_cs: 1500,
    hello_time_cs: 200,
    max_age_cs: 2000,
    priority: 32_768,
    multicast_snooping: true,
    multicast_querier: false,
    group_fwd_mask: 0,
    vlan_filtering: false,
    default_pvid: 1,
    numbers: BridgeNumbers::NONE,
};

const NEW_PORT: PortFlags = PortFlags {
    learning: true,
    flood: true,
    multicast_flood: true,
    broadcast_flood: true,
    isolated: false,
    locked: false,
};

const ALIAS_LIMIT: usize = 255;

impl Kernel {
    pub(super) fn create_bridge(
        &mut self,
        name: &IfName,
        mac: Option<MacAddr>,
        alias: &str,
        features: &FeatureSet,
    ) -> Answer {
        match self.state.links.get(name).map(|link| &link.kind) {
            Some(LinkKind::Bridge(_)) => return self.set_alias(name, Some(alias)),
            Some(_) => return Err(format!("{name}: File exists")),
            None => {}
        }
        require(features, Feature::Bridge)?;
        self.make(name, LinkKind::Bridge(NEW_BRIDGE), mac, Mtu::ETHERNET);
        if mac.is_some() {
            self.mac_set.insert(name.clone());
        }
        self.set_alias(name, Some(alias))
    }

    pub(super) fn create_vlan(
        &mut self,
        name: &IfName,
        base: &IfName,
        id: VlanId,
        alias: &str,
        features: &FeatureSet,
    ) -> Answer {
        let kind = LinkKind::Vlan { base: base.clone(), id };
        match self.state.links.get(name) {
            Some(link) if link.kind == kind => return self.set_alias(name, Some(alias)),
            Some(_) => return Err(format!("{name}: File exists")),
            None => {}
        }
        require(features, Feature::VlanDevices)?;
        let below = self.link(base)?;
        let (mac, mtu) = (below.mac, below.mtu);
        if self.state.links.values().any(|link| link.kind == kind) {
            return Err(format!("VLAN {id} on {base}: File exists"));
        }
        self.make(name, kind, mac, mtu);
        self.set_alias(name, Some(alias))
    }

    /// Makes a device, down, with the kernel's defaults.
    pub(crate) fn make(&mut self, name: &IfName, kind: LinkKind, mac: Option<MacAddr>, mtu: Mtu) {
        let index = self.next_index();
        let max_mtu = match &kind {
            LinkKind::Nic | LinkKind::Veth => Some(9216),
            LinkKind::Vlan { .. }
            | LinkKind::Bridge(_)
            | LinkKind::Bond(_)
            | LinkKind::Tun
            | LinkKind::Loopback
            | LinkKind::Other(_) => Some(65_535),
        };
        let link = Link {
            name: name.clone(),
            index,
            kind,
            mac: mac.or_else(|| Some(random_mac(index))),
            permanent_mac: None,
            mtu,
            max_mtu,
            up: false,
            carrier: false,
            master: None,
            alias: None,
            port: None,
            vlans: None,
            bond_port: None,
            ipv6_disabled: false,
            autoconf: (mtu >= Mtu::IPV6_LEAST).then_some(Ipv6Autoconf::NEW),
            promiscuity: 0,
            egress: Egress::Kernels,
            settings: NicState::default(),
            addresses: Vec::new(),
        };
        self.state.links.insert(name.clone(), link);
    }

    pub(crate) fn delete(&mut self, name: &IfName) -> Answer {
        let Some(link) = self.state.links.get(name) else { return Ok(()) };
        if matches!(link.kind, LinkKind::Nic | LinkKind::Loopback) {
            return Err(format!("{name}: Operation not supported"));
        }
        self.remove(name);
        Ok(())
    }

    /// Lets a device vanish with all that hangs on it.
    pub(crate) fn remove(&mut self, name: &IfName) {
        for vlan in self.vlans_on(name) {
            self.remove(&vlan);
        }
        for port in self.ports(name) {
            self.leave(&port);
        }
        self.leave(name);
        self.state.links.remove(name);
        self.state.routes.retain(|route| route.device != *name);
        self.state.fdb.retain(|entry| entry.bridge != *name && entry.port != *name);
        self.mtu_set.remove(name);
        self.mac_set.remove(name);
        self.add_own_entries(name, None);
        self.bonds.remove(name);
        self.cabled.remove(name);
    }

    pub(super) fn set_alias(&mut self, name: &IfName, alias: Option<&str>) -> Answer {
        if alias.is_some_and(|alias| alias.len() > ALIAS_LIMIT) {
            return Err(format!("alias of {name}: Invalid argument"));
        }
        self.link_mut(name)?.alias = alias.filter(|alias| !alias.is_empty()).map(str::to_owned);
        Ok(())
    }

    pub(super) fn set_mac(&mut self, name: &IfName, mac: MacAddr) -> Answer {
        if mac.is_multicast() || mac.is_zero() {
            return Err(format!("MAC {mac}: Cannot assign requested address"));
        }
        let link = self.link(name)?;
        if let Some(bond) = link.bond() {
            let options = bond.options.clone();
            self.set_mac_of_bond(name, mac, &options);
            return Ok(());
        }
        if link.bridge().is_some() {
            self.mac_set.insert(name.clone());
        }
        self.change_mac(name, mac);
        Ok(())
    }

    pub(super) fn set_mtu(&mut self, name: &IfName, mtu: Mtu) -> Answer {
        let link = self.link(name)?;
        if link.mtu == mtu {
            return Ok(());
        }
        if link.max_mtu.is_some_and(|limit| mtu.get() > limit) {
            return Err(format!("MTU {mtu} of {name}: Invalid argument"));
        }
        if let LinkKind::Vlan { base, .. } = &link.kind
            && self.link(base)?.mtu < mtu
        {
            return Err(format!("MTU {mtu} of {name}: Numerical result out of range"));
        }
        if link.bridge().is_some() {
            self.mtu_set.insert(name.clone());
        }
        self.change_mtu(name, mtu);
        Ok(())
    }

    pub(super) fn change_mtu(&mut self, name: &IfName, mtu: Mtu) {
        let Some(link) = self.state.links.get_mut(name) else { return };
        link.mtu = mtu;
        let master = link.master.clone();
        // Below the least MTU of IPv6 the kernel forgets what was set.
        link.autoconf = if mtu < Mtu::IPV6_LEAST { None } else { link.autoconf.or(Some(Ipv6Autoconf::NEW)) };
        if mtu < Mtu::IPV6_LEAST {
            self.drop_ipv6(name);
        }
        for vlan in self.vlans_on(name) {
            if self.state.links.get(&vlan).is_some_and(|vlan| vlan.mtu > mtu) {
                self.change_mtu(&vlan, mtu);
            }
        }
        if let Some(bridge) = master {
            self.adjust_mtu(&bridge);
        }
        if self.state.links.get(name).is_some_and(is_bond) {
            for port in self.ports(name) {
                self.change_mtu(&port, mtu);
            }
        }
    }

    /// Lets a bridge's MTU follow its ports', unless somebody has set it.
    fn adjust_mtu(&mut self, bridge: &IfName) {
        if self.mtu_set.contains(bridge) || self.state.links.get(bridge).is_some_and(is_bond) {
            return;
        }
        let ports = self.ports(bridge);
        let least = ports.iter().filter_map(|port| self.state.links.get(port)).map(|port| port.mtu).min();
        let mtu = least.unwrap_or(Mtu::ETHERNET);
        if self.state.links.get(bridge).is_some_and(|bridge| bridge.mtu != mtu) {
            self.change_mtu(bridge, mtu);
        }
    }

    pub(crate) fn set_up(&mut self, name: &IfName, up: bool) -> Answer {
        let link = self.link(name)?;
        if link.up == up {
            return Ok(());
        }
        if let LinkKind::Vlan { base, .. } = &link.kind
            && up
            && !self.link(base)?.up
        {
            return Err(format!("{name}: Network is down"));
        }
        self.link_mut(name)?.up = up;
        if !up {
            self.state.routes.retain(|route| route.device != *name);
            self.drop_ipv6(name);
        }
        for vlan in self.vlans_on(name) {
            self.set_up(&vlan, up)?;
        }
        Ok(())
    }

    pub(crate) fn set_master(&mut self, name: &IfName, master: Option<&IfName>) -> Answer {
        let link = self.link(name)?;
        if link.master.as_ref() == master {
            return Ok(());
        }
        let Some(bridge) = master else {
            self.leave(name);
            return Ok(());
        };
        if self.link(bridge)?.bond().is_some() {
            self.leave(name);
            return self.join_bond(name, bridge);
        }
        if self.link(bridge)?.bridge().is_none() {
            return Err(format!("{bridge}: Operation not supported"));
        }
        match link.kind {
            LinkKind::Bridge(_) => return Err(format!("{name}: Too many levels of symbolic links")),
            LinkKind::Loopback => return Err(format!("{name}: Invalid argument")),
            LinkKind::Nic
            | LinkKind::Vlan { .. }
            | LinkKind::Bond(_)
            | LinkKind::Veth
            | LinkKind::Tun
            | LinkKind::Other(_) => {}
        }
        self.leave(name);
        let link = self.link_mut(name)?;
        link.master = Some(bridge.clone());
        link.port = Some(NEW_PORT);
        let mac = link.mac;
        self.join_default_vlan(name, bridge);
        self.add_own_entries(bridge, mac);
        self.adjust_mtu(bridge);
        if !self.mac_set.contains(bridge) {
            // A bridge takes the least of its ports' addresses.
            let ports = self.ports(bridge);
            let least = ports.iter().filter_map(|port| self.state.links.get(port)).filter_map(|port| port.mac).min();
            self.link_mut(bridge)?.mac = least.or(mac);
        }
        Ok(())
    }

    /// Takes a device out of what it is a port of.
    fn leave(&mut self, name: &IfName) {
        let master = self.state.links.get(name).and_then(|link| link.master.clone());
        match master {
            Some(bond) if self.state.links.get(&bond).is_some_and(is_bond) => self.leave_bond(name, &bond),
            Some(_) | None => self.leave_bridge(name),
        }
    }

    fn leave_bridge(&mut self, name: &IfName) {
        let Some(link) = self.state.links.get_mut(name) else { return };
        let Some(bridge) = link.master.take() else { return };
        (link.port, link.vlans) = (None, None);
        self.state.fdb.retain(|entry| entry.port != *name);
        self.adjust_mtu(&bridge);
    }

    pub(crate) fn set_bridge(&mut self, name: &IfName, change: &BridgeChange, features: &FeatureSet) -> Answer {
        if change.vlan_filtering.is_some() || change.default_pvid.is_some() {
            require(features, Feature::BridgeVlanFiltering)?;
        }
        let LinkKind::Bridge(bridge) = &mut self.link_mut(name)?.kind else {
            return Err(format!("{name}: Operation not supported"));
        };
        let had_pvid = bridge.default_pvid;
        set(&mut bridge.stp, change.stp);
        set(&mut bridge.ageing_time_cs, change.ageing_time_cs);
        set(&mut bridge.forward_delay_cs, change.forward_delay_cs);
        set(&mut bridge.hello_time_cs, change.hello_time_cs);
        set(&mut bridge.max_age_cs, change.max_age_cs);
        set(&mut bridge.priority, change.priority);
        set(&mut bridge.multicast_snooping, change.multicast_snooping);
        set(&mut bridge.multicast_querier, change.multicast_querier);
        set(&mut bridge.group_fwd_mask, change.group_fwd_mask);
        set(&mut bridge.vlan_filtering, change.vlan_filtering);
        set(&mut bridge.default_pvid, change.default_pvid);
        bridge.numbers.set(&change.numbers);
        let pvid = bridge.default_pvid;
        if pvid != had_pvid {
            self.follow_default_vlan(name, had_pvid, pvid);
            // Entries in a VLAN that a port no longer has are left behind; those of the bridge itself follow.
            let pvid = change.default_pvid;
            self.flushed.retain(|(bridge, _, vlan)| bridge != name || *vlan != pvid);
            self.follow_local_entries();
        }
        Ok(())
    }

    pub(crate) fn set_port(&mut self, name: &IfName, change: &PortChange, features: &FeatureSet) -> Answer {
        if change.locked == Some(true) {
            require(features, Feature::PortLocked)?;
        }
        let link = self.link_mut(name)?;
        let Some(port) = &mut link.port else { return Err(format!("{name}: Operation not supported")) };
        set(&mut port.learning, change.learning);
        set(&mut port.flood, change.flood);
        set(&mut port.multicast_flood, change.multicast_flood);
        set(&mut port.broadcast_flood, change.broadcast_flood);
        set(&mut port.isolated, change.isolated);
        set(&mut port.locked, change.locked);
        Ok(())
    }

    pub(super) fn follow_carriers(&mut self) {
        // Ports before bonds and bridges, bases before VLANs: four rounds settle every stack that can be built.
        for _ in 0..4 {
            let carriers: Vec<(IfName, bool)> =
                self.state.links.values().map(|link| (link.name.clone(), self.has_carrier(link))).collect();
            for (name, carrier) in carriers {
                if let Some(link) = self.state.links.get_mut(&name) {
                    link.carrier = carrier;
                }
            }
        }
        self.follow_promiscuity();
    }

    /// Lets a bridge's port be promiscuous unless it is the only one that learns or floods, and the bridge filters.
    fn follow_promiscuity(&mut self) {
        let opens = |link: &Link| link.port.is_some_and(|port| port.learning || port.flood);
        let filters =
            |name: &IfName| self.state.links.get(name).and_then(Link::bridge).is_some_and(|b| b.vlan_filtering);
        let is_promiscuous = |link: &Link| {
            link.port.is_some()
                && link.master.as_ref().is_some_and(|bridge| {
                    let open = self.names(|other| other.master.as_ref() == Some(bridge) && opens(other));
                    let captured = self.captures.get(bridge).is_some_and(|times| *times > 0);
                    captured || !(filters(bridge) && (open.is_empty() || open == [link.name.clone()]))
                })
        };
        let promiscuous = self.names(is_promiscuous);
        for link in self.state.links.values_mut() {
            let captures = self.captures.get(&link.name).copied().unwrap_or_default();
            link.promiscuity = captures + u32::from(promiscuous.contains(&link.name));
        }
    }

    fn has_carrier(&self, link: &Link) -> bool {
        let carried = |name: &IfName| self.state.links.get(name).is_some_and(|link| link.carrier);
        link.up
            && match &link.kind {
                LinkKind::Nic | LinkKind::Veth | LinkKind::Other(_) => self.cabled.contains(&link.name),
                LinkKind::Vlan { base, .. } => carried(base),
                LinkKind::Bridge(_) | LinkKind::Bond(_) => self.ports(&link.name).iter().any(carried),
                LinkKind::Tun | LinkKind::Loopback => true,
            }
    }

    pub(super) fn drop_ipv6(&mut self, name: &IfName) {
        if let Some(link) = self.state.links.get_mut(name) {
            link.addresses.retain(|address| is_ipv4(address.net));
        }
        self.state.routes.retain(|route| route.device != *name || is_ipv4(route.destination));
    }
}

pub(super) fn require(features: &FeatureSet, feature: Feature) -> Answer {
    if features.has(feature) { Ok(()) } else { Err(format!("{feature}: Operation not supported")) }
}

pub(super) fn random_mac(index: u32) -> MacAddr {
    let [a, b, c, d] = index.to_be_bytes();
    MacAddr::new([0x06, 0x52, a, b, c, d])
}

fn set<T: Copy>(field: &mut T, value: Option<T>) {
    *field = value.unwrap_or(*field);
}
