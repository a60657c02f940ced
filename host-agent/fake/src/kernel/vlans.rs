//! VLANs of bridges' ports.

use trestle_model::{Feature, FeatureSet, IfName, KernelState, Link, PortVlans, VlanRange};

use super::links::require;
use super::{Answer, Kernel};

impl Kernel {
    pub(crate) fn add_vlans(&mut self, port: &IfName, vlans: VlanRange, features: &FeatureSet) -> Answer {
        require(features, Feature::BridgeVlanFiltering)?;
        let is_legal = vlans.first > 0 && vlans.first <= vlans.last && vlans.last < 4095;
        if !is_legal || (vlans.pvid && vlans.first != vlans.last) {
            return Err(format!("VLANs {vlans} of {port}: Invalid argument"));
        }
        let link = self.link_mut(port)?;
        let Some(has) = &mut link.vlans else { return Err(format!("{port}: Operation not supported")) };
        has.add(vlans);
        Ok(())
    }

    pub(crate) fn remove_vlans(&mut self, port: &IfName, first: u16, last: u16) -> Answer {
        if let Some(has) = self.state.links.get_mut(port).and_then(|link| link.vlans.as_mut()) {
            has.remove(first, last);
        }
        Ok(())
    }

    /// Makes a device that has become a bridge's port a member of the default VLAN.
    pub(super) fn join_default_vlan(&mut self, port: &IfName, bridge: &IfName) {
        let pvid = self.pvid(bridge).unwrap_or_default();
        let mut vlans = PortVlans::default();
        vlans.follow_default(0, pvid);
        if let Some(link) = self.state.links.get_mut(port) {
            link.vlans = Some(vlans);
        }
    }

    /// Lets ports follow their bridge to another default VLAN.
    pub(super) fn follow_default_vlan(&mut self, bridge: &IfName, old: u16, new: u16) {
        for port in self.ports(bridge) {
            if let Some(vlans) = self.state.links.get_mut(&port).and_then(|link| link.vlans.as_mut()) {
                vlans.follow_default(old, new);
            }
        }
    }

    /// Returns the VLANs that a port is a member of, by number.
    pub(crate) fn vlans_of(&self, port: &IfName) -> Vec<u16> {
        let vlans = self.state.links.get(port).and_then(|link| link.vlans.as_ref());
        vlans.map(|vlans| vlans.ids().collect()).unwrap_or_default()
    }

    /// Returns what there is to see: the VLANs of ports only where their bridge filters.
    pub(crate) fn visible(&self) -> KernelState {
        let mut state = self.state.clone();
        let filters =
            |name: &IfName| self.state.links.get(name).and_then(Link::bridge).is_some_and(|b| b.vlan_filtering);
        for link in state.links.values_mut() {
            link.vlans = link.vlans.take().filter(|_| link.master.as_ref().is_some_and(filters));
        }
        state
    }
}
