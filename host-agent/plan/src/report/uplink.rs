//! What a managed bridge's uplink receives, and why it is more than it should be.

use std::collections::BTreeSet;

use trestle_model::{FdbEntry, FdbState, IfName, Link, MacAddr, NetworkSpec, PromiscuityCause, UplinkReport};

use crate::census::Census;

/// Reports the uplink of a network's bridge.
///
/// *Source*: `br_manage_promisc` in the kernel's `net/bridge/br_if.c`: where the bridge filters, is not promiscuous itself, and
/// no other port learns or floods, a port that filters unicast frames is told the addresses that are behind the others.
pub(super) fn report(spec: &NetworkSpec, census: &Census<'_>) -> Option<UplinkReport> {
    let links = &census.state.kernel.links;
    let bridge = links.get(&spec.bridge()?.name)?;
    let link = links.get(&spec.uplink()?).filter(|link| link.master.as_ref() == Some(&bridge.name))?;
    let is_behind_another = |entry: &&&FdbEntry| entry.port != link.name && entry.state != FdbState::Learned;
    let behind: BTreeSet<MacAddr> =
        census.entries(&bridge.name).iter().filter(is_behind_another).map(|entry| entry.mac).collect();
    Some(UplinkReport {
        device: link.name.clone(),
        promiscuity: link.promiscuity,
        causes: if link.promiscuity == 0 { Vec::new() } else { causes(bridge, &link.name, census) },
        unicast_addresses: u32::try_from(behind.len()).unwrap_or(u32::MAX),
    })
}

fn causes(bridge: &Link, uplink: &IfName, census: &Census<'_>) -> Vec<PromiscuityCause> {
    let filters = bridge.bridge().is_some_and(|bridge| bridge.vlan_filtering);
    let opens = |port: &&&Link| port.name != *uplink && port.port.is_some_and(|flags| flags.learning || flags.flood);
    let ports = census.ports(&bridge.name).iter().filter(opens).map(|port| PromiscuityCause::Port(port.name.clone()));
    let own = [
        (!filters).then_some(PromiscuityCause::NotFiltering),
        (bridge.promiscuity > 0).then_some(PromiscuityCause::Bridge),
    ];
    let mut causes: Vec<PromiscuityCause> = own.into_iter().flatten().chain(ports).collect();
    if causes.is_empty() {
        causes.push(PromiscuityCause::Device);
    }
    causes
}
