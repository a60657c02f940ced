//! What a cluster's hosts use a network for.

use std::fmt;

use super::{ClusterNetwork, Fleet, NetworkAttachment};
use crate::{Ipv4Config, Ipv6Config, ResourceId};

/// What hosts use a network for beside guests' traffic; each network of a cluster may have several roles, and each role
/// has at most one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkRole {
    /// The engine and the hosts talk over it.
    Management,
    /// Guests move from host to host over it.
    Migration,
    /// Guests' consoles are reached over it.
    Display,
    /// The hosts' default route goes over it.
    DefaultRoute,
}

/// Which network of a cluster has a role, and how it came to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleHolder<'a> {
    /// It was given the role.
    Given(&'a ClusterNetwork),
    /// It is the management network, and no network was given the role.
    ByDefault(&'a ClusterNetwork),
}

impl NetworkRole {
    /// Every role, in order.
    pub const ALL: [Self; 4] = [Self::Management, Self::Migration, Self::Display, Self::DefaultRoute];

    /// Returns the role's name, which is also that of its field on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Migration => "migration",
            Self::Display => "display",
            Self::DefaultRoute => "default_route",
        }
    }
}

impl ClusterNetwork {
    /// Tells whether the network was given `role`.
    pub const fn has(&self, role: NetworkRole) -> bool {
        match role {
            NetworkRole::Management => self.management,
            NetworkRole::Migration => self.migration,
            NetworkRole::Display => self.display,
            NetworkRole::DefaultRoute => self.default_route,
        }
    }

    /// Returns the roles that the network was given, in order.
    pub fn roles(&self) -> impl Iterator<Item = NetworkRole> {
        NetworkRole::ALL.into_iter().filter(|role| self.has(*role))
    }

    /// Returns the same without the roles of `other`.
    #[must_use]
    pub fn without_roles_of(self, other: &Self) -> Self {
        Self {
            management: self.management && !other.management,
            migration: self.migration && !other.migration,
            display: self.display && !other.display,
            default_route: self.default_route && !other.default_route,
            ..self
        }
    }

    /// Tells whether every host of the cluster has to carry it; the management network is always required.
    pub const fn is_required(&self) -> bool {
        self.required || self.management
    }
}

impl NetworkAttachment {
    /// Tells whether the host is to have an address on the network.
    pub fn has_address(&self) -> bool {
        self.ipv4 != Ipv4Config::None || self.ipv6 != Ipv6Config::None
    }
}

impl Fleet {
    /// Returns the network that has `role` in `cluster`; none where no network was given it, nor the management role.
    pub fn role_holder<'a>(&'a self, cluster: &'a ResourceId, role: NetworkRole) -> Option<RoleHolder<'a>> {
        let given = |role| self.networks_of(cluster).find(|network| network.has(role));
        given(role).map(RoleHolder::Given).or_else(|| given(NetworkRole::Management).map(RoleHolder::ByDefault))
    }
}

impl fmt::Display for NetworkRole {
    /// Writes the role for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DefaultRoute => "default route",
            Self::Management | Self::Migration | Self::Display => self.name(),
        })
    }
}
