//! Rules for vNIC profiles.

use trestle_model::fleet::{
    Entity, EntityId, Fleet, GuestTagging, Mutation, Nesting, Network, NetworkFilter, Passthrough, ProfileId, Vnic,
    VnicAttachment, VnicProfile,
};
use trestle_model::{Bandwidth, Code, Finding, NetworkName, ResourceId, Severity};

use crate::matrix::{self, Risk};
use crate::spot::{Named, Spot, profile_name};

const NAME: &str = "vnic_profile.name";
const FILTER: &str = "vnic_profile.spec.network_filter";
const TAGGING: &str = "vnic_profile.spec.guest_tagging";
const EXTRA_MACS: &str = "vnic_profile.spec.extra_macs_allowed";
const PASSTHROUGH: &str = "vnic_profile.spec.passthrough";
const FAILOVER: &str = "vnic_profile.spec.passthrough.failover";
const MIRRORING: &str = "vnic_profile.spec.port_mirroring";
const VIRTUAL_MACS: &str = "vnic_profile.spec.virtual_macs";

/// Evaluates a new or changed profile. Its network is part of its name, so it cannot change.
pub(crate) fn put(profile: &VnicProfile, fleet: &Fleet) -> Vec<Finding> {
    let id = (profile.network.clone(), profile.id.clone());
    let spot = Spot::new(EntityId::VnicProfile(profile.network.clone(), profile.id.clone()));
    let mut findings = passes_by(profile, &id, fleet, &spot);
    findings.extend(matrix::failover(fleet, profile, &spot, FAILOVER));
    findings.extend(below_use(profile, &id, fleet, &spot));
    match fleet.networks().get(&profile.network) {
        None => findings.push(spot.missing(NAME, &EntityId::Network(profile.network.clone()))),
        Some(network) => findings.extend(on_network(profile, &id, network, fleet, &spot)),
    }
    findings
}

/// Evaluates a profile beside its network.
fn on_network(profile: &VnicProfile, id: &ProfileId, network: &Network, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !network.vm_network {
        let message = format!("network {} has no bridge, so no vNIC can use it", network.id);
        let name = EntityId::Network(network.id.clone()).to_string();
        let finding = spot.error(Code::BridgeAttributeOnBridgeless, NAME, message).related([name]);
        findings.push(finding.remedy("make it a VM network first"));
    }
    let before = fleet.profiles().get(id);
    if !profile.is_passthrough()
        && before.is_none_or(|before| before.filter != profile.filter || before.is_passthrough())
    {
        let filters = matrix::filters_with(&profile.filter, []);
        let hosts = fleet.hosts_with(&network.id);
        findings.extend(matrix::missing_filters(fleet, filters, hosts, (Severity::Warning, spot, FILTER)));
    }
    if network.is_managed() {
        findings.extend(on_managed(profile, before, network, fleet, spot));
    } else {
        let new_risk = |risk: &Risk| !before.is_some_and(|before| risk.is_in(fleet, before));
        let weakened = matrix::risks(fleet, profile).filter(new_risk);
        findings.extend(weakened.filter_map(|risk| risk.still_managed(fleet, network, spot, risk.field())));
        if before.is_some_and(VnicProfile::is_passthrough) && !profile.is_passthrough() {
            findings.extend(bypassers_arrive(id, network, fleet, spot));
        }
    }
    findings
}

/// Evaluates the removal of a profile: refused while vNICs use it, or other profiles fail over to it.
pub(crate) fn delete(network: &NetworkName, profile: &ResourceId, fleet: &Fleet) -> Vec<Finding> {
    let id = (network.clone(), profile.clone());
    let profiles = Named::from(fleet.failing_over_to(&id).map(profile_name).collect::<Vec<_>>());
    let users = profiles.and(Named::vnics(fleet.vnics_with(&id)));
    Spot::new(EntityId::VnicProfile(network.clone(), profile.clone())).in_use("name", users).into_iter().collect()
}

/// Returns the profiles of a managed `network` that let guests spoof, each with the default filter instead; none for a
/// network that is not managed.
pub(crate) fn fixed(network: &Network, fleet: &Fleet) -> Vec<Mutation> {
    if !network.is_managed() {
        return Vec::new();
    }
    fleet
        .profiles_of(&network.id)
        .filter(|profile| Risk::Spoofing.is_in(fleet, profile))
        .map(|profile| VnicProfile { filter: NetworkFilter::Default, ..profile.clone() })
        .map(|profile| Mutation::Put(Entity::VnicProfile(profile)))
        .collect()
}

/// What a profile that passes the bridge by excludes, and what it can fail over to.
fn passes_by(profile: &VnicProfile, id: &ProfileId, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let VnicAttachment::Passthrough(passthrough) = &profile.attachment else { return findings };
    let excluded = [
        (matches!(profile.filter, NetworkFilter::Named(_)), FILTER, "no filter can be in front of it"),
        (profile.port_mirroring, MIRRORING, "it has no port that could mirror"),
        (
            profile.bandwidth != Bandwidth::default(),
            "vnic_profile.spec.bandwidth",
            "it has no tap that could be limited",
        ),
    ];
    for (_, field, why) in excluded.into_iter().filter(|(given, ..)| *given) {
        let finding = spot.error(Code::FieldConflict, field, format!("a passthrough vNIC is past the bridge: {why}"));
        findings.push(finding.remedy("leave it out, or passthrough"));
    }
    findings.extend(failover(passthrough, id, fleet, spot));
    let users: Vec<String> = fleet.failing_over_to(id).map(profile_name).collect();
    if !users.is_empty() {
        let users = Named::from(users);
        findings.push(
            spot.error(Code::FailoverInvalid, PASSTHROUGH, format!("{users} fail over to this profile"))
                .related(users.names)
                .remedy("let them fail over to another profile first"),
        );
    }
    findings
}

fn failover(passthrough: &Passthrough, id: &ProfileId, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let Some(target) = &passthrough.failover else { return Vec::new() };
    let name = EntityId::VnicProfile(target.0.clone(), target.1.clone());
    let refuse = |message: &str| {
        let finding = spot.error(Code::FailoverInvalid, FAILOVER, message).related([name.to_string()]);
        finding.remedy("name another profile with a bridge, and let VMs of this one migrate")
    };
    let mut findings = Vec::new();
    if !passthrough.migratable {
        findings.push(refuse("VMs with the profile do not migrate, so nothing ever fails over"));
    }
    if target == id {
        findings.push(refuse("a profile cannot fail over to itself"));
        return findings;
    }
    match fleet.profiles().get(target) {
        None => findings.push(spot.missing(FAILOVER, &name)),
        Some(target) if target.is_passthrough() => findings.push(refuse("the failover is passthrough, too")),
        Some(_) => {}
    }
    findings
}

/// A limit is not lowered below what vNICs have.
fn below_use(profile: &VnicProfile, id: &ProfileId, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let before = fleet.profiles().get(id)?;
    if before.extra_macs_allowed <= profile.extra_macs_allowed {
        return None;
    }
    let over =
        |vnic: &&Vnic| u32::try_from(vnic.extra_macs.len()).is_ok_and(|given| given > profile.extra_macs_allowed);
    let vnics = Named::vnics(fleet.vnics_with(id).filter(over));
    (!vnics.is_empty()).then(|| {
        spot.error(Code::ExtraMacsOverLimit, EXTRA_MACS, format!("{vnics} list more extra MACs"))
            .related(vnics.names)
            .remedy("shorten their lists first")
    })
}

fn on_managed(
    profile: &VnicProfile,
    before: Option<&VnicProfile>,
    network: &Network,
    fleet: &Fleet,
    spot: &Spot,
) -> Vec<Finding> {
    let id = (profile.network.clone(), profile.id.clone());
    let network_name = EntityId::Network(network.id.clone()).to_string();
    let live = fleet.vnics_with(&id).any(|vnic| matrix::is_live(fleet, vnic));
    let mut findings: Vec<Finding> = Vec::new();
    for risk in matrix::risks(fleet, profile) {
        // Row 18: what a VM that runs could do at once is no warning.
        let severity = if live { Severity::Error } else { risk.severity(fleet, network, None) };
        if severity == Severity::Error || !before.is_some_and(|before| risk.is_in(fleet, before)) {
            findings.push(risk.refusal(severity, spot, risk.field(), network));
        }
    }
    findings.extend(matrix::guest_vlans(fleet, network, [profile], matrix::hosts_of(fleet, network), spot, TAGGING));
    if !profile.is_passthrough() {
        if before.is_none_or(|before| before.filter != profile.filter || before.is_passthrough()) {
            let hosts = fleet.hosts_with(&network.id);
            let filters = matrix::filters_with(&profile.filter, fleet.vnics_with(&id));
            findings.extend(matrix::weak_filters(fleet, filters, hosts, spot, FILTER));
        }
        findings.extend(failing_over_here(&id, network, fleet, spot));
        findings.extend(bypassers(&id, network, fleet, spot));
        if before.is_some_and(VnicProfile::is_passthrough) {
            findings.extend(arriving(&id, network, fleet, spot));
        }
    }
    let newly = |is: &dyn Fn(&VnicProfile) -> bool| is(profile) && !before.is_some_and(is);
    let mut tell = |told: bool, finding: Finding, remedy: &str| {
        findings.extend(told.then(|| finding.related([network_name.clone()]).remedy(remedy)));
    };
    tell(
        newly(&|profile| profile.guest_tagging == GuestTagging::Unspecified && !profile.is_passthrough()),
        spot.warning(
            Code::GuestTaggingUnknown,
            TAGGING,
            format!(
                "it is not known whether guests of this profile tag their traffic; managed network {} will drop tags",
                network.id
            ),
        ),
        "set the profile's guest tagging to none once it is known that no guest tags",
    );
    tell(
        newly(&|profile| !profile.is_passthrough()) && network.bridge_options.stops_multicast_flooding(),
        spot.warning(
            Code::MulticastRisk,
            NAME,
            format!("on managed network {} guests get only multicast groups that they report", network.id),
        ),
        "see that guests report their groups (IGMP, MLD), or change the network's multicast options",
    );
    tell(
        newly(&|profile| profile.is_passthrough() && profile.failover().is_none()),
        spot.info(
            Code::PassthroughNotManaged,
            PASSTHROUGH,
            format!("guests of this profile go past the bridge of network {}, and so past its MAC table", network.id),
        ),
        "",
    );
    tell(
        newly(&|profile| profile.port_mirroring && !Risk::Spoofing.is_in(fleet, profile)),
        spot.warning(
            Code::MirrorReducedView,
            MIRRORING,
            format!(
                "on managed network {} vNICs of this profile see only frames that reach the bridge's ports",
                network.id
            ),
        ),
        "mirror on a network that is not managed, or acknowledge it",
    );
    tell(
        newly(&|profile| profile.virtual_macs && profile.extra_macs_allowed == 0 && !profile.is_passthrough()),
        spot.warning(
            Code::VirtualMac,
            VIRTUAL_MACS,
            format!("frames to virtual MACs are dropped on managed network {}", network.id),
        ),
        "allow extra MACs, and list the virtual MACs there",
    );
    findings.extend(before.and_then(|before| live_change(profile, before, &id, fleet, spot)));
    findings
}

/// What the vNICs of a profile bring onto a managed bridge that they went past before: rows 4, 12, 19 and 26.
fn arriving(id: &ProfileId, network: &Network, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let vnics = || fleet.vnics_with(id);
    let mut findings = matrix::extra_macs(fleet, network, vnics(), matrix::hosts_of(fleet, network), spot, PASSTHROUGH);
    findings.extend(matrix::plugged_twice_with(fleet, id, network, spot, PASSTHROUGH));
    for nesting in [Nesting::Routed, Nesting::Bridged] {
        let nests = |vnic: &&Vnic| fleet.vms().get(&vnic.vm).is_some_and(|vm| vm.nesting == nesting);
        let lacking = || vnics().filter(|vnic| vnic.extra_macs.is_empty()).filter(nests);
        let (named, vms) = (Named::vnics(lacking()), lacking().map(|vnic| vnic.vm));
        if !named.is_empty() {
            findings.push(crate::vnic::without_inner_macs(nesting, named, vms, spot, PASSTHROUGH));
        }
    }
    findings.extend(matrix::virtual_macs_of(vnics(), spot, PASSTHROUGH));
    findings
}

/// Row 17: what changes for vNICs of VMs that run.
fn live_change(
    profile: &VnicProfile,
    before: &VnicProfile,
    id: &ProfileId,
    fleet: &Fleet,
    spot: &Spot,
) -> Option<Finding> {
    let only_words =
        VnicProfile { meta: profile.meta.clone(), description: profile.description.clone(), ..before.clone() };
    if only_words == *profile {
        return None;
    }
    let vnics = Named::vnics(fleet.vnics_with(id).filter(|vnic| matrix::is_live(fleet, vnic)));
    let message = format!("{vnics} of running VMs use the profile");
    (!vnics.is_empty()).then(|| spot.info(Code::LivePortsPending, NAME, message).related(vnics.names))
}

/// Row 9 where a profile of a managed network is, or comes to be, what others fail over to.
fn failing_over_here(id: &ProfileId, network: &Network, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let names: Vec<String> = fleet.failing_over_to(id).map(profile_name).collect();
    let names = Named::from(names);
    (!names.is_empty()).then(|| {
        spot.error(
            Code::FailoverConflict,
            NAME,
            format!("{names} fail over to this profile of managed network {}", network.id),
        )
        .related(names.names)
        .remedy("let them fail over to another network")
    })
}

/// Row 3 where vNICs that are past their filters come onto a managed bridge with their profile.
fn bypassers(id: &ProfileId, network: &Network, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let vnics = Named::vnics(bypassing(id, fleet));
    (!vnics.is_empty()).then(|| {
        let message = format!("{vnics} are past their filters on managed network {}", network.id);
        let finding = spot.error(Code::MacSpoofBypass, PASSTHROUGH, message).related(vnics.names);
        finding.remedy("take the bypass away from the vNICs and their VMs")
    })
}

/// The same where hosts still report the network managed.
fn bypassers_arrive(id: &ProfileId, network: &Network, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let any = bypassing(id, fleet).next().is_some();
    if !any {
        return None;
    }
    matrix::still_managed(fleet, network, spot, PASSTHROUGH, crate::vnic::BYPASS)
}

fn bypassing<'a>(id: &ProfileId, fleet: &'a Fleet) -> impl Iterator<Item = &'a Vnic> + use<'a> {
    let bypasses =
        |vnic: &&Vnic| vnic.bypasses_filter || fleet.vms().get(&vnic.vm).is_some_and(|vm| vm.bypasses_filters);
    fleet.vnics_with(id).filter(bypasses)
}
