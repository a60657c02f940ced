//! DHCP clients in memory, and the servers that answer them.
//!
//! A server answers at once, and gives a segment the same address always. What a lease means for the kernel is put
//! there by the same rules as on a real host.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net};
use trestle_model::{
    DhcpClient, DhcpClientSpec, DhcpState, HostConfig, IfName, IpFamily, Lease, ResolverNames, ResolverState,
};
use trestle_plan::{DhcpStep, KernelStep, meaning, names_meant};

use crate::kernel::Kernel;

/// The agent's clients, and the segments' servers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dhcp {
    pub(crate) clients: Vec<DhcpClient>,
    servers: BTreeMap<(IfName, IpFamily), Server>,
}

/// A server: the address that it gives, and its own, which is the gateway, too.
#[derive(Debug, Clone)]
struct Server {
    gives: IpNet,
    own: std::net::IpAddr,
}

impl Dhcp {
    /// Puts a server on a segment: it gives `address`, and is the first host of its prefix.
    pub(crate) fn serve(&mut self, segment: &IfName, address: IpNet) {
        let own = match address {
            IpNet::V4(net) => Ipv4Net::hosts(&net).next().map_or_else(|| address.addr(), Into::into),
            IpNet::V6(net) => net.network().into(),
        };
        self.servers.insert((segment.clone(), IpFamily::of(address.addr())), Server { gives: address, own });
    }

    /// Takes the servers off a segment; the leases that they gave go on.
    pub(crate) fn fall_silent(&mut self, segment: &IfName) {
        self.servers.retain(|(served, _), _| served != segment);
    }

    /// Lets every client ask again: who has a server gets the lease that it gives now; a lease without a server ends.
    pub(crate) fn ask_again(&mut self, kernel: &mut Kernel) {
        let specs: Vec<DhcpClientSpec> = self.clients.iter().map(|client| client.spec.clone()).collect();
        for spec in specs {
            self.withdraw(&spec.link, spec.family, kernel);
            self.ask(&spec, kernel);
        }
    }

    pub(crate) fn perform(&mut self, step: &DhcpStep, kernel: &mut Kernel) -> Result<(), String> {
        match step {
            DhcpStep::Start(spec) => {
                kernel.link(&spec.link)?;
                if !self.clients.iter().any(|client| client.spec == *spec) {
                    self.withdraw(&spec.link, spec.family, kernel);
                    self.clients.retain(|client| !client.spec.rivals(spec));
                    let client = DhcpClient {
                        spec: spec.clone(),
                        state: DhcpState::Searching,
                        lease: None,
                        problem: Some("no server has answered".to_owned()),
                    };
                    self.clients.push(client);
                    self.clients.sort();
                    self.ask(spec, kernel);
                }
            }
            DhcpStep::Stop { link, family } => {
                self.withdraw(link, *family, kernel);
                self.clients.retain(|client| (&client.spec.link, client.spec.family) != (link, *family));
            }
        }
        Ok(())
    }

    /// Puts what leases mean into the kernel again where something took it away, as the agent does.
    pub(crate) fn follow(&self, kernel: &mut Kernel) {
        for (client, meant) in self.clients.iter().filter_map(|client| Some((client, meaning(client)?))) {
            let link = client.spec.link.clone();
            let Ok(is_up) = kernel.link(&link).map(|link| link.up) else { continue };
            let step = KernelStep::LeaseAddress { link, address: meant.address, valid_s: 3600, preferred_s: 3600 };
            // IPv6 that is switched off is no place for a lease.
            let _refused = kernel.apply_lease(&step);
            for route in meant.routes.into_iter().filter(|_| is_up) {
                let _unreachable = kernel.apply_lease(&KernelStep::AddRoute { route });
            }
            for rule in meant.rules {
                let _lacking = kernel.apply_lease(&KernelStep::AddRule { rule });
            }
        }
    }

    /// Returns the names of leases that are the host's, where nobody else keeps them.
    pub(crate) fn names(&self, resolver: &ResolverState) -> ResolverNames {
        let meant = names_meant(&self.clients, &HostConfig::default(), &[]).filter(|_| resolver.keeper.is_none());
        meant.map(|meant| meant.names).unwrap_or_default()
    }

    fn ask(&mut self, spec: &DhcpClientSpec, kernel: &mut Kernel) {
        let server = self.servers.get(&(spec.segment.clone(), spec.family)).cloned();
        let Some(client) = self.clients.iter_mut().find(|client| client.spec == *spec) else { return };
        if let Some(Server { gives, own }) = server {
            client.state = DhcpState::Bound;
            client.problem = None;
            client.lease = Some(Lease {
                address: gives,
                server: own.to_string(),
                gateways: if gives.addr().is_ipv4() { vec![own] } else { Vec::new() },
                routes: Vec::new(),
                nameservers: vec![own],
                search: Vec::new(),
                expires_ms: Some(1_800_000_000_000),
                lifetime_s: 3600,
                renew_s: 1800,
                preferred_s: 3600,
            });
        }
        self.follow(kernel);
    }

    /// Takes out of the kernel what a client's lease brought, and the lease from the client.
    fn withdraw(&mut self, link: &IfName, family: IpFamily, kernel: &mut Kernel) {
        let found = self.clients.iter_mut().find(|client| (&client.spec.link, client.spec.family) == (link, family));
        let Some(client) = found else { return };
        let meant = meaning(client);
        client.lease = None;
        client.state = DhcpState::Searching;
        client.problem = Some("no server has answered".to_owned());
        let Some(meant) = meant else { return };
        for rule in meant.rules {
            let _gone = kernel.apply_lease(&KernelStep::RemoveRule { rule });
        }
        for route in meant.routes {
            let _gone = kernel.apply_lease(&KernelStep::RemoveRoute { route });
        }
        let _gone = kernel.apply_lease(&KernelStep::RemoveAddress { link: link.clone(), address: meant.address });
    }
}
