//! What a step is called: the same words everywhere.

use std::fmt;

use trestle_model::{DhcpClientSpec, FdbEntry, Route};

use super::{BridgeChange, DhcpStep, KernelStep, LibvirtStep, PortChange, Step};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(step) => step.fmt(f),
            Self::Libvirt(step) => step.fmt(f),
            Self::Dhcp(step) => step.fmt(f),
            Self::Resolver(step) => step.fmt(f),
            Self::Guest(step) => step.fmt(f),
        }
    }
}

impl fmt::Display for KernelStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBridge { name, mac: Some(mac), .. } => write!(f, "create bridge {name} with MAC {mac}"),
            Self::CreateBridge { name, mac: None, .. } => write!(f, "create bridge {name}"),
            Self::CreateBond { name, mode, mac: Some(mac), .. } => {
                write!(f, "create bond {name} in mode {mode} with MAC {mac}")
            }
            Self::CreateBond { name, mode, mac: None, .. } => write!(f, "create bond {name} in mode {mode}"),
            Self::CreateVlan { name, base, id, .. } => write!(f, "create VLAN device {name} for VLAN {id} on {base}"),
            Self::DeleteLink { name } => write!(f, "delete device {name}"),
            Self::SetAlias { link, alias: Some(alias) } => write!(f, "set alias of {link} to {alias:?}"),
            Self::SetAlias { link, alias: None } => write!(f, "clear alias of {link}"),
            Self::SetMac { link, mac } => write!(f, "set MAC of {link} to {mac}"),
            Self::SetMtu { link, mtu } => write!(f, "set MTU of {link} to {mtu}"),
            Self::SetUp { link, up: true } => write!(f, "set {link} up"),
            Self::SetUp { link, up: false } => write!(f, "set {link} down"),
            Self::SetMaster { link, master: Some(master) } => write!(f, "make {link} a port of {master}"),
            Self::SetMaster { link, master: None } => write!(f, "take {link} out of what it is a port of"),
            Self::SetIpv6Disabled { link, disabled: true } => write!(f, "switch IPv6 off on {link}"),
            Self::SetIpv6Disabled { link, disabled: false } => write!(f, "switch IPv6 on on {link}"),
            Self::SetAutoconf { link, change } => write!(f, "set autoconfiguration of {link}: {change}"),
            Self::SetBridge { bridge, change } => write!(f, "set bridge {bridge}: {change}"),
            Self::SetBond { bond, change } => write!(f, "set bond {bond}: {change}"),
            Self::SetPort { port, change } => write!(f, "set port {port}: {change}"),
            Self::AddVlans { port, vlans } => {
                write!(f, "make {port} a member of VLAN {}, {}", vlans.numbers(), vlans.way())
            }
            Self::RemoveVlans { port, first, last } if first == last => write!(f, "take {port} out of VLAN {first}"),
            Self::RemoveVlans { port, first, last } => write!(f, "take {port} out of VLAN {first}-{last}"),
            Self::SetRings { link, sizes } => {
                write!(f, "set rings of {link}: ")?;
                let mut words = Words::new(f);
                words.add("rx", sizes.rx)?;
                words.add("tx", sizes.tx)
            }
            Self::SetVirtualFunctions { link, count } => write!(f, "set virtual functions of {link}: {count}"),
            Self::SetFeatures { link, features } => {
                write!(f, "switch features of {link}: ")?;
                let mut words = Words::new(f);
                features.iter().try_for_each(|(name, on)| words.add(name.as_str(), Some(on_off(*on))))
            }
            Self::ShapeEgress { link, rest } => write!(f, "queue what leaves {link} by classes: {rest}"),
            Self::UnshapeEgress { link } => write!(f, "queue what leaves {link} as the kernel does by itself"),
            Self::SetTrafficClass { link, class, qos } => write!(f, "give {class} on {link}: {qos}"),
            Self::RemoveTrafficClass { link, class } => write!(f, "remove the class of {class} on {link}"),
            Self::AddAddress { link, address } => write!(f, "add address {} to {link}", address.net),
            Self::RemoveAddress { link, address } => write!(f, "remove address {} from {link}", address.net),
            Self::LeaseAddress { link, address, valid_s, .. } => {
                write!(f, "lease address {} to {link} for {valid_s} s", address.net)
            }
            Self::AddRoute { route } => write!(f, "add route {}", RouteWords(route)),
            Self::RemoveRoute { route } => write!(f, "remove route {}", RouteWords(route)),
            Self::AddRule { rule } => write!(f, "add rule from {} to table {}", rule.source, rule.table),
            Self::RemoveRule { rule } => write!(f, "remove rule from {} to table {}", rule.source, rule.table),
            Self::ReplaceFdb { entry } => write!(f, "set FDB entry {}", EntryWords(entry)),
            Self::RemoveFdb { entry } => write!(f, "remove FDB entry {}", EntryWords(entry)),
            Self::ForgetLearned { port } => write!(f, "forget what was learned on port {port}"),
        }
    }
}

impl fmt::Display for LibvirtStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Define(d) => write!(
                f,
                "define libvirt network {} on bridge {}, MAC table managed by {}",
                d.name, d.bridge, d.mac_table_manager
            ),
            Self::DefineXml { name, .. } => write!(f, "define libvirt network {name} as it was"),
            Self::Start { name } => write!(f, "start libvirt network {name}"),
            Self::Stop { name } => write!(f, "stop libvirt network {name}"),
            Self::Undefine { name } => write!(f, "undefine libvirt network {name}"),
            Self::SetAutostart { name, autostart: true } => write!(f, "let libvirt start network {name} by itself"),
            Self::SetAutostart { name, autostart: false } => {
                write!(f, "do not let libvirt start network {name} by itself")
            }
        }
    }
}

impl fmt::Display for DhcpStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(DhcpClientSpec { link, family, default_route: true, .. }) => {
                write!(f, "start {family} DHCP client on {link} for the default route")
            }
            Self::Start(DhcpClientSpec { link, family, default_route: false, .. }) => {
                write!(f, "start {family} DHCP client on {link}")
            }
            Self::Stop { link, family } => write!(f, "stop {family} DHCP client on {link}"),
        }
    }
}

impl fmt::Display for BridgeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Words::new(f);
        words.add("stp", self.stp.map(on_off))?;
        words.add("ageing_time_cs", self.ageing_time_cs)?;
        words.add("forward_delay_cs", self.forward_delay_cs)?;
        words.add("hello_time_cs", self.hello_time_cs)?;
        words.add("max_age_cs", self.max_age_cs)?;
        words.add("priority", self.priority)?;
        words.add("multicast_snooping", self.multicast_snooping.map(on_off))?;
        words.add("multicast_querier", self.multicast_querier.map(on_off))?;
        words.add("group_fwd_mask", self.group_fwd_mask)?;
        words.add("vlan_filtering", self.vlan_filtering.map(on_off))?;
        words.add("default_pvid", self.default_pvid)?;
        for (number, value) in self.numbers.iter() {
            words.add(number.name(), Some(value))?;
        }
        Ok(())
    }
}

impl fmt::Display for PortChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Words::new(f);
        words.add("learning", self.learning.map(on_off))?;
        words.add("flood", self.flood.map(on_off))?;
        words.add("multicast_flood", self.multicast_flood.map(on_off))?;
        words.add("broadcast_flood", self.broadcast_flood.map(on_off))?;
        words.add("isolated", self.isolated.map(on_off))?;
        words.add("locked", self.locked.map(on_off))
    }
}

pub(super) const fn on_off(flag: bool) -> &'static str {
    if flag { "on" } else { "off" }
}

pub(super) struct Words<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    first: bool,
}

impl<'a, 'b> Words<'a, 'b> {
    pub(super) const fn new(out: &'a mut fmt::Formatter<'b>) -> Self {
        Self { out, first: true }
    }

    pub(super) fn add(&mut self, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        let gap = if self.first { "" } else { ", " };
        self.first = false;
        write!(self.out, "{gap}{name} {value}")
    }
}

struct RouteWords<'a>(&'a Route);

impl fmt::Display for RouteWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(route) = self;
        write!(f, "{}", route.destination)?;
        if let Some(gateway) = route.gateway {
            write!(f, " via {gateway}")?;
        }
        write!(f, " dev {}", route.device)?;
        if route.metric > 0 {
            write!(f, " metric {}", route.metric)?;
        }
        if !route.is_main() {
            write!(f, " in table {}", route.table)?;
        }
        Ok(())
    }
}

struct EntryWords<'a>(&'a FdbEntry);

impl fmt::Display for EntryWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(entry) = self;
        write!(f, "{} on port {} of {}", entry.mac, entry.port, entry.bridge)?;
        match entry.vlan {
            Some(vlan) => write!(f, " in VLAN {vlan}"),
            None => Ok(()),
        }
    }
}
