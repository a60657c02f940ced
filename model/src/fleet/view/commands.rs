//! What hosts were told and have not reported yet: rules see it as if it were done.

use std::collections::BTreeSet;

use super::{Fleet, Sighting};
use crate::{Domain, DomainInterface, HostName, MacAddr, NetworkName};

/// What commands that are under way make of a host. Never stored: an engine that starts anew knows of none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commanded {
    /// The networks that libvirt is to manage.
    pub managed: BTreeSet<NetworkName>,
    /// The interfaces that guests are to have.
    pub interfaces: Vec<CommandedInterface>,
}

/// An interface that a guest is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandedInterface {
    /// The guest's domain.
    pub domain: Domain,
    /// The interface as it will be.
    pub interface: DomainInterface,
    /// The network that it will be on; none for anything else.
    pub network: Option<NetworkName>,
}

static NOTHING: Commanded = Commanded { managed: BTreeSet::new(), interfaces: Vec::new() };

impl Fleet {
    /// Keeps what commands under way make of `host`.
    pub fn command(&mut self, host: HostName, commanded: Commanded) {
        if commanded == NOTHING {
            self.commands.remove(&host);
        } else {
            self.commands.insert(host, commanded);
        }
    }

    /// Returns what commands under way make of `host`.
    pub fn commanded(&self, host: &HostName) -> &Commanded {
        self.commands.get(host).unwrap_or(&NOTHING)
    }

    /// Takes over what commands under way make of hosts that are in this fleet, too.
    pub fn take_over_commands(&mut self, from: &Self) {
        let known = from.commands.iter().filter(|(host, _)| self.hosts.contains_key(host));
        self.commands = known.map(|(host, commanded)| (host.clone(), commanded.clone())).collect();
    }

    /// Returns the hosts on which libvirt manages the MAC table of `network`, as their last report or a command under way
    /// has it, ordered; also hosts that are no longer to run it.
    pub fn hosts_managing<'a>(&'a self, network: &NetworkName) -> BTreeSet<&'a HostName> {
        let commanded = self.commands.iter().filter(|(_, commanded)| commanded.managed.contains(network));
        self.managed_reports.get(network).into_iter().flatten().chain(commanded.map(|(host, _)| host)).collect()
    }

    /// Returns the interfaces on `network` that commands under way make, ordered by host.
    pub fn interfaces_coming_to<'a>(&'a self, network: &'a NetworkName) -> impl Iterator<Item = Sighting<'a>> {
        self.coming().filter(move |sighting| sighting.network == Some(network))
    }

    /// Returns the interfaces with `mac` that commands under way make, ordered by host.
    pub fn interfaces_coming_with(&self, mac: MacAddr) -> impl Iterator<Item = Sighting<'_>> {
        self.coming().filter(move |sighting| sighting.interface.mac == mac)
    }

    fn coming(&self) -> impl Iterator<Item = Sighting<'_>> {
        self.commands.iter().flat_map(|(host, commanded)| {
            commanded.interfaces.iter().map(move |CommandedInterface { domain, interface, network }| Sighting {
                host,
                domain,
                interface,
                network: network.as_ref(),
            })
        })
    }
}
