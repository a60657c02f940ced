//! What hosts report of guests.

use trestle_model::fleet::{EntityId, Sighting};
use trestle_model::{Domain, DomainPersistence, HostName};

use super::timestamp;
use crate::engine::v1 as wire;
use crate::host_wire::{build_interface, build_state};

/// Builds a domain that `host` reported at `reported_ms`.
pub fn build_seen_domain(host: &HostName, domain: &Domain, reported_ms: u64) -> wire::SeenDomain {
    wire::SeenDomain {
        host: EntityId::Host(host.clone()).to_string(),
        domain: domain.name.clone(),
        state: build_state(domain.state).into(),
        transient: domain.persistence == DomainPersistence::Transient,
        report_time: Some(timestamp(reported_ms)),
    }
}

/// Builds an interface that a host reported at `reported_ms`.
pub fn build_seen_interface(sighting: &Sighting<'_>, reported_ms: u64) -> wire::SeenInterface {
    let network = sighting.network.map(|network| EntityId::Network(network.clone()).to_string());
    wire::SeenInterface {
        host: EntityId::Host(sighting.host.clone()).to_string(),
        domain: sighting.domain.name.clone(),
        domain_uuid: sighting.domain.uuid.to_string(),
        state: build_state(sighting.domain.state).into(),
        network: network.unwrap_or_default(),
        interface: Some(build_interface(sighting.interface)),
        report_time: Some(timestamp(reported_ms)),
    }
}
