//! Rows 2, 5 and 7 to 11: what profiles let guests do. And the life cycle: when a profile may be weakened.

use std::collections::BTreeSet;

use trestle_model::fleet::{
    Cluster, EntityId, Fleet, GuestTagging, MacConflictPolicy, Network, NetworkFilter, Vnic, VnicAttachment,
    VnicProfile,
};
use trestle_model::{Code, Finding, HostName, Severity};

use super::{Step, is_live};
use crate::filter::{filter_name, in_front, is_missing_on, lets_spoof_on, stops_mac_spoofing};
use crate::spot::{Named, Spot, enumerate, profile_name};

/// A freedom of guests that a managed MAC table cannot live with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Risk {
    /// Rows 2 and 11: sending with a foreign MAC.
    Spoofing,
    /// Row 5: tagging its own traffic with any VLAN.
    Tagging,
}

/// Whether profiles that let guests spoof get the default filter in the same write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// They stay as they are, and are in the way.
    Leave,
    /// They get it.
    Profiles,
}

impl Risk {
    const ALL: [Self; 2] = [Self::Spoofing, Self::Tagging];

    pub(crate) fn is_in(self, fleet: &Fleet, profile: &VnicProfile) -> bool {
        // What goes past the bridge meets no MAC table.
        if profile.is_passthrough() {
            return false;
        }
        match self {
            Self::Spoofing => !stops_mac_spoofing(fleet, &profile.network, &profile.filter),
            Self::Tagging => profile.guest_tagging == GuestTagging::Any,
        }
    }

    const fn code(self) -> Code {
        match self {
            Self::Spoofing => Code::MacSpoofConflict,
            Self::Tagging => Code::GuestTaggingConflict,
        }
    }

    /// The field of a profile that lets guests do it.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::Spoofing => "vnic_profile.spec.network_filter",
            Self::Tagging => "vnic_profile.spec.guest_tagging",
        }
    }

    const fn freedom(self) -> &'static str {
        match self {
            Self::Spoofing => "send with a foreign MAC, which a managed MAC table never learns",
            Self::Tagging => "tag their own traffic, which a managed bridge drops",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Spoofing => "use the default filter, no-mac-spoofing, clean-traffic or clean-traffic-gateway",
            Self::Tagging => "set the profile's guest tagging to none",
        }
    }

    /// How much it weighs on a managed `network`, `joining` being among its clusters, while no VM that runs is concerned.
    pub(crate) fn severity(self, fleet: &Fleet, network: &Network, joining: Option<&Cluster>) -> Severity {
        match self {
            Self::Spoofing => severity_of_spoofing(fleet, network, joining),
            Self::Tagging => Severity::Error,
        }
    }

    /// Makes the finding that guests of one profile meet on a managed `network`.
    pub(crate) fn refusal(self, severity: Severity, spot: &Spot, field: &str, network: &Network) -> Finding {
        let message = format!(
            "libvirt manages the MAC tables of network {}, and guests of this profile may {}",
            network.id,
            self.freedom()
        );
        spot.finding(severity, self.code(), field, message).related([name_of(network)]).remedy(self.remedy())
    }
}

/// Returns what guests of `profile` may do that a managed MAC table cannot live with.
pub(crate) fn risks(fleet: &Fleet, profile: &VnicProfile) -> impl Iterator<Item = Risk> {
    Risk::ALL.into_iter().filter(move |risk| risk.is_in(fleet, profile))
}

/// How much a guest that may spoof weighs on a managed `network`, by the policies of the clusters that have it, `joining`
/// among them: a warning only where every one of them wants it so.
fn severity_of_spoofing(fleet: &Fleet, network: &Network, joining: Option<&Cluster>) -> Severity {
    let is_other = |cluster: &&Cluster| joining.is_none_or(|joining| joining.id != cluster.id);
    let clusters = fleet.clusters_with(&network.id).filter_map(|cluster| fleet.clusters().get(cluster));
    let mut clusters = clusters.filter(is_other).chain(joining).peekable();
    let only_warns = clusters.peek().is_some()
        && clusters.all(|cluster| match cluster.mac_conflict_policy {
            MacConflictPolicy::Prevent => false,
            MacConflictPolicy::Warn => true,
        });
    if only_warns { Severity::Warning } else { Severity::Error }
}

/// Rows 2, 5, 11 and 18 for a `network` that is or becomes managed: one finding a risk, naming profiles and vNICs.
pub(crate) fn unsafe_profiles(
    fleet: &Fleet,
    network: &Network,
    joining: Option<&Cluster>,
    (step, fix): (Step, Fix),
    spot: &Spot,
    field: &str,
) -> Vec<Finding> {
    let finding = |risk: Risk| {
        if risk == Risk::Spoofing && fix == Fix::Profiles {
            return None;
        }
        let profiles: Vec<&VnicProfile> =
            fleet.profiles_of(&network.id).filter(|profile| risk.is_in(fleet, profile)).collect();
        let names: Vec<String> = profiles.iter().map(|profile| profile_name(profile)).collect();
        let severity = risk.severity(fleet, network, joining);
        let live = severity == Severity::Warning && profiles.iter().any(|profile| is_used_live(fleet, profile));
        let severity = if live { Severity::Error } else { severity };
        if names.is_empty() || (severity == Severity::Warning && step == Step::Within) {
            return None;
        }
        let message = format!("guests of {} may {}", enumerate(&names), risk.freedom());
        let message = if live { format!("{message}; some of them run") } else { message };
        let users = Named::vnics(profiles.iter().flat_map(|profile| vnics_with(fleet, profile)));
        let finding = spot.finding(severity, risk.code(), field, message);
        Some(finding.related(names.into_iter().chain(users.names)).remedy(risk.remedy()))
    };
    Risk::ALL.into_iter().filter_map(finding).collect()
}

/// Returns the filters in front of the vNICs on a network's bridges, as they are after `fix`.
pub(crate) fn filters_of<'a>(fleet: &'a Fleet, network: &'a Network, fix: Fix) -> impl Iterator<Item = &'a str> {
    let over_bridge = fleet.profiles_of(&network.id).filter(|profile| !profile.is_passthrough());
    over_bridge.flat_map(move |profile| {
        let filter = match fix {
            Fix::Profiles if Risk::Spoofing.is_in(fleet, profile) => &NetworkFilter::Default,
            Fix::Profiles | Fix::Leave => &profile.filter,
        };
        filters_with(filter, vnics_with(fleet, profile))
    })
}

/// Returns the filters that stand, or are to stand, in front of `vnics` behind a profile's `filter`.
pub(crate) fn filters_with<'a>(
    filter: &'a NetworkFilter,
    vnics: impl IntoIterator<Item = &'a Vnic>,
) -> impl Iterator<Item = &'a str> {
    filter_name(filter).into_iter().chain(vnics.into_iter().filter_map(|vnic| in_front(filter, vnic)))
}

/// Row 2 once more, by what hosts report: `filters` that let guests of a managed network spoof on one of `hosts`, where somebody
/// has changed them.
pub(crate) fn weak_filters<'a>(
    fleet: &Fleet,
    filters: impl Iterator<Item = &'a str>,
    hosts: impl Iterator<Item = &'a HostName>,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    let filters: BTreeSet<&str> = filters.collect();
    let mut weak: BTreeSet<&str> = BTreeSet::new();
    let mut names = Vec::new();
    for host in hosts {
        let on_host: Vec<&str> = filters.iter().copied().filter(|name| lets_spoof_on(fleet, host, name)).collect();
        if !on_host.is_empty() {
            names.push(EntityId::Host(host.clone()).to_string());
            weak.extend(on_host);
        }
    }
    let weak: Vec<String> = weak.into_iter().map(str::to_owned).collect();
    (!names.is_empty()).then(|| {
        let message =
            format!("filter {} lets guests send with a foreign MAC, as {} report", enumerate(&weak), enumerate(&names));
        let finding = spot.error(Code::MacSpoofConflict, field, message).related(names);
        finding.remedy("restore the filter's rules on the hosts: see `virsh nwfilter-dumpxml`")
    })
}

/// In every fleet: `filters` that the libvirt of some of `hosts` does not have, as they report.
pub(crate) fn missing_filters<'a>(
    fleet: &Fleet,
    filters: impl IntoIterator<Item = &'a str>,
    hosts: impl IntoIterator<Item = &'a HostName>,
    (severity, spot, field): (Severity, &Spot, &str),
) -> Option<Finding> {
    let filters: BTreeSet<&str> = filters.into_iter().collect();
    let (mut lacking, mut names) = (BTreeSet::new(), Vec::new());
    for host in hosts {
        let on_host: Vec<String> =
            filters.iter().filter(|name| is_missing_on(fleet, host, name)).map(|name| (*name).to_owned()).collect();
        if !on_host.is_empty() {
            names.push(EntityId::Host(host.clone()).to_string());
            lacking.extend(on_host);
        }
    }
    let lacking: Vec<String> = lacking.into_iter().collect();
    (!names.is_empty()).then(|| {
        let message = format!("libvirt has no filter {} on {}", enumerate(&lacking), enumerate(&names));
        let finding = spot.finding(severity, Code::FilterNotFound, field, message).related(names);
        finding.remedy("define the filter on the hosts with `virsh nwfilter-define`, or name another in the profile")
    })
}

/// Row 7 for a `network` that becomes managed, or a managed one that gets to a cluster.
pub(crate) fn tagging_unknown(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let names = profile_names(fleet, network, |profile| profile.guest_tagging == GuestTagging::Unspecified);
    let message =
        format!("it is not known whether guests of {} tag their traffic; tags will be dropped", enumerate(&names));
    (!names.is_empty()).then(|| {
        spot.warning(Code::GuestTaggingUnknown, field, message)
            .related(names)
            .remedy("set the profiles' guest tagging to none once it is known that no guest tags")
    })
}

/// Row 8 for a `network` that becomes managed: what goes past it.
pub(crate) fn passthrough(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let names = profile_names(fleet, network, |profile| match &profile.attachment {
        VnicAttachment::Bridge => false,
        VnicAttachment::Passthrough(passthrough) => passthrough.failover.is_none(),
    });
    let message = format!("guests of {} go past the bridge, and so past its MAC table", enumerate(&names));
    (!names.is_empty()).then(|| spot.info(Code::PassthroughNotManaged, field, message).related(names))
}

/// Row 9 for a `network` that is or becomes managed: what fails over onto it.
pub(crate) fn failing_over(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let names: Vec<String> = fleet
        .profiles_of(&network.id)
        .flat_map(|profile| fleet.failing_over_to(&(profile.network.clone(), profile.id.clone())))
        .map(profile_name)
        .collect();
    let message = format!("{} would fail over onto a bridge that has no entry for their MACs", enumerate(&names));
    (!names.is_empty()).then(|| {
        spot.error(Code::FailoverConflict, field, message)
            .related(names)
            .remedy("let the profiles fail over to another network")
    })
}

/// Row 9 for a passthrough `profile`, at `field`.
pub(crate) fn failover(fleet: &Fleet, profile: &VnicProfile, spot: &Spot, field: &str) -> Option<Finding> {
    let (network, _) = profile.failover()?;
    let network = fleet.networks().get(network).filter(|network| network.is_managed())?;
    let message =
        format!("libvirt manages the MAC tables of network {}, and has no entry for what fails over", network.id);
    let finding = spot.error(Code::FailoverConflict, field, message).related([name_of(network)]);
    Some(finding.remedy("fail over to a network that is not managed, or leave the failover out"))
}

/// Row 10 for a `network` that becomes managed, or a managed one that gets to a cluster.
pub(crate) fn mirroring(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let names =
        profile_names(fleet, network, |profile| profile.port_mirroring && !Risk::Spoofing.is_in(fleet, profile));
    let message = format!("vNICs of {} will see only frames that reach the bridge's ports", enumerate(&names));
    (!names.is_empty()).then(|| {
        spot.warning(Code::MirrorReducedView, field, message)
            .related(names)
            .remedy("mirror on a network that is not managed, or acknowledge it")
    })
}

/// Row 26 for a `network` that becomes managed: profiles that declare virtual MACs and allow no extra ones.
pub(crate) fn virtual_macs_of_profiles(fleet: &Fleet, network: &Network) -> Vec<String> {
    profile_names(fleet, network, |profile| {
        profile.virtual_macs && profile.extra_macs_allowed == 0 && !profile.is_passthrough()
    })
}

/// Life cycle: guests get a freedom only after every host has reported the network unmanaged.
pub(crate) fn still_managed(
    fleet: &Fleet,
    network: &Network,
    spot: &Spot,
    field: &str,
    freedom: &str,
) -> Option<Finding> {
    let hosts: Vec<String> =
        fleet.hosts_managing(&network.id).into_iter().map(|host| EntityId::Host(host.clone()).to_string()).collect();
    let message =
        format!("{} still report network {} as managed, and guests could {freedom}", enumerate(&hosts), network.id);
    (!hosts.is_empty()).then(|| {
        spot.error(Code::StillManaged, field, message)
            .related(hosts)
            .remedy("wait until the hosts have reported the network without MAC table management")
    })
}

impl Risk {
    /// The same as [`still_managed`] for this freedom.
    pub(crate) fn still_managed(self, fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
        still_managed(fleet, network, spot, field, self.freedom())
    }
}

fn is_used_live(fleet: &Fleet, profile: &VnicProfile) -> bool {
    vnics_with(fleet, profile).any(|vnic| is_live(fleet, vnic))
}

fn vnics_with<'a>(fleet: &'a Fleet, profile: &VnicProfile) -> impl Iterator<Item = &'a Vnic> + use<'a> {
    fleet.vnics_with(&(profile.network.clone(), profile.id.clone()))
}

fn profile_names(fleet: &Fleet, network: &Network, which: impl Fn(&VnicProfile) -> bool) -> Vec<String> {
    fleet.profiles_of(&network.id).filter(|profile| which(profile)).map(profile_name).collect()
}

fn name_of(network: &Network) -> String {
    EntityId::Network(network.id.clone()).to_string()
}
