//! Rules for virtual NICs.

use std::collections::BTreeSet;

use trestle_model::fleet::{EntityId, Fleet, GuestTagging, Nesting, Network, Vm, Vnic, VnicProfile};
use trestle_model::{Code, Domain, Finding, HostName, ResourceId, Severity, VmId};

use crate::mac;
use crate::matrix::{self, Step};
use crate::spot::{Named, Spot, vnic_name};

const NAME: &str = "vnic.name";
const MAC: &str = "vnic.spec.mac";
const PROFILE: &str = "vnic.spec.profile";
const EXTRA_MACS: &str = "vnic.spec.extra_macs";
const BYPASSES: &str = "vnic.spec.bypasses_filter";
const VIRTUAL_MACS: &str = "vnic.spec.virtual_macs";

/// What guests past their filters could do.
pub(crate) const BYPASS: &str = "send with a foreign MAC past their filters";

/// Evaluates a new or changed vNIC, which has its address already, if there is one for it.
pub(crate) fn put(vnic: &Vnic, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Vnic(vnic.vm, vnic.id.clone()));
    let before = fleet.vnics().get(&(vnic.vm, vnic.id.clone()));
    let vm = fleet.vms().get(&vnic.vm);
    let profile = vnic.profile.as_ref().and_then(|profile| fleet.profiles().get(profile));
    let network = profile.and_then(|profile| fleet.networks().get(&profile.network));
    let mut findings = Vec::new();
    if let Some(before) = before.filter(|before| before.address() != vnic.address()) {
        findings.extend(still_plugged(before, MAC, fleet, &spot));
    }
    if vm.is_none() {
        findings.push(spot.missing(NAME, &EntityId::Vm(vnic.vm)));
    }
    if let Some((network, id)) = &vnic.profile
        && profile.is_none()
    {
        findings.push(spot.missing(PROFILE, &EntityId::VnicProfile(network.clone(), id.clone())));
    }
    findings.extend(mac::findings(vnic, before, vm, network, fleet, &spot));
    if let (Some(network), Some(vm)) = (network, vm) {
        findings.extend(on_network(vnic, vm, network, fleet, &spot));
    }
    if let (Some(profile), Some(network)) = (profile, network) {
        findings.extend(over_limit(vnic, profile, &spot));
        if !profile.is_passthrough() {
            let place = Place { vm, profile, network };
            let step = if before.is_some_and(|before| is_same_place(before, vnic)) { Step::Within } else { Step::Into };
            let host = vm.and_then(|vm| vm.host.as_ref()).filter(|_| vnic.plugged && step == Step::Into);
            let filters = matrix::filters_with(&profile.filter, []);
            findings.extend(matrix::missing_filters(fleet, filters, host, (Severity::Warning, &spot, PROFILE)));
            findings.extend(if network.is_managed() {
                on_managed(vnic, before, place, step, fleet, &spot)
            } else {
                while_managed(vnic, before, place, step, fleet, &spot)
            });
        } else if network.is_managed() || profile.failover().is_some() {
            findings.extend(matrix::failover(fleet, profile, &spot, PROFILE));
        }
    }
    findings
}

/// Evaluates the removal of a vNIC.
pub(crate) fn delete(vm: VmId, id: &ResourceId, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Vnic(vm, id.clone()));
    let Some(vnic) = fleet.vnics().get(&(vm, id.clone())) else { return Vec::new() };
    still_plugged(vnic, "name", fleet, &spot).into_iter().collect()
}

/// An interface that hosts report is known by its MAC alone: once the vNIC has another, or is gone, nothing unplugs it.
fn still_plugged(vnic: &Vnic, field: &str, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let mac = vnic.address()?;
    let has_mac = |(_, domain): &(&HostName, &Domain)| domain.interfaces.iter().any(|interface| interface.mac == mac);
    let hosts: Vec<String> =
        fleet.domains_of(vnic.vm).filter(has_mac).map(|(host, _)| EntityId::Host(host.clone()).to_string()).collect();
    (!hosts.is_empty()).then(|| {
        let hosts = Named::from(hosts);
        let message =
            format!("the VM's domain on {hosts} has the interface with {mac}, which stays, and is no vNIC's then");
        let finding = spot.warning(Code::VnicStillPlugged, field, message).related(hosts.names);
        finding.remedy("set spec.plugged to false first, and wait until the interface is gone")
    })
}

/// Row 12: makes the finding for `vnics` without the MACs of the VMs inside theirs, which declare them, and are among `vms`.
pub(crate) fn without_inner_macs(
    nesting: Nesting,
    vnics: Named,
    vms: impl IntoIterator<Item = VmId>,
    spot: &Spot,
    field: &str,
) -> Finding {
    let severity = match nesting {
        Nesting::Bridged => Severity::Error,
        Nesting::Routed | Nesting::None => Severity::Warning,
    };
    let message = format!("VMs inside have no network over {vnics}, which list no extra MACs on a managed network");
    let vms: BTreeSet<VmId> = vms.into_iter().collect();
    let vms = vms.into_iter().map(|vm| EntityId::Vm(vm).to_string()).filter(|name| !spot.is_about(name));
    spot.finding(severity, Code::NestedVirtNoNetwork, field, message)
        .related(vnics.names.into_iter().chain(vms))
        .remedy("list the inner VMs' MACs in extra_macs, or route them")
}

/// Where a vNIC is.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// None of a VM that does not exist.
    vm: Option<&'a Vm>,
    profile: &'a VnicProfile,
    network: &'a Network,
}

impl Place<'_> {
    fn bypasses_filters(self) -> bool {
        self.vm.is_some_and(|vm| vm.bypasses_filters)
    }
}

/// A vNIC's network is in the VM's cluster, and on the host that the VM runs on.
fn on_network(vnic: &Vnic, vm: &Vm, network: &Network, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !fleet.cluster_networks().contains_key(&(vm.cluster.clone(), network.id.clone())) {
        let message = format!("network {} is not attached to the VM's cluster, {}", network.id, vm.cluster);
        findings.push(
            spot.error(Code::NetworkNotInCluster, PROFILE, message)
                .related([EntityId::Cluster(vm.cluster.clone()).to_string()])
                .remedy("attach the network to the cluster first"),
        );
    }
    if let Some(host) = &vm.host
        && vnic.plugged
        && !fleet.attachments().contains_key(&(host.clone(), network.id.clone()))
    {
        let message = format!("the VM runs on host {host}, which does not carry network {}", network.id);
        findings.push(
            spot.error(Code::NetworkNotOnHost, PROFILE, message)
                .related([EntityId::Host(host.clone()).to_string()])
                .remedy("attach the network to the host first, or leave the vNIC unplugged"),
        );
    }
    findings
}

fn over_limit(vnic: &Vnic, profile: &VnicProfile, spot: &Spot) -> Option<Finding> {
    let given = vnic.extra_macs.len();
    let allowed = profile.extra_macs_allowed;
    let fits = u32::try_from(given).is_ok_and(|given| given <= allowed);
    (!fits).then(|| {
        let message = format!("the vNIC lists {given} extra MACs, its profile allows {allowed}");
        let profile = EntityId::VnicProfile(profile.network.clone(), profile.id.clone());
        spot.error(Code::ExtraMacsOverLimit, EXTRA_MACS, message)
            .related([profile.to_string()])
            .remedy("shorten the list, or raise the profile's extra_macs_allowed")
    })
}

fn on_managed(
    vnic: &Vnic,
    before: Option<&Vnic>,
    place: Place<'_>,
    step: Step,
    fleet: &Fleet,
    spot: &Spot,
) -> Vec<Finding> {
    let Place { profile, network, .. } = place;
    let network_name = EntityId::Network(network.id.clone()).to_string();
    let mut findings = Vec::new();
    for risk in matrix::risks(fleet, profile) {
        let severity = risk.severity(fleet, network, None);
        if severity == Severity::Error || step == Step::Into {
            findings.push(risk.refusal(severity, spot, PROFILE, network));
        }
    }
    if vnic.bypasses_filter || place.bypasses_filters() {
        let message =
            format!("libvirt manages the MAC tables of network {}, and the vNIC is past its filter", network.id);
        findings.push(
            spot.error(Code::MacSpoofBypass, BYPASSES, message)
                .related([network_name.clone()])
                .remedy("take the bypass away from the vNIC and its VM"),
        );
    }
    let hosts = || matrix::hosts_of(fleet, network);
    findings.extend(matrix::extra_macs(fleet, network, [vnic], hosts(), spot, EXTRA_MACS));
    findings.extend(matrix::guest_vlans(fleet, network, [profile], hosts(), spot, PROFILE));
    let nesting = place.vm.map_or(Nesting::None, |vm| vm.nesting);
    let lacks_inner_macs = nesting != Nesting::None && vnic.extra_macs.is_empty();
    if lacks_inner_macs && (nesting == Nesting::Bridged || step == Step::Into) {
        let vnics = Named::from(vec![vnic_name(vnic)]);
        findings.push(without_inner_macs(nesting, vnics, [vnic.vm], spot, PROFILE));
    }
    let undeclared = |vnic: &Vnic| vnic.virtual_macs && vnic.extra_macs.is_empty();
    if undeclared(vnic) && (step == Step::Into || !before.is_some_and(undeclared)) {
        let message = format!("frames to virtual MACs are dropped on managed network {}", network.id);
        let finding = spot.warning(Code::VirtualMac, VIRTUAL_MACS, message).related([network_name.clone()]);
        findings.push(finding.remedy("list the virtual MACs in extra_macs"));
    }
    let lists = |vnic: &Vnic| !vnic.extra_macs.is_empty();
    if step == Step::Into || (lists(vnic) && !before.is_some_and(lists)) {
        let (filters, host) = (matrix::filters_with(&profile.filter, [vnic]), place.vm.and_then(|vm| vm.host.as_ref()));
        findings.extend(matrix::weak_filters(fleet, filters, host.into_iter(), spot, PROFILE));
    }
    if step == Step::Into {
        findings.extend(into_managed(place, &network_name, fleet, spot));
    }
    findings
}

/// What is told once, when a vNIC gets to a managed network or is plugged there.
fn into_managed(place: Place<'_>, network_name: &str, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let Place { vm, profile, network } = place;
    let mut findings = Vec::new();
    if profile.guest_tagging == GuestTagging::Unspecified {
        let message = format!("it is not known whether the guest tags its traffic; network {} drops tags", network.id);
        findings.push(
            spot.warning(Code::GuestTaggingUnknown, PROFILE, message)
                .related([network_name.to_owned()])
                .remedy("set the profile's guest tagging to none once it is known that no guest tags"),
        );
    }
    if profile.port_mirroring && matrix::risks(fleet, profile).all(|risk| risk != matrix::Risk::Spoofing) {
        let message =
            format!("on managed network {} the vNIC sees only frames that reach the bridge's ports", network.id);
        findings.push(
            spot.warning(Code::MirrorReducedView, PROFILE, message)
                .related([network_name.to_owned()])
                .remedy("mirror on a network that is not managed, or acknowledge it"),
        );
    }
    if let Some(pool) = vm.and_then(|vm| mac::pool_of(fleet, vm))
        && pool.allow_duplicates
    {
        let message = format!("pool {} allows a MAC twice, which network {} does not", pool.id, network.id);
        let pool = EntityId::MacPool(pool.id.clone()).to_string();
        findings.push(spot.info(Code::DuplicateMacPossible, MAC, message).related([pool]));
    }
    findings
}

/// Life cycle: a vNIC gets a freedom only after every host has reported its network unmanaged.
fn while_managed(
    vnic: &Vnic,
    before: Option<&Vnic>,
    place: Place<'_>,
    step: Step,
    fleet: &Fleet,
    spot: &Spot,
) -> Vec<Finding> {
    let Place { profile, network, .. } = place;
    let mut findings = Vec::new();
    if step == Step::Into {
        let risks = matrix::risks(fleet, profile);
        findings.extend(risks.filter_map(|risk| risk.still_managed(fleet, network, spot, PROFILE)));
    }
    let bypasses = |vnic: &Vnic| vnic.bypasses_filter || place.bypasses_filters();
    if bypasses(vnic) && (step == Step::Into || !before.is_some_and(bypasses)) {
        findings.extend(matrix::still_managed(fleet, network, spot, BYPASSES, BYPASS));
    }
    findings
}

/// Tells whether a vNIC has the profile that it had, and is not newly plugged.
fn is_same_place(before: &Vnic, vnic: &Vnic) -> bool {
    before.profile == vnic.profile && (before.plugged || !vnic.plugged)
}
