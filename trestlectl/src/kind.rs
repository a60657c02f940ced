//! The kinds of resources: how they are spelled, named, nested and ordered.

use std::fmt;
use std::str::FromStr;

/// A kind of resource of the fleet, in the order in which resources are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `macPools/{pool}`
    MacPool,
    /// `clusters/{cluster}`
    Cluster,
    /// `networks/{network}`
    Network,
    /// `clusters/{cluster}/clusterNetworks/{network}`
    ClusterNetwork,
    /// `networks/{network}/vnicProfiles/{profile}`
    VnicProfile,
    /// `hosts/{host}`
    Host,
    /// `hosts/{host}/bonds/{bond}`
    Bond,
    /// `hosts/{host}/networkAttachments/{network}`
    NetworkAttachment,
    /// `vms/{vm}`
    Vm,
    /// `vms/{vm}/vnics/{vnic}`
    Vnic,
}

/// A text that names no kind.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of resource: it is one of {kinds}", kinds = Kind::ALL.map(Kind::as_str).join(", "))]
pub struct KindError(String);

impl Kind {
    /// Every kind, in the order in which resources are applied: each before those that refer to it.
    pub const ALL: [Self; 10] = [
        Self::MacPool,
        Self::Cluster,
        Self::Network,
        Self::ClusterNetwork,
        Self::VnicProfile,
        Self::Host,
        Self::Bond,
        Self::NetworkAttachment,
        Self::Vm,
        Self::Vnic,
    ];

    /// Returns the kind as files spell it, which is also its message's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MacPool => "MacPool",
            Self::Cluster => "Cluster",
            Self::Network => "Network",
            Self::ClusterNetwork => "ClusterNetwork",
            Self::VnicProfile => "VnicProfile",
            Self::Host => "Host",
            Self::Bond => "Bond",
            Self::NetworkAttachment => "NetworkAttachment",
            Self::Vm => "Vm",
            Self::Vnic => "Vnic",
        }
    }

    /// Returns the field that holds one in requests and answers.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::MacPool => "mac_pool",
            Self::Cluster => "cluster",
            Self::Network => "network",
            Self::ClusterNetwork => "cluster_network",
            Self::VnicProfile => "vnic_profile",
            Self::Host => "host",
            Self::Bond => "bond",
            Self::NetworkAttachment => "network_attachment",
            Self::Vm => "vm",
            Self::Vnic => "vnic",
        }
    }

    /// Returns the segment before the last one of a name.
    #[must_use]
    pub const fn collection(self) -> &'static str {
        match self {
            Self::MacPool => "macPools",
            Self::Cluster => "clusters",
            Self::Network => "networks",
            Self::ClusterNetwork => "clusterNetworks",
            Self::VnicProfile => "vnicProfiles",
            Self::Host => "hosts",
            Self::Bond => "bonds",
            Self::NetworkAttachment => "networkAttachments",
            Self::Vm => "vms",
            Self::Vnic => "vnics",
        }
    }

    /// Returns the kind of resource that it is a part of; none for a kind of its own.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::ClusterNetwork => Some(Self::Cluster),
            Self::VnicProfile => Some(Self::Network),
            Self::NetworkAttachment | Self::Bond => Some(Self::Host),
            Self::Vnic => Some(Self::Vm),
            Self::MacPool | Self::Cluster | Self::Network | Self::Host | Self::Vm => None,
        }
    }

    /// Returns the shape of its names, for people.
    #[must_use]
    pub const fn pattern(self) -> &'static str {
        match self {
            Self::MacPool => "macPools/{pool}",
            Self::Cluster => "clusters/{cluster}",
            Self::Network => "networks/{network}",
            Self::ClusterNetwork => "clusters/{cluster}/clusterNetworks/{network}",
            Self::VnicProfile => "networks/{network}/vnicProfiles/{profile}",
            Self::Host => "hosts/{host}",
            Self::Bond => "hosts/{host}/bonds/{bond}",
            Self::NetworkAttachment => "hosts/{host}/networkAttachments/{network}",
            Self::Vm => "vms/{vm}",
            Self::Vnic => "vms/{vm}/vnics/{vnic}",
        }
    }

    /// Tells whether `name` has the shape of this kind's names; whether its ids are legal is for the engine to say.
    #[must_use]
    pub fn names(self, name: &str) -> bool {
        Self::of_name(name) == Some(self)
    }

    /// Finds the kind of the resource that has this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let segments: Vec<&str> = name.split('/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        Self::ALL.into_iter().find(|kind| match (segments.as_slice(), kind.parent()) {
            ([collection, _], None) => *collection == kind.collection(),
            ([above, _, collection, _], Some(parent)) => {
                *above == parent.collection() && *collection == kind.collection()
            }
            (_, None | Some(_)) => false,
        })
    }
}

/// Returns the last segment of a name, the resource's id.
#[must_use]
pub fn id_of(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, id)| id)
}

/// Returns the name of the resource that `name` is a part of.
#[must_use]
pub fn parent_of(name: &str) -> Option<&str> {
    let (collection, _) = name.rsplit_once('/')?;
    Some(collection.rsplit_once('/')?.0)
}

impl FromStr for Kind {
    type Err = KindError;

    /// Takes the spelling of files, of names and of fields, singular and plural, in any case.
    fn from_str(text: &str) -> Result<Self, KindError> {
        let letters: String = text.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        let is = |kind: &Self| {
            letters.eq_ignore_ascii_case(kind.as_str()) || letters.eq_ignore_ascii_case(kind.collection())
        };
        Self::ALL.into_iter().find(is).ok_or_else(|| KindError(text.to_owned()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_kind() {
        let check = |name: &str, expected: Option<Kind>| assert_eq!(Kind::of_name(name), expected, "{name}");
        check("clusters/lab", Some(Kind::Cluster));
        check("networks/blue", Some(Kind::Network));
        check("clusters/lab/clusterNetworks/blue", Some(Kind::ClusterNetwork));
        check("networks/blue/vnicProfiles/default", Some(Kind::VnicProfile));
        check("hosts/host-a", Some(Kind::Host));
        check("hosts/host-a/networkAttachments/blue", Some(Kind::NetworkAttachment));
        check("hosts/host-a/bonds/bond0", Some(Kind::Bond));
        check("macPools/lab", Some(Kind::MacPool));
        check("vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f", Some(Kind::Vm));
        check("vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f/vnics/eth0", Some(Kind::Vnic));
        for name in ["", "blue", "networks/", "network/blue", "hosts/h/vnicProfiles/p", "networks/blue/x", "a/b/c/d"] {
            check(name, None);
        }
    }

    #[test]
    fn a_kind_is_read_in_any_spelling() {
        for text in ["VnicProfile", "vnicprofiles", "vnicProfiles", "vnic_profile", "vnic-profiles"] {
            assert_eq!(text.parse(), Ok(Kind::VnicProfile), "{text}");
        }
        assert_eq!("nic".parse::<Kind>(), Err(KindError("nic".to_owned())));
    }

    #[test]
    fn parents_and_ids_are_found_in_names() {
        assert_eq!(parent_of("networks/blue/vnicProfiles/default"), Some("networks/blue"));
        assert_eq!(parent_of("networks/blue"), None);
        assert_eq!(id_of("networks/blue/vnicProfiles/default"), "default");
    }

    #[test]
    fn every_kind_is_on_the_wire() {
        for kind in Kind::ALL {
            let message = trestle_proto::schema::message(&format!("trestle.engine.v1.{kind}"));
            assert!(message.get_field_by_name("spec").is_some(), "{kind}");
        }
    }
}
