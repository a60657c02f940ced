//! What a host is to be told of its guests' interfaces: pure comparisons of vNICs with what it reports of domains.

use trestle_model::fleet::{CommandedInterface, EntityId, Fleet, Vm, Vnic, VnicPolicy};
use trestle_model::{
    Code, Domain, DomainInterface, DomainKey, DomainState, Feature, Finding, HostName, MacAddr, NetworkName,
    PlugRequest, Replug, VmId, WantedInterface, same_filter,
};
use uuid::Uuid;

use super::plugged::{Whereabouts, whereabouts};
use super::wanted::{cut_off, differences, wanted};

/// What is to become of a vNIC's interface in a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// It is as wanted, or not there and not wanted.
    Keep,
    /// It is to be so.
    Set(WantedInterface),
    /// It is to be gone.
    Remove(MacAddr),
    /// It is not as wanted, and the engine asks nobody.
    Withheld(Box<Finding>),
}

/// What a host is owed for interfaces of one of its domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedPlug {
    /// The domain's UUID.
    pub domain: Uuid,
    /// At least one, each MAC once.
    pub asks: Vec<Ask>,
}

/// What a host is asked for one interface of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Its MAC.
    pub mac: MacAddr,
    /// How it is to be; none where it is to be gone.
    pub wanted: Option<WantedInterface>,
    /// The domain as it was reported when this was asked, with this interface alone, and without what libvirt gives
    /// interfaces anew each time: two that are alike are equal.
    pub seen: Domain,
}

/// A domain that a host reports, and the VM that it is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The VM.
    pub vm: &'a Vm,
    /// The host.
    pub host: &'a HostName,
    /// The domain.
    pub domain: &'a Domain,
}

/// Finds what `host` is owed, for each domain in which an interface is to be set or removed, ordered by the domain's name. The cost grows with the host's domains.
pub fn owed_plugs(fleet: &Fleet, host: &HostName) -> Vec<OwedPlug> {
    places_on(fleet, host).filter_map(|place| place.owed(fleet)).collect()
}

/// Returns the domains that `host` reports and that are VMs of the fleet.
pub fn places_on<'a>(fleet: &'a Fleet, host: &'a HostName) -> impl Iterator<Item = Place<'a>> {
    let place = move |domain: &'a Domain| Some(Place { vm: fleet.vms().get(&VmId(domain.uuid))?, host, domain });
    fleet.domains_on(host).iter().filter_map(place)
}

impl OwedPlug {
    /// Returns the request that asks for it.
    pub fn request(&self) -> PlugRequest {
        PlugRequest {
            domain: DomainKey::Uuid(self.domain),
            set: self.set().filter_map(|ask| ask.wanted.clone()).collect(),
            remove: self.removed().map(|ask| ask.mac).collect(),
            replug: Replug::Refuse,
            validate_only: false,
        }
    }

    /// Returns what a host's finding about the request names, as `set[3].filter` does; none where it names no interface.
    pub fn named_by(&self, finding: &Finding) -> Option<&Ask> {
        let (list, rest) = finding.field.split_once('[')?;
        let position = rest.split_once(']')?.0.parse().ok()?;
        match list {
            "set" => self.set().nth(position),
            "remove" => self.removed().nth(position),
            _ => None,
        }
    }

    /// Returns the interfaces as they will be.
    pub fn coming(&self) -> impl Iterator<Item = CommandedInterface> {
        self.asks.iter().filter_map(Ask::coming)
    }

    /// Tells whether `domains`, as the host reports them, have all that was asked for.
    pub fn is_in(&self, domains: &[Domain]) -> bool {
        let domain = domains.iter().find(|domain| domain.uuid == self.domain);
        let seen = |mac| domain.and_then(|domain| domain.interfaces.iter().find(|interface| interface.mac == mac));
        self.coming().all(|coming| {
            let coming = coming.interface;
            seen(coming.mac).is_some_and(|seen| {
                let is_there = seen.network.is_none() || seen.network == coming.network;
                is_there && same_filter(seen.filter.as_ref(), coming.filter.as_ref())
            })
        })
    }

    fn set(&self) -> impl Iterator<Item = &Ask> {
        self.asks.iter().filter(|ask| ask.wanted.is_some())
    }

    fn removed(&self) -> impl Iterator<Item = &Ask> {
        self.asks.iter().filter(|ask| ask.wanted.is_none())
    }
}

impl Ask {
    /// Returns the interface as it will be; none where it is to be gone.
    fn coming(&self) -> Option<CommandedInterface> {
        let wanted = self.wanted.as_ref()?;
        let network = NetworkName::parse(&wanted.network).ok();
        let interface = DomainInterface {
            mac: wanted.mac,
            attachment: "network".to_owned(),
            network: Some(network.as_ref().map_or_else(|| wanted.network.clone(), NetworkName::libvirt_network)),
            bridge: None,
            tap: None,
            filter: wanted.filter.clone(),
            model: Some(wanted.model.clone()),
            mtu: wanted.mtu.map(u32::from),
            linked: wanted.linked,
            alias: None,
            isolated: wanted.isolated,
            bandwidth: wanted.bandwidth,
        };
        Some(CommandedInterface { domain: self.seen.clone(), interface, network })
    }
}

impl<'a> Place<'a> {
    /// Returns where a VM is, as far as hosts that are heard tell.
    pub fn of(fleet: &'a Fleet, vm: &'a Vm, is_heard: &dyn Fn(&HostName) -> bool) -> Option<Self> {
        match whereabouts(fleet, vm, is_heard) {
            Whereabouts::At(host, domain) => Some(Self { vm, host, domain }),
            Whereabouts::Missing(_) | Whereabouts::Silent(_) | Whereabouts::Unwanted => None,
        }
    }

    /// Tells whether the VM is to be here: it runs here, or it runs nowhere and is defined here.
    pub fn is_wanted(self) -> bool {
        match &self.vm.host {
            Some(wanted) => wanted == self.host,
            None => self.domain.state == DomainState::ShutOff,
        }
    }

    /// Returns what the host is owed for the domain's interfaces; none where there is nothing to ask for.
    pub fn owed(self, fleet: &Fleet) -> Option<OwedPlug> {
        let aims = fleet.vnics_of(self.vm.id).map(|vnic| self.aim(fleet, vnic));
        let asks: Vec<Ask> = aims.filter_map(|aim| self.ask(&aim)).collect();
        (!asks.is_empty()).then_some(OwedPlug { domain: self.domain.uuid, asks })
    }

    /// Returns what the host is to be asked for an aim; none where there is nothing to ask for.
    pub fn ask(self, aim: &Aim) -> Option<Ask> {
        let (mac, wanted) = match aim {
            Aim::Set(wanted) => (wanted.mac, Some(wanted.clone())),
            Aim::Remove(mac) => (*mac, None),
            Aim::Keep | Aim::Withheld(_) => return None,
        };
        Some(Ask { mac, wanted, seen: lasting(self.domain, mac) })
    }

    /// Says what is to become of the interface of one of the VM's vNICs.
    pub fn aim(self, fleet: &Fleet, vnic: &Vnic) -> Aim {
        let wish = self.wish(fleet, vnic);
        match wish {
            Aim::Keep | Aim::Withheld(_) => wish,
            Aim::Set(_) | Aim::Remove(_) => match self.obstacle(fleet, vnic) {
                Some(finding) => Aim::Withheld(Box::new(finding)),
                None => wish,
            },
        }
    }

    /// Says what is wanted, whoever is to do it.
    fn wish(self, fleet: &Fleet, vnic: &Vnic) -> Aim {
        let Self { vm, host, domain } = self;
        let Some(mac) = vnic.address() else { return Aim::Keep };
        let mut with_mac = domain.interfaces.iter().filter(|interface| interface.mac == mac);
        let (seen, more) = (with_mac.next(), with_mac.next());
        let withheld =
            |code, message: String, remedy: &str| Aim::Withheld(Box::new(about(vnic, code, message, remedy)));
        if more.is_some() {
            let message = format!("domain {} has more than one interface with {mac}", domain.name);
            return withheld(Code::DuplicateMac, message, "give them different MACs, with libvirt's own tools");
        }
        if !vnic.plugged {
            return if seen.is_some() { Aim::Remove(mac) } else { Aim::Keep };
        }
        let sighting = |seen| fleet.sighting(host, domain, seen);
        if seen.is_some_and(|seen| differences(fleet, vnic, vm, &sighting(seen)).is_empty()) {
            return Aim::Keep;
        }
        let Some(profile) = vnic.profile.as_ref().and_then(|profile| fleet.profiles().get(profile)) else {
            return match seen.map(|seen| cut_off(&sighting(seen))) {
                Some(Some(cut)) => Aim::Set(cut),
                Some(None) => {
                    let message = format!("{mac} is to have no network, and hangs on none of libvirt's");
                    withheld(Code::VnicNotPluggable, message, "unplug it, or pull its cable, with libvirt's own tools")
                }
                None => Aim::Keep,
            };
        };
        if profile.is_passthrough() {
            let message = "virtual functions are not given to guests by the engine".to_owned();
            return withheld(Code::VnicNotPluggable, message, "plug it with libvirt's own tools");
        }
        if !fleet.has_bridge(host, &profile.network) {
            let message = format!("host {host} reports no bridge of network {}", profile.network);
            let remedy = "attach the network to the host; the vNIC is plugged when the host runs it";
            return withheld(Code::NetworkNotOnHost, message, remedy);
        }
        let Some(wanted) = wanted(fleet, (vnic, vm), profile, seen) else { return Aim::Keep };
        // Asked together with others of the domain, it would hold them up for as long as the guest runs.
        if domain.state.is_live()
            && let Some(what) = seen.and_then(|seen| unchangeable(seen, &wanted))
        {
            let message = format!("{} runs, and libvirt does not change {what} of {mac} in place", domain.name);
            return withheld(Code::ReplugNeeded, message, "stop the guest, or unplug the vNIC and plug it again");
        }
        Aim::Set(wanted)
    }

    /// Says why nobody is asked about the interface of a vNIC.
    fn obstacle(self, fleet: &Fleet, vnic: &Vnic) -> Option<Finding> {
        let Self { vm, host, domain } = self;
        let because = |code, message: String, remedy: &str| Some(about(vnic, code, message, remedy));
        let is_its_mac = |other: &Vnic| other.id != vnic.id && other.address() == vnic.address();
        if fleet.vnics_of(vm.id).any(is_its_mac) {
            let message = "another vNIC of the VM has the same MAC, by which alone interfaces are known".to_owned();
            return because(Code::DuplicateMac, message, "give one of them another MAC, or remove it");
        }
        let policy = fleet.clusters().get(&vm.cluster).map(|cluster| cluster.vnic_policy);
        if policy == Some(VnicPolicy::Report) {
            let message = format!("cluster {} has vnic_policy REPORT: somebody else plugs its guests", vm.cluster);
            return because(Code::VnicNotPluggable, message, "plug it as they do, or change the policy");
        }
        if !self.is_wanted() {
            let message = format!("domain {} is on host {host}, and not where the VM is to be", domain.name);
            return because(Code::VnicNotPluggable, message, "set vm.spec.host to where it runs, or move it");
        }
        if fleet.hosts().get(host).is_none_or(|host| host.maintenance) {
            let message = format!("host {host} is in maintenance, and left alone");
            return because(Code::VnicNotPluggable, message, "end the maintenance");
        }
        let reported = fleet.observed(host).and_then(|record| record.capabilities.as_ref());
        if !reported.is_some_and(|reported| reported.features.has(Feature::DomainInterfaces)) {
            let message = format!("host {host} does not report the feature {}", Feature::DomainInterfaces);
            return because(Code::HostUnsupported, message, "update its agent, and look at its libvirt");
        }
        None
    }
}

/// Returns a domain with the interfaces of `mac` alone, without what libvirt gives them anew each time they are plugged.
fn lasting(domain: &Domain, mac: MacAddr) -> Domain {
    let alike = |interface: &&DomainInterface| interface.mac == mac;
    let plain = |interface: &DomainInterface| DomainInterface { tap: None, alias: None, ..interface.clone() };
    Domain {
        name: domain.name.clone(),
        uuid: domain.uuid,
        state: domain.state,
        persistence: domain.persistence,
        interfaces: domain.interfaces.iter().filter(alike).map(plain).collect(),
    }
}

/// Says what of a running guest's interface would have to change that libvirt does not change in place.
///
/// *Source*: `qemuDomainChangeNet` in libvirt's `src/qemu/qemu_hotplug.c`.
fn unchangeable(seen: &DomainInterface, wanted: &WantedInterface) -> Option<&'static str> {
    if !matches!(seen.attachment.as_str(), "network" | "bridge") {
        Some("the kind of attachment")
    } else if seen.model.as_ref() != Some(&wanted.model) {
        Some("the model")
    } else if seen.mtu != wanted.mtu.map(u32::from) {
        Some("the MTU")
    } else {
        None
    }
}

fn about(vnic: &Vnic, code: Code, message: String, remedy: &str) -> Finding {
    Finding::warning(code, "", message).about(EntityId::Vnic(vnic.vm, vnic.id.clone())).remedy(remedy)
}

#[cfg(test)]
mod tests;
