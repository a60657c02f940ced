//! The engine as a running process: store, services, reconciler, and their end.
//!
//! | task | on cancel | on error |
//! | --- | --- | --- |
//! | server | drains, then returns | the engine stops |
//! | reconciler | returns after the host in hand | a panic stops the engine |
//! | host states | returns after the host in hand | a panic stops the engine |
//! | one per session | says goodbye and returns | ends its session |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use trestle_proto::engine::v1::bond_service_server::BondServiceServer;
use trestle_proto::engine::v1::check_service_server::CheckServiceServer;
use trestle_proto::engine::v1::cluster_network_service_server::ClusterNetworkServiceServer;
use trestle_proto::engine::v1::cluster_service_server::ClusterServiceServer;
use trestle_proto::engine::v1::event_service_server::EventServiceServer;
use trestle_proto::engine::v1::host_copy_service_server::HostCopyServiceServer;
use trestle_proto::engine::v1::host_service_server::HostServiceServer;
use trestle_proto::engine::v1::mac_pool_service_server::MacPoolServiceServer;
use trestle_proto::engine::v1::network_attachment_service_server::NetworkAttachmentServiceServer;
use trestle_proto::engine::v1::network_service_server::NetworkServiceServer;
use trestle_proto::engine::v1::operation_service_server::OperationServiceServer;
use trestle_proto::engine::v1::stock_filter_service_server::StockFilterServiceServer;
use trestle_proto::engine::v1::vm_service_server::VmServiceServer;
use trestle_proto::engine::v1::vnic_profile_service_server::VnicProfileServiceServer;
use trestle_proto::engine::v1::vnic_service_server::VnicServiceServer;
use trestle_proto::engine::v1::watch_service_server::WatchServiceServer;
use trestle_proto::session::v1::agent_session_server::AgentSessionServer;
use trestle_serve::deadline::Limits;
use trestle_serve::{
    BindError, ListenAddress, Listener, MAX_RECEIVE_BYTES, MAX_SEND_BYTES, Reflection, Server, ServerError,
    ServerOptions, Services, Tls, TlsError,
};
use trestle_store::{OpenError, Store};

use crate::api::{
    Api, Bonds, Checks, ClusterNetworks, Clusters, Events, HostCopies, Hosts, MacPools, NetworkAttachments, Networks,
    Operations, StockFilters, Vms, VnicProfiles, Vnics, Watches,
};
use crate::config::Config;
use crate::reconcile::{Reconciler, Wake};
use crate::session::{AgentSessions, Board};
use crate::states::HostStates;
use crate::write::Writer;

/// How long sessions may take to say goodbye.
const SESSION_GRACE: Duration = Duration::from_secs(2);

/// Says why the engine did not start, or stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store cannot be opened.
    #[error("store not opened")]
    Store(#[source] OpenError),
    /// The certificates are not usable.
    #[error("certificates not usable")]
    Tls(#[source] TlsError),
    /// An address cannot be listened on.
    #[error("listener not bound")]
    Bind(#[source] BindError),
    /// The descriptors do not decode: a bug.
    #[error("services not assembled")]
    Services(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server failed.
    #[error("server failed")]
    Server(#[source] ServerError),
    /// A task panicked: a bug.
    #[error("a task died")]
    Task(#[source] JoinError),
}

/// An engine that is bound and not yet running.
#[derive(Debug)]
pub struct Engine {
    server: Server,
    listeners: Vec<Listener>,
    reconciler: Reconciler,
    states: Arc<HostStates>,
    sessions: TaskTracker,
    cancel: CancellationToken,
}

impl Engine {
    /// Opens the store and binds the listeners; nothing is answered yet.
    ///
    /// *Errors*: [`EngineError`]; nothing is left behind.
    pub async fn bind(config: &Config, cancel: CancellationToken) -> Result<Self, EngineError> {
        let path = config.store.path.clone();
        let store = tokio::task::spawn_blocking(move || Store::open(&path)).await.map_err(EngineError::Task)?;
        let store = store.map_err(EngineError::Store)?;
        let tls = config.tls.as_ref().map(Tls::load).transpose().map_err(EngineError::Tls)?;
        let mut listeners = Vec::new();
        for listen in &config.listen {
            let tls = match listen {
                ListenAddress::Tcp(_) => tls.as_ref(),
                ListenAddress::Unix(_) => None,
            };
            listeners.push(Listener::bind(listen, tls).await.map_err(EngineError::Bind)?);
        }
        let (board, wake, sessions) = (Arc::new(Board::default()), Arc::new(Wake::default()), TaskTracker::new());
        let states = Arc::new(HostStates::new(store.clone(), Arc::clone(&board), config.hosts.silence_grace.0));
        let writer = Writer::new(store.clone(), Arc::clone(&board), Arc::clone(&wake), Arc::clone(&states));
        let api = Api::new(store.clone(), writer.clone(), Arc::clone(&board), Arc::clone(&states));
        let agent_sessions = AgentSessions::new(
            store.clone(),
            Arc::clone(&board),
            Arc::clone(&wake),
            sessions.clone(),
            cancel.child_token(),
        );
        let services =
            services(&api, writer, store.clone(), agent_sessions).map_err(|e| EngineError::Services(Box::new(e)))?;
        let reconciler = Reconciler::new(store, board, wake, config.hosts.connectivity_timeout.0);
        let server = Server::new(services, server_options());
        Ok(Self { server, listeners, reconciler, states, sessions, cancel })
    }

    /// Returns the addresses that are listened on, with their real ports.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// Serves until its token is cancelled, then drains and returns.
    ///
    /// *Errors*: [`EngineError`], when a part of it stopped by itself. *Cancel safety*: none; cancel the token.
    pub async fn run(self) -> Result<(), EngineError> {
        let mut tasks = JoinSet::new();
        let (server, listeners, cancel) = (self.server, self.listeners, self.cancel.clone());
        tasks.spawn(async move { server.run(listeners, cancel).await.map(drop).map_err(EngineError::Server) });
        let (reconciler, cancel) = (self.reconciler, self.cancel.clone());
        tasks.spawn(async move {
            reconciler.run(cancel).await;
            Ok(())
        });
        let (states, cancel) = (self.states, self.cancel.clone());
        tasks.spawn(async move {
            states.run(cancel).await;
            Ok(())
        });
        let mut ended = Ok(());
        while let Some(task) = tasks.join_next().await {
            let result = task.map_err(EngineError::Task).flatten();
            ended = ended.and(result);
            self.cancel.cancel();
        }
        self.sessions.close();
        if tokio::time::timeout(SESSION_GRACE, self.sessions.wait()).await.is_err() {
            warn!(sessions = self.sessions.len(), "sessions abandoned");
        }
        info!("engine stopped");
        ended
    }
}

fn services(
    api: &Api,
    writer: Writer,
    store: Store,
    sessions: AgentSessions,
) -> Result<Services, impl std::error::Error + Send + Sync + use<>> {
    macro_rules! limited {
        ($server:expr) => {
            $server.max_decoding_message_size(MAX_RECEIVE_BYTES).max_encoding_message_size(MAX_SEND_BYTES)
        };
    }
    Services::new(&[trestle_proto::FILE_DESCRIPTOR_SET], Reflection::On).map(|services| {
        services
            .with(limited!(ClusterServiceServer::new(Clusters(api.clone()))))
            .with(limited!(NetworkServiceServer::new(Networks(api.clone()))))
            .with(limited!(ClusterNetworkServiceServer::new(ClusterNetworks(api.clone()))))
            .with(limited!(VnicProfileServiceServer::new(VnicProfiles(api.clone()))))
            .with(limited!(HostServiceServer::new(Hosts(api.clone()))))
            .with(limited!(NetworkAttachmentServiceServer::new(NetworkAttachments(api.clone()))))
            .with(limited!(BondServiceServer::new(Bonds(api.clone()))))
            .with(limited!(MacPoolServiceServer::new(MacPools(api.clone()))))
            .with(limited!(VmServiceServer::new(Vms(api.clone()))))
            .with(limited!(VnicServiceServer::new(Vnics(api.clone()))))
            .with(limited!(StockFilterServiceServer::new(StockFilters(store.clone()))))
            .with(limited!(OperationServiceServer::new(Operations(api.clone()))))
            .with(limited!(HostCopyServiceServer::new(HostCopies(writer.clone()))))
            .with(limited!(CheckServiceServer::new(Checks(writer))))
            .with(limited!(EventServiceServer::new(Events(store.clone()))))
            .with(limited!(WatchServiceServer::new(Watches(store))))
            .with(limited!(AgentSessionServer::new(sessions)))
    })
}

fn server_options() -> ServerOptions {
    let long_lived = BTreeSet::from([
        "/trestle.session.v1.AgentSession/Connect".to_owned(),
        "/trestle.engine.v1.HostService/WatchHosts".to_owned(),
        "/trestle.engine.v1.EventService/WatchEvents".to_owned(),
        "/trestle.engine.v1.WatchService/Watch".to_owned(),
    ]);
    ServerOptions {
        deadlines: Limits { long_lived, ..Limits::default() },
        // Each agent holds one connection, and a second one while it asks for a confirmation.
        most_connections: 20_000,
        // Streams that run do not count; agents that all come back at once do, until they have said hello.
        most_calls: 4_096,
        ..ServerOptions::default()
    }
}
