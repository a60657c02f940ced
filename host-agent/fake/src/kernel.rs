//! The fake kernel: what it keeps, what it refuses, and what it does by itself.

mod addresses;
mod bonds;
mod egress;
mod entries;
mod links;
mod routes;
mod settings;
mod vlans;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv6Net};
use trestle_model::{Feature, FeatureSet, IfName, KernelState, Link, LinkKind, MacAddr, Route, Support};
use trestle_plan::KernelStep;

pub(crate) use self::settings::of_new_nic;

/// What the kernel answers: nothing, or an error's text.
pub(crate) type Answer = Result<(), String>;

/// A kernel's network state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kernel {
    pub(crate) state: KernelState,
    /// The IPv6 routers of segments: each one's prefix.
    pub(crate) routers: BTreeMap<IfName, Ipv6Net>,
    /// NICs with a cable in them.
    pub(crate) cabled: BTreeSet<IfName>,
    /// Bridges whose MTU somebody set: it no longer follows the ports'.
    mtu_set: BTreeSet<IfName>,
    /// Bridges whose MAC somebody set: it no longer follows the ports'.
    mac_set: BTreeSet<IfName>,
    /// Places of the bridges' own addresses, or of their ports', that a flush left empty.
    flushed: BTreeSet<(IfName, MacAddr, Option<u16>)>,
    /// How often somebody captures frames on a device.
    pub(crate) captures: BTreeMap<IfName, u32>,
    /// What the driver remembers of each bond.
    bonds: bonds::BondMemories,
    /// Routes that exist for addresses.
    prefix_routes: Vec<Route>,
    last_index: u32,
}

impl Kernel {
    pub(crate) fn perform(&mut self, step: &KernelStep, features: &FeatureSet) -> Answer {
        match step {
            KernelStep::CreateBridge { name, mac, alias } => self.create_bridge(name, *mac, alias, features)?,
            KernelStep::CreateBond { name, mode, mac, alias } => {
                self.create_bond(name, *mode, *mac, alias, features)?
            }
            KernelStep::CreateVlan { name, base, id, alias } => self.create_vlan(name, base, *id, alias, features)?,
            KernelStep::DeleteLink { name } => self.delete(name)?,
            KernelStep::SetAlias { link, alias } => self.set_alias(link, alias.as_deref())?,
            KernelStep::SetMac { link, mac } => self.set_mac(link, *mac)?,
            KernelStep::SetMtu { link, mtu } => self.set_mtu(link, *mtu)?,
            KernelStep::SetUp { link, up } => self.set_up(link, *up)?,
            KernelStep::SetMaster { link, master } => self.set_master(link, master.as_ref())?,
            KernelStep::SetIpv6Disabled { link, disabled } => self.set_ipv6_disabled(link, *disabled)?,
            KernelStep::SetAutoconf { link, change } => self.set_autoconf(link, *change)?,
            KernelStep::SetBridge { bridge, change } => self.set_bridge(bridge, change, features)?,
            KernelStep::SetBond { bond, change } => self.set_bond(bond, change)?,
            KernelStep::SetPort { port, change } => self.set_port(port, change, features)?,
            KernelStep::AddVlans { port, vlans } => self.add_vlans(port, *vlans, features)?,
            KernelStep::RemoveVlans { port, first, last } => self.remove_vlans(port, *first, *last)?,
            KernelStep::AddAddress { link, address } => self.add_address(link, address)?,
            KernelStep::RemoveAddress { link, address } => self.remove_address(link, address)?,
            KernelStep::LeaseAddress { link, address, valid_s, .. } => {
                self.add_leased_address(link, address, *valid_s)?
            }
            KernelStep::AddRoute { route } => self.add_route(route)?,
            KernelStep::RemoveRoute { route } => self.remove_route(route)?,
            KernelStep::AddRule { rule } => self.add_rule(rule, features)?,
            KernelStep::RemoveRule { rule } => self.state.rules.retain(|has| has != rule),
            KernelStep::SetRings { link, sizes } => self.set_rings(link, *sizes)?,
            KernelStep::SetVirtualFunctions { link, count } => self.set_virtual_functions(link, *count)?,
            KernelStep::SetFeatures { link, features } => self.set_features(link, features)?,
            KernelStep::ShapeEgress { link, rest } => self.shape_egress(link, *rest, features)?,
            KernelStep::UnshapeEgress { link } => self.unshape_egress(link)?,
            KernelStep::SetTrafficClass { link, class, qos } => self.set_traffic_class(link, *class, *qos)?,
            KernelStep::RemoveTrafficClass { link, class } => self.remove_traffic_class(link, *class)?,
            KernelStep::ReplaceFdb { entry } => self.replace_entry(entry, features)?,
            KernelStep::RemoveFdb { entry } => self.remove_entry(entry)?,
            KernelStep::ForgetLearned { port } => self.forget_learned(port)?,
        }
        self.follow();
        Ok(())
    }

    /// Performs a step that a lease means, on a kernel that has rules: no other is asked to have leases off the default route.
    pub(crate) fn apply_lease(&mut self, step: &KernelStep) -> Answer {
        let features = FeatureSet([(Feature::PolicyRouting, Support::Present)].into());
        self.perform(step, &features)
    }

    /// Does what a kernel does by itself after a change.
    pub(crate) fn follow(&mut self) {
        self.follow_carriers();
        self.follow_bonds();
        self.follow_link_local();
        self.follow_routers();
        self.follow_prefix_routes();
        self.follow_local_entries();
        self.state.routes.sort();
        self.state.routes.dedup();
        self.state.fdb.sort();
    }

    pub(crate) fn link(&self, name: &IfName) -> Result<&Link, String> {
        self.state.links.get(name).ok_or_else(|| no_such_device(name))
    }

    pub(crate) fn link_mut(&mut self, name: &IfName) -> Result<&mut Link, String> {
        self.state.links.get_mut(name).ok_or_else(|| no_such_device(name))
    }

    pub(crate) fn next_index(&mut self) -> u32 {
        self.last_index += 1;
        self.last_index
    }

    fn names(&self, which: impl Fn(&Link) -> bool) -> Vec<IfName> {
        self.state.links.values().filter(|link| which(link)).map(|link| link.name.clone()).collect()
    }

    fn ports(&self, bridge: &IfName) -> Vec<IfName> {
        self.names(|link| link.master.as_ref() == Some(bridge))
    }

    fn vlans_on(&self, base: &IfName) -> Vec<IfName> {
        self.names(|link| matches!(&link.kind, LinkKind::Vlan { base: below, .. } if below == base))
    }
}

fn no_such_device(name: &IfName) -> String {
    format!("{name}: No such device")
}

const fn is_ipv4(net: IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}
