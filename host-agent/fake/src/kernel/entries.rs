//! Bridges' forwarding entries.

use trestle_model::{FdbEntry, FdbState, Feature, FeatureSet, IfName, MacAddr};

use super::{Answer, Kernel};

impl Kernel {
    pub(crate) fn replace_entry(&mut self, entry: &FdbEntry, features: &FeatureSet) -> Answer {
        if entry.port == entry.bridge {
            return self.replace_own_entry(entry);
        }
        let port = self.link(&entry.port)?;
        if port.master.as_ref() != Some(&entry.bridge) {
            return Err(format!("{} on {}: Invalid argument", entry.mac, entry.port));
        }
        if entry.sticky && !features.has(Feature::FdbSticky) {
            return Err("sticky: Operation not supported".to_owned());
        }
        let vlans = self.vlans_of(&entry.port);
        match entry.vlan {
            // Without a VLAN, the entry is made outside VLANs and in each VLAN that the port has.
            None if features.has(Feature::BridgeVlanFiltering) => {
                for vlan in [None].into_iter().chain(vlans.into_iter().map(Some)) {
                    self.put_entry(FdbEntry { vlan, ..entry.clone() });
                }
            }
            None => self.put_entry(entry.clone()),
            Some(vlan) if vlans.contains(&vlan) => self.put_entry(entry.clone()),
            Some(vlan) => return Err(format!("{} in VLAN {vlan}: Invalid argument", entry.mac)),
        }
        Ok(())
    }

    /// Sets an entry of the bridge itself.
    fn replace_own_entry(&mut self, entry: &FdbEntry) -> Answer {
        let mac = self.link(&entry.bridge)?.mac;
        if entry.state != FdbState::Local || mac != Some(entry.mac) {
            return Err(format!("{} on {}: Invalid argument", entry.mac, entry.port));
        }
        // Without a VLAN, the entry is made outside VLANs and in each VLAN that the bridge has.
        self.flushed.retain(|(bridge, mac, vlan)| {
            !(*bridge == entry.bridge && *mac == entry.mac && (entry.vlan.is_none() || *vlan == entry.vlan))
        });
        let place = (&entry.bridge, entry.mac);
        self.state.fdb.retain(|has| {
            let is_there = (&has.bridge, has.mac) == place && (entry.vlan.is_none() || has.vlan == entry.vlan);
            !is_there || has.state == FdbState::Local
        });
        Ok(())
    }

    /// Removes every entry of a bridge, also the host's own, as `bridge fdb flush` does.
    pub(crate) fn flush_entries(&mut self, bridge: &IfName) {
        let of_bridge = |entry: &&FdbEntry| entry.bridge == *bridge && entry.state == FdbState::Local;
        let own = self.state.fdb.iter().filter(of_bridge);
        let places: Vec<_> = own.map(|entry| (entry.bridge.clone(), entry.mac, entry.vlan)).collect();
        self.flushed.extend(places);
        self.state.fdb.retain(|entry| entry.bridge != *bridge);
    }

    /// Lets the kernel add the host's own entries again as it does when a port comes, or a VLAN.
    pub(super) fn add_own_entries(&mut self, bridge: &IfName, mac: Option<MacAddr>) {
        self.flushed.retain(|(of, own, _)| of != bridge || mac.is_some_and(|mac| mac != *own));
    }

    fn put_entry(&mut self, entry: FdbEntry) {
        let place = (&entry.bridge, entry.mac, entry.vlan);
        self.state.fdb.retain(|has| (&has.bridge, has.mac, has.vlan) != place);
        self.state.fdb.push(entry);
    }

    pub(crate) fn remove_entry(&mut self, entry: &FdbEntry) -> Answer {
        let port = self.link(&entry.port)?;
        let vlans = port.vlans.is_some().then(|| self.vlans_of(&entry.port));
        let in_reach = |vlan: u16| vlans.as_ref().is_none_or(|vlans| vlans.contains(&vlan));
        if let Some(vlan) = entry.vlan.filter(|vlan| !in_reach(*vlan)) {
            return Err(format!("{} in VLAN {vlan} on {}: Invalid argument", entry.mac, entry.port));
        }
        // Without a VLAN, the entry goes from every VLAN of the port.
        let is_it = |has: &FdbEntry| {
            has.port == entry.port
                && has.mac == entry.mac
                && (has.vlan == entry.vlan || (entry.vlan.is_none() && has.vlan.is_none_or(in_reach)))
        };
        let own = self.state.fdb.iter().filter(|has| is_it(has) && has.state == FdbState::Local);
        self.flushed.extend(own.map(|has| (has.bridge.clone(), has.mac, has.vlan)));
        self.state.fdb.retain(|has| !is_it(has));
        Ok(())
    }

    /// Removes what was learned on a port.
    pub(crate) fn forget_learned(&mut self, port: &IfName) -> Answer {
        if self.link(port)?.port.is_none() {
            return Err(format!("{port}: Operation not supported"));
        }
        self.state.fdb.retain(|has| has.port != *port || has.state != FdbState::Learned);
        Ok(())
    }

    pub(super) fn pvid(&self, bridge: &IfName) -> Option<u16> {
        let bridge = self.state.links.get(bridge)?.bridge()?;
        Some(bridge.default_pvid).filter(|pvid| *pvid != 0)
    }

    /// Keeps the host's own addresses in the bridges' tables.
    pub(super) fn follow_local_entries(&mut self) {
        self.state.fdb.retain(|entry| entry.state != FdbState::Local);
        let mut own: Vec<FdbEntry> = Vec::new();
        for link in self.state.links.values() {
            let bridge = match &link.master {
                Some(bridge) => bridge,
                None if link.bridge().is_some() => &link.name,
                None => continue,
            };
            if let Some(mac) = link.mac {
                own.push(local(bridge, &link.name, mac, None));
                own.extend(self.pvid(bridge).map(|pvid| local(bridge, &link.name, mac, Some(pvid))));
            }
        }
        // A bridge that shares its address with a port has the entry once, on the port.
        own.sort_by_key(|entry| (entry.bridge.clone(), entry.mac, entry.vlan, entry.port == entry.bridge));
        own.dedup_by(|a, b| (&a.bridge, a.mac, a.vlan) == (&b.bridge, b.mac, b.vlan));
        own.retain(|entry| !self.flushed.contains(&(entry.bridge.clone(), entry.mac, entry.vlan)));
        self.state.fdb.append(&mut own);
    }
}

fn local(bridge: &IfName, port: &IfName, mac: MacAddr, vlan: Option<u16>) -> FdbEntry {
    FdbEntry { bridge: bridge.clone(), port: port.clone(), mac, vlan, state: FdbState::Local, sticky: false }
}
