//! Which hosts a virtual machine is offered, as far as its vNICs are concerned, and what is in the way of the others.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::fleet::{EntityId, Fleet, Host, Network, Vm, Vnic, VnicProfile};
use trestle_model::{Code, Finding, Findings, HostName, IfName, NetworkName, ResourceId, Severity, VmId};

use crate::carried::{self, Strictness};
use crate::matrix::{self, Incapable};
use crate::spot::{Named, Spot, enumerate, profile_name};
use crate::state::{HostState, Standing, host_verdict};

/// A virtual machine that is to be placed.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Which one, if the fleet has it.
    pub vm: Option<VmId>,
    /// The cluster that it belongs to.
    pub cluster: ResourceId,
    /// Its vNICs.
    pub vnics: Vec<Vnic>,
}

/// A plugged vNIC that has a network.
#[derive(Clone, Copy)]
struct Plugged<'a> {
    vnic: &'a Vnic,
    profile: &'a VnicProfile,
    network: &'a Network,
}

impl Guest {
    /// Takes a virtual machine of the fleet, with its vNICs.
    pub fn of(vm: &Vm, fleet: &Fleet) -> Self {
        Self { vm: Some(vm.id), cluster: vm.cluster.clone(), vnics: fleet.vnics_of(vm.id).cloned().collect() }
    }

    fn plugged<'a>(&'a self, fleet: &'a Fleet) -> Vec<Plugged<'a>> {
        let with_network = |vnic: &'a Vnic| {
            let profile = fleet.profiles().get(vnic.profile.as_ref()?)?;
            Some(Plugged { vnic, profile, network: fleet.networks().get(&profile.network)? })
        };
        self.vnics.iter().filter(|vnic| vnic.plugged).filter_map(with_network).collect()
    }
}

/// Finds what is in the way of `guest` on `host`.
///
/// *Shape*: about the host, without a field, ordered by code. The host is offered where there are no errors; warnings are for
/// whoever chooses. The cost grows with the vNICs, the host's report, and the required networks of its cluster.
pub fn obstacles(guest: &Guest, host: &Host, fleet: &Fleet, standing: &Standing) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Host(host.id.clone()));
    let plugged = guest.plugged(fleet);
    let mut findings = Vec::new();
    findings.extend(elsewhere(guest, host, &spot));
    findings.extend(not_up(host, fleet, standing, &spot));
    for network in needed(&plugged, fleet) {
        findings.extend(not_in_cluster(guest, network, fleet, &spot));
        findings.extend(carried::faults(fleet, &host.id, network, Strictness::Everything));
        if network.is_managed() {
            findings.extend(unmanageable(&plugged, network, host, fleet, &spot));
        }
        findings.extend(duplicates(guest, &plugged, network, fleet, &spot));
    }
    let bridged = plugged.iter().filter(|one| !one.profile.is_passthrough());
    let filters = bridged.flat_map(|one| matrix::filters_with(&one.profile.filter, []));
    findings.extend(matrix::missing_filters(fleet, filters, [&host.id], (Severity::Error, &spot, "")));
    findings.extend(without_function(guest, &plugged, host, fleet, &spot));
    Findings(findings).sorted().0
}

/// Says that a virtual machine gets to a host that it would not be offered; `None` where it is offered, where it was there
/// before, and where rules refuse it anyway. A note: whoever says where it runs says what is so.
pub fn not_offered(vm: &Vm, fleet: &Fleet, standing: impl FnOnce(&HostName) -> Standing) -> Option<Finding> {
    let name = vm.host.as_ref()?;
    let was_there = fleet.vms().get(&vm.id).is_some_and(|before| before.host.as_ref() == Some(name));
    let host = fleet.hosts().get(name).filter(|host| host.cluster == vm.cluster && !was_there)?;
    let found = obstacles(&Guest::of(vm, fleet), host, fleet, &standing(name));
    let errors: Vec<Finding> = found.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    let is_refused = errors.iter().any(|finding| finding.code == Code::NetworkNotOnHost);
    if errors.is_empty() || is_refused {
        return None;
    }
    let reasons: Vec<String> = errors.iter().map(|finding| finding.message.clone()).collect();
    let message = format!("placement would not offer host {name}: {}", enumerate(&reasons));
    let related: BTreeSet<String> = errors.into_iter().flat_map(|finding| finding.related).collect();
    let related = related.into_iter().chain([EntityId::Host(name.clone()).to_string()]);
    let finding = Spot::new(EntityId::Vm(vm.id)).info(Code::HostNotOffered, "vm.spec.host", message);
    Some(finding.related(related).remedy("ask for placements, and choose a host that is offered"))
}

/// The networks that vNICs need on a host: their own, and those that carry the traffic meanwhile.
fn needed<'a>(plugged: &[Plugged<'a>], fleet: &'a Fleet) -> Vec<&'a Network> {
    let failover = |one: &Plugged<'a>| fleet.networks().get(&one.profile.failover()?.0);
    let networks: BTreeMap<&NetworkName, &Network> = plugged
        .iter()
        .flat_map(|one| [Some(one.network), failover(one)])
        .flatten()
        .map(|network| (&network.id, network))
        .collect();
    networks.into_values().collect()
}

fn elsewhere(guest: &Guest, host: &Host, spot: &Spot) -> Option<Finding> {
    (host.cluster != guest.cluster).then(|| {
        let message = format!("the host is in cluster {}, the virtual machine in {}", host.cluster, guest.cluster);
        let finding = spot.error(Code::HostNotInCluster, "", message);
        let cluster = EntityId::Cluster(guest.cluster.clone()).to_string();
        finding.related([cluster]).remedy("choose a host of the virtual machine's cluster")
    })
}

fn not_up(host: &Host, fleet: &Fleet, standing: &Standing, spot: &Spot) -> Option<Finding> {
    let verdict = host_verdict(host, fleet, standing);
    let reasons: Vec<String> = verdict.reasons.iter().map(|reason| reason.message.clone()).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(": {}", enumerate(&reasons)) };
    (verdict.state != HostState::Up).then(|| {
        let finding = spot.error(Code::HostNotUp, "", format!("the host is {}{why}", verdict.state));
        finding.remedy("see the host's status; it comes back by itself, or out of maintenance")
    })
}

fn not_in_cluster(guest: &Guest, network: &Network, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let is_there = fleet.cluster_networks().contains_key(&(guest.cluster.clone(), network.id.clone()));
    (!is_there).then(|| {
        let message = format!("network {} is not attached to cluster {}", network.id, guest.cluster);
        let finding = spot.error(Code::NetworkNotInCluster, "", message);
        let names = [EntityId::Network(network.id.clone()), EntityId::Cluster(guest.cluster.clone())];
        finding.related(names.map(|name| name.to_string())).remedy("attach the network to the cluster first")
    })
}

/// Rows 2, 4, 6, 15 and 16 for what is plugged over the bridge of a managed `network`.
fn unmanageable(plugged: &[Plugged<'_>], network: &Network, host: &Host, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let name = EntityId::Network(network.id.clone()).to_string();
    let here = || plugged.iter().filter(|one| one.network.id == network.id && !one.profile.is_passthrough());
    let hosts = || [&host.id];
    let mut findings: Vec<Finding> =
        Incapable::among(fleet, hosts()).finding(Severity::Error, spot, "", &[name]).into_iter().collect();
    findings.extend(matrix::switch_type(fleet.clusters().get(&host.cluster), [network], spot, ""));
    findings.extend(matrix::extra_macs(fleet, network, here().map(|one| one.vnic), hosts(), spot, ""));
    findings.extend(matrix::guest_vlans(fleet, network, here().map(|one| one.profile), hosts(), spot, ""));
    findings.extend(matrix::locked(fleet, network, hosts(), spot, ""));
    let filters = here().flat_map(|one| matrix::filters_with(&one.profile.filter, [one.vnic]));
    findings.extend(matrix::weak_filters(fleet, filters, hosts().into_iter(), spot, ""));
    findings
}

/// Row 19: a MAC that is on the network already, as a vNIC's or as hosts report it. A managed MAC table has one place for it.
fn duplicates(guest: &Guest, plugged: &[Plugged<'_>], network: &Network, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let here = plugged.iter().filter(|one| one.network.id == network.id).map(|one| one.vnic);
    let is_other = |other: &&Vnic| {
        let is_on = other.profile.as_ref().is_some_and(|(network_of, _)| *network_of == network.id);
        other.plugged && is_on && Some(other.vm) != guest.vm
    };
    let mut findings = Vec::new();
    for vnic in here {
        let others = Named::vnics(vnic.addresses().flat_map(|mac| fleet.vnics_with_mac(mac)).filter(is_other));
        if !others.is_empty() {
            let severity = if network.is_managed() { Severity::Error } else { Severity::Warning };
            let message = format!("a MAC of vNIC {} is that of {others}, on network {}", vnic.id, network.id);
            let finding = spot.finding(severity, Code::DuplicateMac, "", message).related(others.names);
            findings.push(finding.remedy("give another MAC, or let the pool give one"));
        }
        findings.extend(matrix::reported_with(fleet, vnic, network, vnic.addresses(), spot, ""));
    }
    findings
}

/// Virtual functions that a host has to give, NIC by NIC, where it tells of them; the guest's own are taken where it runs.
fn without_function(guest: &Guest, plugged: &[Plugged<'_>], host: &Host, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let runs_here = guest.vm.and_then(|vm| fleet.vms().get(&vm)).is_some_and(|vm| vm.host.as_ref() == Some(&host.id));
    let reported = fleet.observed(&host.id).and_then(|record| record.capabilities.as_ref());
    let Some(reported) = reported.filter(|_| !runs_here) else { return Vec::new() };
    let mut wanted: BTreeMap<&IfName, Vec<&VnicProfile>> = BTreeMap::new();
    for one in plugged.iter().filter(|one| one.profile.is_passthrough()) {
        let report = reported.networks.iter().find(|report| report.configured.spec.name == one.network.id);
        if let Some(southbound) = report.and_then(|report| report.configured.spec.southbound.as_ref()) {
            wanted.entry(southbound.device()).or_default().push(one.profile);
        }
    }
    let lacks = |(device, profiles): (&IfName, Vec<&VnicProfile>)| {
        // Of a bond nothing is told.
        let nic = reported.nics.iter().find(|nic| nic.name == *device)?;
        let functions = nic.settings.vfs.iter().flat_map(|vfs| &vfs.functions);
        let free = functions.filter(|function| function.is_free()).count();
        (free < profiles.len()).then(|| {
            let wanted = profiles.len();
            let message = format!("{device} has {free} free virtual functions, and passthrough needs {wanted}");
            let finding = spot.error(Code::NoFreeVf, "", message);
            let names: BTreeSet<String> = profiles.into_iter().map(profile_name).collect();
            finding.related(names).remedy("raise the number of virtual functions of the NIC, or free some")
        })
    };
    wanted.into_iter().filter_map(lacks).collect()
}
