//! What the fleet allows: pure admission rules that answer a change with findings.
//!
//! [`evaluate`] looks at one change against the fleet as it stands, desired and observed, and returns every finding, in
//! a stable order. The cost grows with what the change touches: the profiles, clusters, hosts and attachments that the
//! fleet's indexes lead to from the changed entity, never the whole fleet.
//!
//! [`violations`] judges no change, but a guest as a host reports it, whoever plugged it; [`host_verdict`] judges a host,
//! and [`obstacles`] a host for a virtual machine.
//!
//! Two kinds of rules stand side by side. Rules of every fleet live in the module of the entity that changes; the rows
//! of the matrix for managed MAC tables live in `matrix`, one function a row, called from every direction.
//!
//! This crate never does I/O, never waits, and never reads a clock or a random number. Existence, etags and
//! acknowledgements are the use case's business.

mod bond;
mod carried;
mod cluster;
mod cluster_network;
mod filter;
mod host;
mod labels;
mod layout;
mod mac;
mod mac_pool;
mod matrix;
mod network;
mod network_attachment;
mod offer;
mod plugged;
mod roles;
mod spot;
mod state;
mod vm;
mod vnic;
mod vnic_profile;

use trestle_model::Findings;
use trestle_model::fleet::{Entity, EntityId, Fleet, Mutation};

pub use carried::edited_out_of_sync;
pub use filter::{stock_effects, stock_filters};
pub use matrix::Fix;
pub use offer::{Guest, not_offered, obstacles};
pub use plugged::violations;
pub use state::{Contact, HostState, HostVerdict, Standing, host_verdict};

/// Evaluates every rule for one change of `fleet`, which does not have the change yet.
///
/// *Shape*: all findings, ordered by field, code and subject; empty where nothing stands against the change. Field paths
/// are those of the resource on the wire (`network.spec.manage_macs_with_libvirt`; `name` for a removal), subject and
/// related resources are names on the wire. Removing what does not exist has no findings.
pub fn evaluate(mutation: &Mutation, fleet: &Fleet) -> Findings {
    let findings = match mutation {
        Mutation::Put(Entity::Cluster(cluster)) => cluster::put(cluster, fleet),
        Mutation::Put(Entity::Network(network)) => network::put(network, fleet, Fix::Leave),
        Mutation::Put(Entity::ClusterNetwork(attachment)) => cluster_network::put(attachment, fleet),
        Mutation::Put(Entity::VnicProfile(profile)) => vnic_profile::put(profile, fleet),
        Mutation::Put(Entity::Host(host)) => host::put(host, fleet),
        Mutation::Put(Entity::NetworkAttachment(attachment)) => network_attachment::put(attachment, fleet),
        Mutation::Delete(EntityId::Cluster(cluster)) => cluster::delete(cluster, fleet),
        Mutation::Delete(EntityId::Network(network)) => network::delete(network, fleet),
        Mutation::Delete(EntityId::ClusterNetwork(cluster, network)) => {
            cluster_network::delete(cluster, network, fleet)
        }
        Mutation::Delete(EntityId::Host(host)) => host::delete(host, fleet),
        Mutation::Put(Entity::Bond(bond)) => bond::put(bond, fleet),
        Mutation::Delete(EntityId::Bond(host, bond)) => bond::delete(host, bond, fleet),
        Mutation::Put(Entity::MacPool(pool)) => mac_pool::put(pool, fleet),
        Mutation::Put(Entity::Vm(vm)) => vm::put(vm, fleet),
        Mutation::Put(Entity::Vnic(vnic)) => vnic::put(vnic, fleet),
        Mutation::Delete(EntityId::VnicProfile(network, profile)) => vnic_profile::delete(network, profile, fleet),
        Mutation::Delete(EntityId::NetworkAttachment(host, network)) => {
            network_attachment::delete(host, network, fleet)
        }
        Mutation::Delete(EntityId::MacPool(pool)) => mac_pool::delete(pool, fleet),
        Mutation::Delete(EntityId::Vm(vm)) => vm::delete(*vm, fleet),
        Mutation::Delete(EntityId::Vnic(vm, vnic)) => vnic::delete(*vm, vnic, fleet),
    };
    Findings(findings).sorted()
}

/// A change as it is to be written, with what comes with it, and what stands against it.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The change itself first, completed, and then what is written beside it.
    pub mutations: Vec<Mutation>,
    /// What [`evaluate`] finds.
    pub findings: Findings,
}

/// Completes a change and evaluates it: a vNIC gets its address, a bond the networks that stand on its NICs, and with
/// [`Fix::Profiles`] a managed network brings its profiles that let guests spoof along, mended. A network that is given a
/// role takes it from the one that has it.
pub fn propose(mutation: Mutation, fix: Fix, fleet: &Fleet) -> Proposal {
    match (mutation, fix) {
        (Mutation::Put(Entity::Vnic(vnic)), Fix::Leave | Fix::Profiles) => {
            alone(Mutation::Put(Entity::Vnic(mac::with_address(vnic, fleet))), fleet)
        }
        (Mutation::Put(Entity::Network(network)), Fix::Profiles) => {
            let findings = Findings(network::put(&network, fleet, Fix::Profiles)).sorted();
            let profiles = vnic_profile::fixed(&network, fleet);
            let mutations = [Mutation::Put(Entity::Network(network))].into_iter().chain(profiles).collect();
            Proposal { mutations, findings }
        }
        (Mutation::Put(Entity::ClusterNetwork(attachment)), Fix::Leave | Fix::Profiles) => {
            let taken: Vec<Mutation> = roles::taken(&attachment, fleet);
            let mutation = Mutation::Put(Entity::ClusterNetwork(attachment));
            let findings = evaluate(&mutation, fleet);
            Proposal { mutations: [mutation].into_iter().chain(taken).collect(), findings }
        }
        (Mutation::Put(Entity::Bond(bond)), Fix::Leave | Fix::Profiles) => {
            let findings = Findings(bond::put(&bond, fleet)).sorted();
            let networks = bond::moved(&bond, fleet).into_iter().map(Entity::NetworkAttachment);
            let labels = bond::relabelled(&bond, fleet).map(Entity::Host);
            let mutations = [Entity::Bond(bond)].into_iter().chain(labels).chain(networks).map(Mutation::Put).collect();
            Proposal { mutations, findings }
        }
        (mutation, Fix::Leave | Fix::Profiles) => alone(mutation, fleet),
    }
}

fn alone(mutation: Mutation, fleet: &Fleet) -> Proposal {
    let findings = evaluate(&mutation, fleet);
    Proposal { mutations: vec![mutation], findings }
}
