//! What a vNIC's interface is to be, and in what one that is seen differs.
//!
//! What is acceptable as it is seen is wanted as it is seen, so that nothing is asked for without need.

use std::collections::BTreeSet;

use trestle_model::fleet::{EntityId, Fleet, NetworkFilter, Sighting, Vm, Vnic, VnicModel, VnicProfile};
use trestle_model::{
    Bandwidth, BandwidthRate, DomainInterface, FilterReference, Mtu, OwnFilter, WantedInterface, same_filter,
};

/// One thing in which what is seen is not what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub field: &'static str,
    /// What is wanted; empty for nothing.
    pub expected: String,
    /// What is seen; empty for nothing.
    pub actual: String,
}

/// Says what the interface of a vNIC with a profile is to be; none for one without an address, or whose network is gone.
pub(super) fn wanted(
    fleet: &Fleet,
    (vnic, vm): (&Vnic, &Vm),
    profile: &VnicProfile,
    seen: Option<&DomainInterface>,
) -> Option<WantedInterface> {
    let network = fleet.networks().get(&profile.network)?;
    // Without one of its own, an interface has that of its network.
    let mtu = seen.and_then(|seen| seen.mtu).filter(|mtu| *mtu == u32::from(network.mtu)).map(|_| network.mtu);
    Some(WantedInterface {
        mac: vnic.address()?,
        network: network.id.to_string(),
        model: model(vnic.model).to_owned(),
        mtu,
        linked: vnic.linked,
        isolated: network.port_isolation,
        bandwidth: profile.bandwidth,
        filter: filter((vnic, vm), profile, seen),
    })
}

/// Says how an interface is to be whose vNIC has no profile, and so no network: as it is seen, with its cable out. None for one
/// that hangs on no libvirt network.
pub(super) fn cut_off(sighting: &Sighting<'_>) -> Option<WantedInterface> {
    let seen = sighting.interface;
    let libvirts = seen.network.clone()?;
    Some(WantedInterface {
        mac: seen.mac,
        network: sighting.network.map_or(libvirts, ToString::to_string),
        model: seen.model.clone().unwrap_or_else(|| model(VnicModel::Virtio).to_owned()),
        mtu: seen.mtu.and_then(|mtu| Mtu::try_from(mtu).ok()),
        linked: false,
        isolated: seen.isolated,
        bandwidth: seen.bandwidth,
        filter: seen.filter.clone(),
    })
}

/// Compares a vNIC with the interface that it is.
pub(super) fn differences(fleet: &Fleet, vnic: &Vnic, vm: &Vm, sighting: &Sighting<'_>) -> Vec<Difference> {
    let interface = sighting.interface;
    let mut found = Vec::new();
    let mut compare = |field: &'static str, expected: String, actual: String| {
        if expected != actual {
            found.push(Difference { field, expected, actual });
        }
    };
    if !vnic.plugged {
        compare("plugged", yes(false), yes(true));
        return found;
    }
    let count = sighting.domain.interfaces.iter().filter(|other| other.mac == interface.mac).count();
    if count > 1 {
        compare("number", "1".to_owned(), count.to_string());
    }
    let profile = vnic.profile.as_ref().and_then(|profile| fleet.profiles().get(profile));
    let linked = vnic.linked && profile.is_some();
    if linked != interface.linked {
        compare("link", link(linked), link(interface.linked));
    }
    // Without a network, an interface may hang anywhere with its cable out.
    let Some(profile) = profile else { return found };
    if profile.is_passthrough() {
        if interface.bridge.is_some() {
            compare("attachment", "hostdev".to_owned(), interface.attachment.clone());
        }
        return found;
    }
    let network = fleet.networks().get(&profile.network);
    if sighting.network != Some(&profile.network) {
        compare("network", EntityId::Network(profile.network.clone()).to_string(), wiring(sighting));
    } else if interface.network.is_none() && network.is_some_and(trestle_model::fleet::Network::is_managed) {
        compare("attachment", "network".to_owned(), interface.attachment.clone());
    }
    let isolated = network.is_some_and(|network| network.port_isolation);
    compare("isolated", yes(isolated), yes(interface.isolated));
    let filter = filter((vnic, vm), profile, Some(interface));
    if !same_filter(filter.as_ref(), interface.filter.as_ref()) {
        let name = |filter: Option<&FilterReference>| filter.map(|filter| filter.name.clone()).unwrap_or_default();
        compare("filter", name(filter.as_ref()), name(interface.filter.as_ref()));
        compare("filter_parameters", parameters(filter.as_ref()), parameters(interface.filter.as_ref()));
    }
    if profile.bandwidth != interface.bandwidth {
        compare("bandwidth", limits(&profile.bandwidth), limits(&interface.bandwidth));
    }
    if let Some(actual) = &interface.model
        && actual != model(vnic.model)
    {
        compare("model", model(vnic.model).to_owned(), actual.clone());
    }
    if let (Some(network), Some(actual)) = (network, interface.mtu)
        && u32::from(network.mtu) != actual
    {
        compare("mtu", network.mtu.to_string(), actual.to_string());
    }
    found
}

/// Says which filter is to be in front of an interface: exactly that, since another one that stops spoofing, too, may stop more
/// than the profile says. A vNIC that is past its filter has whatever somebody gave it.
fn filter((vnic, vm): (&Vnic, &Vm), profile: &VnicProfile, seen: Option<&DomainInterface>) -> Option<FilterReference> {
    if vnic.bypasses_filter || vm.bypasses_filters {
        return seen.and_then(|seen| seen.filter.clone());
    }
    let name = match &profile.filter {
        NetworkFilter::None => return None,
        NetworkFilter::Named(name) => name.clone(),
        NetworkFilter::Default if vnic.extra_macs.is_empty() => OwnFilter::NoMacSpoofing.name().to_owned(),
        NetworkFilter::Default => OwnFilter::ListedMacs.name().to_owned(),
    };
    Some(FilterReference { name, parameters: given_parameters(vnic, profile) })
}

/// Returns the profile's parameters, and the vNIC's instead of those of the same names; and its extra MACs, which a filter of an
/// operator's own may refer to, too.
fn given_parameters(vnic: &Vnic, profile: &VnicProfile) -> Vec<(String, String)> {
    let own: BTreeSet<&String> = vnic.filter_parameters.iter().map(|(name, _)| name).collect();
    let of_profile = profile.filter_parameters.iter().filter(|(name, _)| !own.contains(name));
    // libvirt takes a list in another order for the same, and leaves it as it is.
    let extra: BTreeSet<_> = vnic.extra_macs.iter().collect();
    let extra = extra.into_iter().map(|mac| (OwnFilter::EXTRA_MAC.to_owned(), mac.to_string()));
    of_profile.chain(&vnic.filter_parameters).cloned().chain(extra).collect()
}

/// Writes parameters as `NAME=VALUE`, ordered by name.
fn parameters(filter: Option<&FilterReference>) -> String {
    let mut ordered: Vec<&(String, String)> = filter.into_iter().flat_map(|filter| &filter.parameters).collect();
    ordered.sort_by(|(a, _), (b, _)| a.cmp(b));
    ordered.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// Writes limits as `inbound 1000,2000 outbound 500`.
fn limits(bandwidth: &Bandwidth) -> String {
    let limit = |(which, rate): (&str, Option<BandwidthRate>)| Some(format!("{which} {}", rate?));
    let limits = [("inbound", bandwidth.inbound), ("outbound", bandwidth.outbound)].into_iter().filter_map(limit);
    limits.collect::<Vec<_>>().join(" ")
}

/// Says what an interface is wired to.
fn wiring(sighting: &Sighting<'_>) -> String {
    let interface = sighting.interface;
    match (sighting.network, &interface.bridge, &interface.network) {
        (Some(network), ..) => EntityId::Network(network.clone()).to_string(),
        (None, Some(bridge), _) => format!("bridge {bridge}"),
        (None, None, Some(network)) => format!("libvirt network {network}"),
        (None, None, None) => interface.attachment.clone(),
    }
}

const fn model(model: VnicModel) -> &'static str {
    match model {
        VnicModel::Virtio => "virtio",
        VnicModel::E1000e => "e1000e",
        VnicModel::E1000 => "e1000",
        VnicModel::Rtl8139 => "rtl8139",
    }
}

fn link(is_up: bool) -> String {
    if is_up { "up".to_owned() } else { "down".to_owned() }
}

fn yes(value: bool) -> String {
    if value { "yes".to_owned() } else { "no".to_owned() }
}
