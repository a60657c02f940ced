//! Bridges' forwarding entries.

use trestle_model::{FdbEntry, FdbState, Feature, FeatureSet, IfName, MacAddr};

use super::{Answer, Kernel};

impl Kernel {
    pub(crate) fn replace_entry(&mut self, entry: &FdbEntry, features: &FeatureSet) -> Answer {
        let port = self.link(&entry.port)?;
        if port.master.as_ref() != Some(&entry.bridge) {
            return Err(format!("{} on {}: Invalid argument", entry.mac, entry.port));
        }
        if entry.sticky && !features.has(Feature::FdbSticky) {
            return Err("sticky: Operation not supported".to_owned());
        }
        let pvid = self.pvid(&entry.bridge).filter(|_| features.has(Feature::BridgeVlanFiltering));
        match entry.vlan {
            // Without a VLAN, the entry is made outside VLANs and in each VLAN that the port has.
            None => {
                self.put_entry(entry.clone());
                if pvid.is_some() {
                    self.put_entry(FdbEntry { vlan: pvid, ..entry.clone() });
                }
            }
            Some(_) if entry.vlan == pvid => self.put_entry(entry.clone()),
            Some(vlan) => return Err(format!("{} in VLAN {vlan}: Invalid argument", entry.mac)),
        }
        Ok(())
    }

    fn put_entry(&mut self, entry: FdbEntry) {
        let place = (&entry.bridge, entry.mac, entry.vlan);
        self.state.fdb.retain(|has| (&has.bridge, has.mac, has.vlan) != place);
        self.state.fdb.push(entry);
    }

    pub(crate) fn remove_entry(&mut self, entry: &FdbEntry) -> Answer {
        self.link(&entry.port)?;
        self.state.fdb.retain(|has| {
            let is_it = has.port == entry.port && has.mac == entry.mac && has.state != FdbState::Local;
            // Without a VLAN, the entry goes from every VLAN.
            !(is_it && (entry.vlan.is_none() || has.vlan == entry.vlan))
        });
        Ok(())
    }

    fn pvid(&self, bridge: &IfName) -> Option<u16> {
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
        self.state.fdb.append(&mut own);
    }
}

fn local(bridge: &IfName, port: &IfName, mac: MacAddr, vlan: Option<u16>) -> FdbEntry {
    FdbEntry { bridge: bridge.clone(), port: port.clone(), mac, vlan, state: FdbState::Local, sticky: false }
}
