//! Rows 18 and 19 once more, by what hosts report: guests that nobody has declared, and those that are plugged otherwise
//! than declared.
//!
//! As with all that hosts report, it is about the step into the state: what comes later is told in the status of hosts and
//! vNICs, and is in the way of no write.

use trestle_model::fleet::{EntityId, Fleet, Network, Sighting, Vnic};
use trestle_model::{Code, Finding, HostName, MacAddr, NetworkName, Severity, VmId};

use super::{Fix, Risk};
use crate::filter::stops_mac_spoofing_on;
use crate::spot::{Named, Spot, vnic_name};

/// How many interfaces a message spells out, and how many names a finding relates to.
const SPELLED_OUT: usize = 3;
const NAMED: usize = 100;

/// Tells whether the guest behind a reported interface may send with a foreign MAC, and the engine does not know: no vNIC
/// is declared so, or its profile is mended by `fix`.
pub(crate) fn may_spoof_unknown(fleet: &Fleet, sighting: &Sighting<'_>, fix: Fix) -> bool {
    let vnic = fleet.vnic_of(sighting);
    // They are given on its own network alone.
    let here = vnic.filter(|vnic| vnic.plugged && sighting.network.is_some_and(|network| is_on(vnic, network)));
    let extra = here.map_or(&[][..], |vnic| &vnic.extra_macs);
    let (filter, mac) = (sighting.interface.filter.as_ref(), sighting.interface.mac);
    let stops = filter.is_some_and(|filter| stops_mac_spoofing_on(fleet, sighting.host, filter, mac, extra));
    let is_declared = || vnic.is_some_and(|vnic| is_declared(fleet, vnic, sighting));
    !stops && (fix == Fix::Profiles || !is_declared())
}

/// Tells whether a vNIC is declared to be on the network where it is seen, and free to spoof there; and to run, if it does.
fn is_declared(fleet: &Fleet, vnic: &Vnic, sighting: &Sighting<'_>) -> bool {
    let profile = vnic.profile.as_ref().filter(|(network, _)| sighting.network == Some(network));
    let (Some(profile), Some(vm)) = (profile.and_then(|id| fleet.profiles().get(id)), fleet.vms().get(&vnic.vm)) else {
        return false;
    };
    let is_free = vnic.bypasses_filter || vm.bypasses_filters || Risk::Spoofing.is_in(fleet, profile);
    let runs_as_declared = vm.host.is_some() || !sighting.domain.state.is_live();
    vnic.plugged && is_free && runs_as_declared
}

/// Returns the plugged vNICs on `network` that have the MAC of an interface which is there, and is no vNIC of that network.
pub(crate) fn owners_of_its_mac<'a>(
    fleet: &'a Fleet,
    network: &'a NetworkName,
    sighting: &Sighting<'_>,
) -> impl Iterator<Item = &'a Vnic> + use<'a> {
    let is_known = is_vnic_of(fleet, network, sighting);
    let owners = fleet.vnics_with_mac(sighting.interface.mac);
    owners.filter(move |vnic| !is_known && vnic.plugged && is_on(vnic, network))
}

/// Tells whether a reported interface is a vNIC that is to be on `network`; rules compare those by what is declared.
fn is_vnic_of(fleet: &Fleet, network: &NetworkName, sighting: &Sighting<'_>) -> bool {
    fleet.vnic_of(sighting).is_some_and(|vnic| is_on(vnic, network))
}

fn is_on(vnic: &Vnic, network: &NetworkName) -> bool {
    vnic.profile.as_ref().is_some_and(|(other, _)| other == network)
}

/// Row 18 for a `network` that becomes managed, or comes managed to some `hosts`: guests on it there that may spoof. An error
/// for those that are live, whatever the clusters' policies; a warning for those that are only defined.
pub(crate) fn reported_spoofers(
    fleet: &Fleet,
    network: &Network,
    (hosts, fix): (impl Fn(&HostName) -> bool, Fix),
    spot: &Spot,
    field: &str,
) -> Vec<Finding> {
    let (mut live, mut defined) = (Guests::default(), Guests::default());
    for sighting in on(fleet, network).filter(|sighting| hosts(sighting.host)) {
        if may_spoof_unknown(fleet, &sighting, fix) {
            let guests = if sighting.domain.state.is_live() { &mut live } else { &mut defined };
            guests.add(fleet, &sighting, []);
        }
    }
    let remedy = "give the interfaces a filter that stops MAC spoofing, such as no-mac-spoofing, or unplug them";
    let finding = |guests: Guests, severity, what: &str| {
        let message = format!("{guests} {what}");
        let finding = spot.finding(severity, Code::MacSpoofConflict, field, message);
        (!guests.is_empty()).then(|| finding.related(guests.related).remedy(remedy))
    };
    let live = finding(live, Severity::Error, "may send with a foreign MAC, as hosts report; they run");
    let defined = finding(defined, Severity::Warning, "will be able to send with a foreign MAC once started");
    live.into_iter().chain(defined).collect()
}

/// Returns the interfaces on a network, as hosts report them or are just told to make them.
fn on<'a>(fleet: &'a Fleet, network: &'a Network) -> impl Iterator<Item = Sighting<'a>> {
    fleet.interfaces_on(&network.id).chain(fleet.interfaces_coming_to(&network.id))
}

/// Row 19 for a `network` that becomes managed, or comes managed to some `hosts`: guests on it there that have the MAC of a
/// plugged vNIC, and are none.
pub(crate) fn reported_duplicates(
    fleet: &Fleet,
    network: &Network,
    hosts: impl Fn(&HostName) -> bool,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    let (mut guests, mut severity) = (Guests::default(), Severity::Warning);
    for sighting in on(fleet, network).filter(|sighting| hosts(sighting.host)) {
        let owners: Vec<&Vnic> = owners_of_its_mac(fleet, &network.id, &sighting).collect();
        if !owners.is_empty() {
            severity = severity.max(weight(&sighting, true));
            guests.add(fleet, &sighting, owners);
        }
    }
    (!guests.is_empty()).then(|| {
        let finding = spot.finding(severity, Code::DuplicateMac, field, format!("{guests} have MACs of vNICs"));
        finding.related(guests.related).remedy("give the vNICs or the guests other MACs, or unplug one of each")
    })
}

/// Row 19 for a vNIC that gets to `network` with these `macs`: guests there that have one of them, and are no vNIC.
pub(crate) fn reported_with(
    fleet: &Fleet,
    vnic: &Vnic,
    network: &Network,
    macs: impl Iterator<Item = MacAddr>,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    let (mut guests, mut severity) = (Guests::default(), Severity::Warning);
    let is_own = |sighting: &Sighting<'_>| {
        VmId(sighting.domain.uuid) == vnic.vm && vnic.address() == Some(sighting.interface.mac)
    };
    let with = |mac| fleet.interfaces_with(mac).chain(fleet.interfaces_coming_with(mac));
    for sighting in macs.flat_map(with) {
        let is_known = is_own(&sighting) || is_vnic_of(fleet, &network.id, &sighting);
        if sighting.network == Some(&network.id) && !is_known {
            severity = severity.max(weight(&sighting, network.is_managed()));
            guests.add(fleet, &sighting, []);
        }
    }
    (!guests.is_empty()).then(|| {
        let message = format!("{guests} on network {} have a MAC of the vNIC", network.id);
        let finding = spot.finding(severity, Code::DuplicateMac, field, message).related(guests.related);
        finding.remedy("give another MAC, or let the pool give one")
    })
}

/// How much a reported duplicate weighs: a managed MAC table has one place for a MAC, and two guests that run fight for it.
const fn weight(sighting: &Sighting<'_>, is_managed: bool) -> Severity {
    if is_managed && sighting.domain.state.is_live() { Severity::Error } else { Severity::Warning }
}

/// Names a reported interface for people: `guest web on host h1 (52:54:00:00:00:01)`.
pub(crate) fn told(sighting: &Sighting<'_>) -> String {
    format!("guest {} on host {} ({})", sighting.domain.name, sighting.host, sighting.interface.mac)
}

/// Guests in the way, of whom there may be very many.
#[derive(Default)]
struct Guests {
    told: Vec<String>,
    untold: usize,
    related: Vec<String>,
}

impl Guests {
    /// Adds the guest behind an interface, which is its vNIC or else its host, and the vNICs that it meets.
    fn add<'a>(&mut self, fleet: &Fleet, sighting: &Sighting<'_>, met: impl IntoIterator<Item = &'a Vnic>) {
        if self.told.len() < SPELLED_OUT {
            self.told.push(told(sighting));
        } else {
            self.untold += 1;
        }
        let own = fleet.vnic_of(sighting).map(vnic_name);
        let own = own.unwrap_or_else(|| EntityId::Host(sighting.host.clone()).to_string());
        for name in [own].into_iter().chain(Named::vnics(met).names) {
            if self.related.len() < NAMED && !self.related.contains(&name) {
                self.related.push(name);
            }
        }
    }

    const fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

impl std::fmt::Display for Guests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told.join(", "))?;
        if self.untold == 0 { Ok(()) } else { write!(f, " and {} more", self.untold) }
    }
}
