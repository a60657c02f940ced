//! Whether guests are what is wanted of them: pure comparisons of VMs and vNICs with what hosts report of domains.

use trestle_model::fleet::{EntityId, Fleet, Sighting, Vm, Vnic};
use trestle_model::{Domain, DomainState, HostName, VmId};

use super::wanted::{Difference, differences};

/// Whether what is seen of a guest is what is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlugSync {
    /// It is; also where nothing is wanted, and nothing is there.
    InSync,
    /// What is wanted is not there.
    Absent,
    /// It is there, and not as wanted; or it is not wanted.
    Different,
    /// The host is silent, or does not tell of its domains.
    Unknown,
}

/// A vNIC beside what is seen of it.
#[derive(Debug, Clone)]
pub struct VnicSync<'a> {
    /// Whether it is as wanted.
    pub sync: PlugSync,
    /// What differs; empty unless something does.
    pub differences: Vec<Difference>,
    /// The interface that it is, where one is seen; of a silent host, as it last reported it.
    pub seen: Option<Sighting<'a>>,
}

/// A VM beside what is seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmSync {
    /// Whether it is where it is to be.
    pub sync: PlugSync,
    /// What differs; empty unless something does.
    pub differences: Vec<Difference>,
}

/// Compares a VM with its domains. `is_heard` tells whether a host is connected, and what it last reported holds.
pub fn vm_sync(fleet: &Fleet, vm: &Vm, is_heard: &dyn Fn(&HostName) -> bool) -> VmSync {
    let (sync, differences) = match whereabouts(fleet, vm, is_heard) {
        Whereabouts::At(host, domain) => {
            let known = known(fleet, vm.id, is_heard).into_iter();
            let others = known.filter(|(other, domain)| *other != host && domain.state.is_live());
            let places = [(host, domain)].into_iter().chain(others);
            let differences: Vec<_> = places.filter_map(|(host, domain)| misplaced(vm, host, domain)).collect();
            (if differences.is_empty() { PlugSync::InSync } else { PlugSync::Different }, differences)
        }
        Whereabouts::Missing(_) => (PlugSync::Absent, Vec::new()),
        Whereabouts::Silent(_) => (PlugSync::Unknown, Vec::new()),
        Whereabouts::Unwanted => (PlugSync::InSync, Vec::new()),
    };
    VmSync { sync, differences }
}

/// Compares a vNIC with the interface that has its MAC in its VM's domain.
pub fn vnic_sync<'a>(fleet: &'a Fleet, vnic: &Vnic, is_heard: &dyn Fn(&HostName) -> bool) -> VnicSync<'a> {
    let Some(vm) = fleet.vms().get(&vnic.vm) else {
        return VnicSync { sync: PlugSync::Unknown, differences: Vec::new(), seen: None };
    };
    let place = whereabouts(fleet, vm, is_heard);
    let seen = place.domain().and_then(|(host, domain)| {
        let interface = domain.interfaces.iter().find(|interface| Some(interface.mac) == vnic.address())?;
        Some(fleet.sighting(host, domain, interface))
    });
    let differences = match (place, &seen) {
        (Whereabouts::At(..), Some(sighting)) => differences(fleet, vnic, vm, sighting),
        (Whereabouts::At(..) | Whereabouts::Missing(_) | Whereabouts::Silent(_) | Whereabouts::Unwanted, _) => {
            Vec::new()
        }
    };
    // Without a profile there is no network to be plugged on, and nothing is missing where nothing is.
    let is_wanted = vnic.plugged && vnic.profile.is_some();
    let sync = match place {
        Whereabouts::Silent(_) => PlugSync::Unknown,
        Whereabouts::At(..) if seen.is_none() && is_wanted => PlugSync::Absent,
        Whereabouts::Missing(_) if is_wanted => PlugSync::Absent,
        Whereabouts::At(..) if !differences.is_empty() => PlugSync::Different,
        Whereabouts::At(..) | Whereabouts::Missing(_) | Whereabouts::Unwanted => PlugSync::InSync,
    };
    VnicSync { sync, differences, seen }
}

/// Where a VM is, as far as hosts tell.
#[derive(Clone, Copy)]
pub(super) enum Whereabouts<'a> {
    /// There: where it runs, first of all where it is to; else where it is defined and is to run, or where it is defined and
    /// is not to run.
    At(&'a HostName, &'a Domain),
    /// Not where it is to run, and it runs nowhere; it may be defined somewhere.
    Missing(Option<(&'a HostName, &'a Domain)>),
    /// Nobody can say: the host is silent, and this is what it last reported.
    Silent(Option<(&'a HostName, &'a Domain)>),
    /// Nowhere, and it is to run nowhere.
    Unwanted,
}

impl<'a> Whereabouts<'a> {
    /// Returns the domain, whether it can be relied on or not.
    const fn domain(self) -> Option<(&'a HostName, &'a Domain)> {
        match self {
            Self::At(host, domain) => Some((host, domain)),
            Self::Missing(last) | Self::Silent(last) => last,
            Self::Unwanted => None,
        }
    }
}

pub(super) fn whereabouts<'a>(fleet: &'a Fleet, vm: &Vm, is_heard: &dyn Fn(&HostName) -> bool) -> Whereabouts<'a> {
    let known = known(fleet, vm.id, is_heard);
    let is_wanted_at = |(host, _): &&(&HostName, &Domain)| vm.host.as_ref() == Some(*host);
    let is_live = |(_, domain): &&(&HostName, &Domain)| domain.state.is_live();
    let running = known.iter().filter(is_live).find(is_wanted_at).or_else(|| known.iter().find(is_live));
    if let Some((host, domain)) = running.or_else(|| known.iter().find(is_wanted_at)) {
        return Whereabouts::At(host, domain);
    }
    let defined = known.first().copied();
    match &vm.host {
        Some(host) if is_told_by(fleet, host, is_heard) => Whereabouts::Missing(defined),
        Some(host) => Whereabouts::Silent(fleet.domains_of(vm.id).find(|(other, _)| *other == host).or(defined)),
        None => match (defined, fleet.domains_of(vm.id).next()) {
            (Some((host, domain)), _) => Whereabouts::At(host, domain),
            (None, Some(last)) => Whereabouts::Silent(Some(last)),
            (None, None) => Whereabouts::Unwanted,
        },
    }
}

/// Returns the VM's domains on hosts that can say where they are now.
fn known<'a>(fleet: &'a Fleet, vm: VmId, is_heard: &dyn Fn(&HostName) -> bool) -> Vec<(&'a HostName, &'a Domain)> {
    fleet.domains_of(vm).filter(|(host, _)| is_told_by(fleet, host, is_heard)).collect()
}

/// Tells whether `host` tells of its domains: it is heard, reaches libvirt, and does not have guests in ports alone, as an agent
/// that knows no domains.
fn is_told_by(fleet: &Fleet, host: &HostName, is_heard: &dyn Fn(&HostName) -> bool) -> bool {
    let Some(reported) = fleet.observed(host).and_then(|record| record.capabilities.as_ref()) else { return false };
    let ports = || reported.networks.iter().flat_map(|network| &network.ports);
    let is_silent = reported.domains.is_empty() && ports().any(|port| port.guest.is_some());
    is_heard(host) && reported.libvirt.connected && !is_silent
}

/// Says how a domain is not where, or what, the VM is to be.
fn misplaced(vm: &Vm, host: &HostName, domain: &Domain) -> Option<Difference> {
    let name = |host: &HostName| EntityId::Host(host.clone()).to_string();
    match (&vm.host, domain.state) {
        (Some(wanted), _) if wanted != host => {
            Some(Difference { field: "host", expected: name(wanted), actual: name(host) })
        }
        (Some(_), DomainState::Running | DomainState::Paused) | (None, DomainState::ShutOff) => None,
        (Some(_), state @ (DomainState::ShutOff | DomainState::Other)) => {
            Some(Difference { field: "state", expected: "running".to_owned(), actual: state_text(state).to_owned() })
        }
        (None, DomainState::Running | DomainState::Paused | DomainState::Other) => {
            Some(Difference { field: "host", expected: String::new(), actual: name(host) })
        }
    }
}

const fn state_text(state: DomainState) -> &'static str {
    match state {
        DomainState::Running => "running",
        DomainState::Paused => "paused",
        DomainState::ShutOff => "shut off",
        DomainState::Other => "other",
    }
}

#[cfg(test)]
mod tests;
