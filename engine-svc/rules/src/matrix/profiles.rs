//! Rows 2, 5, 6 and 7: what guests may send. And the life cycle: when a profile may be weakened.

use trestle_model::fleet::{EntityId, Fleet, GuestTagging, Network, VnicProfile};
use trestle_model::{Code, Finding};

use crate::filter::stops_mac_spoofing;
use crate::spot::{Spot, enumerate};

/// A freedom of guests that a managed MAC table cannot live with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Risk {
    /// Row 2: sending with a foreign MAC.
    Spoofing,
    /// Rows 5 and 6: tagging its own traffic.
    Tagging,
}

impl Risk {
    const ALL: [Self; 2] = [Self::Spoofing, Self::Tagging];

    fn is_in(self, profile: &VnicProfile) -> bool {
        match self {
            Self::Spoofing => !stops_mac_spoofing(&profile.filter),
            Self::Tagging => match profile.guest_tagging {
                GuestTagging::List(_) | GuestTagging::Any => true,
                GuestTagging::None | GuestTagging::Unspecified => false,
            },
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

    /// Makes the error that `profile` meets on a managed `network`.
    pub(crate) fn refusal(self, spot: &Spot, network: &Network) -> Finding {
        let message = format!(
            "libvirt manages the MAC tables of network {}, and guests of this profile may {}",
            network.id,
            self.freedom()
        );
        spot.error(self.code(), self.field(), message).related([name_of(network)]).remedy(self.remedy())
    }
}

/// Returns what guests of `profile` may do that a managed MAC table cannot live with.
pub(crate) fn risks(profile: &VnicProfile) -> impl Iterator<Item = Risk> {
    Risk::ALL.into_iter().filter(move |risk| risk.is_in(profile))
}

/// Rows 2, 5 and 6 for a `network` that is or becomes managed: one error a risk, naming the profiles.
pub(crate) fn unsafe_profiles(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Vec<Finding> {
    let finding = |risk: Risk| {
        let names = profile_names(fleet, network, |profile| risk.is_in(profile));
        let message = format!("guests of {} may {}", enumerate(&names), risk.freedom());
        (!names.is_empty()).then(|| spot.error(risk.code(), field, message).related(names).remedy(risk.remedy()))
    };
    Risk::ALL.into_iter().filter_map(finding).collect()
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

/// Life cycle: a profile is weakened only after every host has reported its network unmanaged.
pub(crate) fn still_managed(fleet: &Fleet, network: &Network, spot: &Spot, risk: Risk) -> Option<Finding> {
    let hosts: Vec<String> =
        fleet.hosts_managing(&network.id).into_iter().map(|host| EntityId::Host(host.clone()).to_string()).collect();
    let message = format!(
        "{} still report network {} as managed, and guests of this profile could {}",
        enumerate(&hosts),
        network.id,
        risk.freedom()
    );
    (!hosts.is_empty()).then(|| {
        spot.error(Code::StillManaged, risk.field(), message)
            .related(hosts)
            .remedy("wait until the hosts have reported the network without MAC table management")
    })
}

fn profile_names(fleet: &Fleet, network: &Network, which: impl Fn(&VnicProfile) -> bool) -> Vec<String> {
    fleet
        .profiles_of(&network.id)
        .filter(|profile| which(profile))
        .map(|profile| EntityId::VnicProfile(profile.network.clone(), profile.id.clone()).to_string())
        .collect()
}

fn name_of(network: &Network) -> String {
    EntityId::Network(network.id.clone()).to_string()
}
