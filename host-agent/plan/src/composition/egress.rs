//! What networks are given of the device below them.

use std::collections::BTreeMap;

use trestle_model::{Egress, HostConfig, HostQos, IfName, Shaping, TrafficClass};

use super::Composition;
use super::nic::on_nic;
use crate::target::EgressTarget;

impl Composition<'_> {
    /// Wants a class for each network of a device where one of them is promised or denied something, and none of
    /// Trestle's otherwise.
    ///
    /// Somebody else's queueing that has come since is left to a change that is about a network on the device.
    pub(super) fn egress(&self, device: &IfName) -> EgressTarget {
        let has = self.observed().kernel.links.get(device).map(|link| &link.egress);
        let concerned = on_nic(self.desired, device).any(|spec| self.is_touched(spec));
        match shaping(self.desired, device) {
            Some(_) if matches!(has, Some(Egress::Foreign(_))) && !concerned => EgressTarget::Leave,
            Some(shaping) => EgressTarget::Shaped(shaping),
            None => EgressTarget::Unshaped,
        }
    }
}

/// Returns the classes of a device; `None` where no network on it says anything.
///
/// A network that says nothing, and what belongs to no network, has the least of the others' shares, and no limit (D-0038).
pub(crate) fn shaping(config: &HostConfig, device: &IfName) -> Option<Shaping> {
    let link_share = on_nic(config, device).filter_map(|spec| Some(spec.host_qos?.link_share)).min()?;
    let unsaid = HostQos { link_share, upper_limit: None, committed_rate: None };
    let mut classes = BTreeMap::from([(TrafficClass::Rest, unsaid)]);
    for spec in on_nic(config, device) {
        classes.insert(spec.vlan.map_or(TrafficClass::Rest, TrafficClass::Vlan), spec.host_qos.unwrap_or(unsaid));
    }
    Some(Shaping(classes))
}
