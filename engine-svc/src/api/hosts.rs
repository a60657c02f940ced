//! Hosts: the standard methods, what is observed of them, and the watch.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::HostName;
use trestle_model::fleet::{EntityId, Fleet, Host as Entity};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::host_service_server::HostService;
use trestle_proto::{finding_wire, host_wire};
use trestle_rules::HostState;
use trestle_store::Store;

use super::standard::standard_service;
use super::watch::{self, HostEvents};
use super::{Api, Collection, plugging, unmanaged};
use crate::reconcile::{self, Desired, Sync};
use crate::session::Board;
use crate::states::{HostLook, HostStates};

/// Serves `HostService`.
#[derive(Debug, Clone)]
pub struct Hosts(pub Api);

impl Collection for wire::Host {
    fn map(fleet: &Fleet) -> &BTreeMap<HostName, Entity> {
        fleet.hosts()
    }

    fn fill(mut self, api: &Api) -> Self {
        let id = self.name.strip_prefix("hosts/").and_then(|name| HostName::parse(name).ok());
        self.status = id.map(|host| status(&api.store, &api.board, &api.states, &host, Shown::Whole));
        self
    }
}

standard_service! {
    HostService for Hosts, Host as host in hosts, id host_id, parent [];
    get_host GetHostRequest GetHostResponse;
    list_hosts ListHostsRequest ListHostsResponse;
    create_host CreateHostRequest CreateHostResponse;
    update_host UpdateHostRequest UpdateHostResponse;
    delete_host DeleteHostRequest DeleteHostResponse;
    and {
        type WatchHostsStream = HostEvents;

        async fn watch_hosts(
            &self,
            request: Request<wire::WatchHostsRequest>,
        ) -> Result<Response<Self::WatchHostsStream>, Status> {
            super::require_user(&request)?;
            let events = watch::open(&self.0, &request.get_ref().names)?;
            Ok(Response::new(events))
        }

        async fn list_unmanaged_interfaces(
            &self,
            request: Request<wire::ListUnmanagedInterfacesRequest>,
        ) -> Result<Response<wire::ListUnmanagedInterfacesResponse>, Status> {
            super::require_user(&request)?;
            Ok(Response::new(unmanaged::list(&self.0.store, request.get_ref())?))
        }
    }
}

/// How much of a host's status is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it.
    Whole,
    /// All but the last report.
    WithoutCapabilities,
}

/// Tells what is observed of a host, and whether it is what is wanted.
pub(super) fn status(
    store: &Store,
    board: &Board,
    states: &HostStates,
    host: &HostName,
    shown: Shown,
) -> wire::HostStatus {
    let now = board.host(host);
    let look = states.look(host);
    let (sync, reported_ms, capabilities, guests) = store.read(|fleet| {
        let record = fleet.observed(host);
        let reported = record.and_then(|record| record.capabilities.as_ref());
        let sync = reconcile::sync(&Desired::of(fleet, host), reported, &now);
        let capabilities = match shown {
            Shown::Whole => reported.map(host_wire::build_capabilities),
            Shown::WithoutCapabilities => None,
        };
        (sync, record.map_or(0, |record| record.reported_ms), capabilities, plugging::guests_of(fleet, board, host))
    });
    let connection = if now.connected { wire::Connection::Connected } else { wire::Connection::Disconnected };
    let last_seen_ms = now.last_seen_ms.max(reported_ms);
    let networks = sync.networks.into_iter().map(|network| wire::NetworkSync {
        network: EntityId::Network(network.network).to_string(),
        sync: wire_sync(network.sync).into(),
        differences: network.differences,
        left_alone: network.left_alone,
    });
    let bonds = sync.bonds.into_iter().map(|bond| wire::BondSync {
        bond: EntityId::Bond(host.clone(), bond.bond).to_string(),
        sync: wire_sync(bond.sync).into(),
        differences: bond.differences,
    });
    wire::HostStatus {
        connection: connection.into(),
        last_seen_time: (last_seen_ms > 0).then(|| trestle_proto::engine_wire::timestamp(last_seen_ms)),
        sync: wire_sync(sync.sync).into(),
        networks: networks.collect(),
        bonds: bonds.collect(),
        capabilities,
        last_result: now.last.as_ref().and_then(|last| last.result.clone()),
        refusal: now.last.as_ref().map(|last| finding_wire::build_all(&last.refusal.0)).unwrap_or_default(),
        unmanaged_interface_count: guests.unmanaged,
        violations: guests.violations,
        violation_count: guests.violation_count,
        plug_counts: Some(guests.plugs),
        state: look.as_ref().map_or(wire::HostState::Unspecified, |look| wire_state(look.state)).into(),
        state_reasons: look.as_ref().map(|look| finding_wire::build_all(&look.reasons)).unwrap_or_default(),
        state_time: look.map(|HostLook { since_ms, .. }| trestle_proto::engine_wire::timestamp(since_ms)),
    }
}

const fn wire_state(state: HostState) -> wire::HostState {
    match state {
        HostState::Up => wire::HostState::Up,
        HostState::Maintenance => wire::HostState::Maintenance,
        HostState::NonOperational => wire::HostState::NonOperational,
        HostState::NonResponsive => wire::HostState::NonResponsive,
    }
}

const fn wire_sync(sync: Sync) -> wire::Sync {
    match sync {
        Sync::InSync => wire::Sync::InSync,
        Sync::Unmanaged => wire::Sync::Unmanaged,
        Sync::Drifted => wire::Sync::Drifted,
        Sync::Pending => wire::Sync::Pending,
        Sync::Failed => wire::Sync::Failed,
        Sync::Unknown => wire::Sync::Unknown,
    }
}
