//! In what a fleet contradicts itself, by a slow look at all of it.

use super::*;

/// What hosts' reports may bring about, and no accepted change.
pub(super) fn at_odds(fleet: &Fleet) -> BTreeSet<String> {
    free_vnics(fleet, Warned::LeftOut).into_iter().chain(unheard_of(fleet)).chain(reported_spoofers(fleet)).collect()
}

/// Guests that run, as hosts report, on networks that are to be managed, and no filter keeps them from spoofing.
fn reported_spoofers(fleet: &Fleet) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for host in fleet.hosts().keys() {
        let reported = fleet.observed(host).and_then(|record| record.capabilities.as_ref());
        let domains = reported.into_iter().flat_map(|reported| &reported.domains);
        for domain in domains.filter(|domain| domain.state == DomainState::Running) {
            for interface in &domain.interfaces {
                let network = interface.bridge.as_deref().map(network_name);
                let managed = network.and_then(|name| fleet.networks().get(&name)).is_some_and(is_managed);
                let filter = interface.filter.as_ref().map(|filter| filter.name.as_str());
                if managed && filter != Some("no-mac-spoofing") {
                    found.insert(format!("{} of {host} spoofs on {:?}", domain.name, interface.bridge));
                }
            }
        }
    }
    found
}

/// What guests on managed networks are to have beside one MAC, on hosts that carry the networks and have reported that they
/// cannot give it.
fn unheard_of(fleet: &Fleet) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (host, network) in fleet.attachments().keys() {
        let reported = fleet.observed(host).and_then(|record| record.capabilities.as_ref());
        let is_unable = reported.is_some_and(|reported| !reported.features.has(Feature::GuestPorts));
        let is_managed = fleet.networks().get(network).is_some_and(is_managed);
        for vnic in fleet.vnics_on(network).filter(|_| is_unable && is_managed) {
            let profile = vnic.profile.as_ref().and_then(|profile| fleet.profiles().get(profile));
            let Some(profile) = profile.filter(|profile| !profile.is_passthrough()) else { continue };
            let lists = [
                (!vnic.extra_macs.is_empty(), "extra MACs"),
                (matches!(profile.guest_tagging, GuestTagging::List(_)), "VLANs"),
            ];
            for (_, what) in lists.into_iter().filter(|(lists, _)| *lists) {
                found.insert(format!("{}/{} lists {what} on {host}", vnic.vm, vnic.id));
            }
        }
    }
    found
}

/// What is done with vNICs whose clusters were told to warn only, as far as the fleet wants their networks managed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warned<'a> {
    LeftOut,
    /// They are counted on one network.
    CountedOn(&'a NetworkName),
}

/// vNICs that could spoof or tag where a host reports, or the fleet wants, that libvirt manages the MAC table.
pub(super) fn free_vnics(fleet: &Fleet, which: Warned<'_>) -> BTreeSet<String> {
    let mut free = BTreeSet::new();
    for vnic in fleet.vnics().values() {
        let Some(profile) = vnic.profile.as_ref().and_then(|profile| fleet.profiles().get(profile)) else { continue };
        let Some(network) = fleet.networks().get(&profile.network).filter(|_| !profile.is_passthrough()) else {
            continue;
        };
        let observed = !fleet.hosts_managing(&network.id).is_empty();
        if !is_managed(network) && !observed {
            continue;
        }
        let mut clusters = fleet.clusters_with(&network.id).filter_map(|cluster| fleet.clusters().get(cluster));
        let only_warns = is_managed(network) && clusters.all(|c| c.mac_conflict_policy == MacConflictPolicy::Warn);
        let warned = which != Warned::CountedOn(&network.id) && only_warns;
        let past = vnic.bypasses_filter || fleet.vms().get(&vnic.vm).is_some_and(|vm| vm.bypasses_filters);
        let tags = profile.guest_tagging == GuestTagging::Any;
        for (is_free, freedom) in [(!stops(profile) && !warned, "spoofs"), (past, "is past its filter"), (tags, "tags")]
        {
            if is_free {
                free.insert(format!("{}/{} {freedom}", vnic.vm, vnic.id));
            }
        }
    }
    free
}

pub(super) fn is_managed(network: &Network) -> bool {
    network.vm_network && network.mac_table_manager == MacTableManager::Libvirt
}

fn stops(profile: &VnicProfile) -> bool {
    match &profile.filter {
        NetworkFilter::Default => true,
        NetworkFilter::None => false,
        NetworkFilter::Named(name) => name == "clean-traffic",
    }
}

/// What must never be of VMs, vNICs and pools.
fn contradictions_of_vms(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    let (mut pooled, mut plugged) = (BTreeSet::new(), BTreeSet::new());
    for vm in fleet.vms().values() {
        let name = format!("VM {}", vm.id);
        let Some(cluster) = fleet.clusters().get(&vm.cluster) else {
            found.push(format!("{name} has no cluster"));
            continue;
        };
        let host = vm.host.as_ref().map(|host| fleet.hosts().get(host));
        if host.is_some_and(|host| host.is_none_or(|host| host.cluster != vm.cluster)) {
            found.push(format!("{name} is on a host elsewhere"));
        }
        let pool = cluster.mac_pool.as_ref().map(|pool| fleet.mac_pools().get(pool));
        if pool == Some(None) {
            found.push(format!("cluster {} has no pool", cluster.id));
        }
        for vnic in fleet.vnics_of(vm.id) {
            let name = format!("vNIC {} of {name}", vnic.id);
            if vnic.address().is_none() {
                found.push(format!("{name} has no address"));
            }
            if let Some(Some(pool)) = pool
                && !pool.allow_duplicates
                && !vnic.addresses().all(|mac| pooled.insert((&pool.id, mac)))
            {
                found.push(format!("{name} has a MAC that is in its pool twice"));
            }
            let Some((network, profile)) = &vnic.profile else { continue };
            match fleet.profiles().get(&(network.clone(), profile.clone())) {
                None => found.push(format!("{name} has no profile")),
                Some(profile) if usize::try_from(profile.extra_macs_allowed).unwrap() < vnic.extra_macs.len() => {
                    found.push(format!("{name} lists more MACs than its profile allows"));
                }
                Some(_) => {}
            }
            if !fleet.cluster_networks().contains_key(&(vm.cluster.clone(), network.clone())) {
                found.push(format!("{name} is on a network of another cluster"));
            }
            let carried = |host: &HostName| fleet.attachments().contains_key(&(host.clone(), network.clone()));
            if vnic.plugged && vm.host.as_ref().is_some_and(|host| !carried(host)) {
                found.push(format!("{name} is plugged where its network is not"));
            }
            let managed = fleet.networks().get(network).is_some_and(is_managed);
            let passes_by =
                fleet.profiles().get(&(network.clone(), profile.clone())).is_some_and(|p| p.is_passthrough());
            if vnic.plugged && managed && !passes_by && !vnic.addresses().all(|mac| plugged.insert((network, mac))) {
                found.push(format!("{name} has a MAC that is plugged twice on a managed network"));
            }
        }
    }
    for profile in fleet.profiles().values() {
        let target = profile.failover().map(|target| (target, fleet.profiles().get(target)));
        match target {
            Some((_, Some(onto))) if onto.is_passthrough() => {
                found.push(format!("{} fails over to itself", profile.id))
            }
            Some((target, Some(_))) if fleet.networks().get(&target.0).is_some_and(is_managed) => {
                found.push(format!("{} fails over onto a managed network", profile.id));
            }
            Some((_, None)) => found.push(format!("{} fails over to nothing", profile.id)),
            Some((_, Some(_))) | None => {}
        }
    }
    found
}

/// What must never be, found the slow way: by looking at everything.
pub(super) fn contradictions(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    let warned = |network: &Network| {
        let mut clusters =
            fleet.clusters_with(&network.id).filter_map(|cluster| fleet.clusters().get(cluster)).peekable();
        clusters.peek().is_none() || clusters.all(|cluster| cluster.mac_conflict_policy == MacConflictPolicy::Warn)
    };
    for network in fleet.networks().values() {
        if network.port_isolation && !network.vm_network {
            found.push(format!("network {} isolates ports of no bridge", network.id));
        }
        if is_managed(network) && network.bridge_options.vlan_filtering == Some(false) {
            found.push(format!("network {} is managed and does not filter", network.id));
        }
    }
    for profile in fleet.profiles().values() {
        let name = format!("profile {} of {}", profile.id, profile.network);
        match fleet.networks().get(&profile.network) {
            None => found.push(format!("{name} has no network")),
            Some(network) if !network.vm_network => found.push(format!("{name} has no bridge")),
            Some(network) if is_managed(network) && !profile.is_passthrough() => {
                if !stops(profile) && !warned(network) {
                    found.push(format!("{name} spoofs"));
                }
                if profile.guest_tagging == GuestTagging::Any {
                    found.push(format!("{name} tags"));
                }
                if matches!(&profile.guest_tagging, GuestTagging::List(vlans) if vlans.contains(&vlan(1))) {
                    found.push(format!("{name} tags with the bridge's own VLAN"));
                }
            }
            Some(_) => {}
        }
    }
    for ((cluster, network), place) in fleet.cluster_networks() {
        let name = format!("network {network} in cluster {cluster}");
        match (fleet.clusters().get(cluster), fleet.networks().get(network)) {
            (Some(cluster), Some(network)) => {
                if is_managed(network) && cluster.switch_type == SwitchType::Ovs {
                    found.push(format!("{name} is managed in an OVS cluster"));
                }
            }
            _ => found.push(format!("{name} refers to nothing")),
        }
        for role in place.roles() {
            let others = fleet.cluster_networks().values().filter(|other| other.cluster == *cluster && other.has(role));
            if others.count() > 1 {
                found.push(format!("{name} is one of several {role} networks"));
            }
        }
    }
    found.extend(contradictions_on_hosts(fleet));
    found.extend(contradictions_of_vms(fleet));
    found
}

fn contradictions_on_hosts(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    for host in fleet.hosts().values() {
        for (network, _) in fleet.networks().iter().filter(|(network, _)| {
            fleet.cluster_networks().contains_key(&(host.cluster.clone(), NetworkName::clone(network)))
        }) {
            let wanted = fleet.networks().get(network).and_then(|network| fleet.labelled(host, network));
            let has = fleet.attachments().get(&(host.id.clone(), network.clone()));
            match (wanted, has) {
                (Some(wanted), Some(has)) if wanted.southbound == has.southbound => {}
                (Some(_), _) => found.push(format!("network {network} is not where its label is on {}", host.id)),
                (None, Some(has)) if has.by.is_label() => found.push(format!("{network} has no label on {}", host.id)),
                (None, _) => {}
            }
        }
    }
    let (mut uplinks, mut bridges, mut routed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for ((host, network), attachment) in fleet.attachments() {
        let name = format!("network {network} on host {host}");
        let in_cluster = fleet
            .hosts()
            .get(host)
            .is_some_and(|host| fleet.cluster_networks().contains_key(&(host.cluster.clone(), network.clone())));
        if !in_cluster {
            found.push(format!("{name} is not in its cluster"));
        }
        let place = fleet
            .hosts()
            .get(host)
            .and_then(|host| fleet.cluster_networks().get(&(host.cluster.clone(), network.clone())));
        if place.is_some_and(|place| place.roles().next().is_some()) && !attachment.has_address() {
            found.push(format!("{name} has a role and no address"));
        }
        let Some(network) = fleet.networks().get(network) else { continue };
        if let Some(southbound) = &attachment.southbound
            && !uplinks.insert((host, southbound, network.vlan))
        {
            found.push(format!("{name} shares its NIC and VLAN"));
        }
        match &attachment.southbound {
            Some(Southbound::Bond(bond)) => match fleet.bonds().get(&(host.clone(), bond.clone())) {
                None => found.push(format!("{name} has no bond")),
                Some(bond) if network.vm_network && !bond.options.mode.is_safe_under_bridges() => {
                    found.push(format!("{name} is bridged to a bond that breaks guests' traffic"));
                }
                Some(_) => {}
            },
            Some(Southbound::Nic(nic))
                if fleet.bonds_of(host).any(|bond| bond.nics.contains(nic) || bond.id == *nic) =>
            {
                found.push(format!("{name} stands on a port of a bond, or on a bond as a NIC"));
            }
            Some(Southbound::Nic(_)) | None => {}
        }
        if attachment.southbound.is_none() && (network.vlan.is_some() || !network.vm_network) {
            found.push(format!("{name} has no NIC"));
        }
        let bridge = network.bridge_name.clone().unwrap_or_else(|| device(network.id.as_str()));
        if network.vm_network && !bridges.insert((host, bridge)) {
            found.push(format!("{name} shares its bridge's name"));
        }
        if attachment.default_route && !routed.insert(host) {
            found.push(format!("{name} has a second default route"));
        }
    }
    let mut ports = BTreeSet::new();
    for ((host, name), bond) in fleet.bonds() {
        if bond.nics.len() < 2 || !bond.nics.iter().all(|nic| ports.insert((host, nic))) {
            found.push(format!("bond {name} of {host} has too few NICs, or another's"));
        }
    }
    found
}
