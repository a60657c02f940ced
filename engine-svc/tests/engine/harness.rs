//! An engine on a loopback port of its own, and clients for it.

use std::time::Duration;

use engine_svc::config::{Config, Hosts, Store};
use engine_svc::server::Engine;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use trestle_proto::engine::v1::cluster_network_service_client::ClusterNetworkServiceClient;
use trestle_proto::engine::v1::cluster_service_client::ClusterServiceClient;
use trestle_proto::engine::v1::event_service_client::EventServiceClient;
use trestle_proto::engine::v1::host_service_client::HostServiceClient;
use trestle_proto::engine::v1::mac_pool_service_client::MacPoolServiceClient;
use trestle_proto::engine::v1::network_attachment_service_client::NetworkAttachmentServiceClient;
use trestle_proto::engine::v1::network_service_client::NetworkServiceClient;
use trestle_proto::engine::v1::vm_service_client::VmServiceClient;
use trestle_proto::engine::v1::vnic_profile_service_client::VnicProfileServiceClient;
use trestle_proto::engine::v1::vnic_service_client::VnicServiceClient;
use trestle_proto::engine::v1::{self as wire};
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::agent_session_client::AgentSessionClient;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::session::v1::{AgentMessage, Confirming, EngineMessage, Hello};
use trestle_serve::{ClientOptions, Connection, ServerIdentity, Target, Tls, TlsOptions};
use trestle_settings::Period;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) connection: Connection,
    target: Target,
    folder: TempDir,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn start_in(folder: TempDir) -> Self {
        Self::start_as(folder, None, None).await
    }

    /// Starts an engine with certificates, and calls it as a client with others.
    pub(crate) async fn start_as(folder: TempDir, engine: Option<TlsOptions>, client: Option<Tls>) -> Self {
        Self::start_with(folder, engine, client, Hosts::default()).await
    }

    /// Starts an engine that takes hosts for silent after a second.
    pub(crate) async fn start_impatient() -> Self {
        let hosts = Hosts { silence_grace: Period(Duration::from_secs(1)), ..Hosts::default() };
        Self::start_with(tempfile::tempdir().unwrap(), None, None, hosts).await
    }

    async fn start_with(folder: TempDir, engine: Option<TlsOptions>, client: Option<Tls>, hosts: Hosts) -> Self {
        let scheme = if engine.is_some() { "https" } else { "http" };
        let config = Config {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: engine,
            store: Store { path: folder.path().join("engine.redb") },
            hosts,
            telemetry: trestle_telemetry::Settings::default(),
        };
        let cancel = CancellationToken::new();
        let engine = Engine::bind(&config, cancel.clone()).await.unwrap();
        let target: Target = format!("{scheme}://{}", engine.addresses()[0]).parse().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { engine.run().await.unwrap() });
        let connection = dial(&target, client).await;
        Self { connection, target, folder, cancel, tasks }
    }

    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }

    /// Connects as somebody else.
    pub(crate) async fn connect_as(&self, client: Tls) -> Connection {
        dial(&self.target, Some(client)).await
    }

    /// Stops the engine and starts it again over the same store.
    pub(crate) async fn restart(self) -> Self {
        Self::start_in(self.stop().await).await
    }

    /// Stops the engine, and returns the folder of its store.
    pub(crate) async fn stop(self) -> TempDir {
        let Self { folder, cancel, mut tasks, .. } = self;
        cancel.cancel();
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        folder
    }

    pub(crate) fn clusters(&self) -> ClusterServiceClient<Connection> {
        ClusterServiceClient::new(self.connection.clone())
    }

    pub(crate) fn networks(&self) -> NetworkServiceClient<Connection> {
        NetworkServiceClient::new(self.connection.clone())
    }

    pub(crate) fn profiles(&self) -> VnicProfileServiceClient<Connection> {
        VnicProfileServiceClient::new(self.connection.clone())
    }

    pub(crate) fn mac_pools(&self) -> MacPoolServiceClient<Connection> {
        MacPoolServiceClient::new(self.connection.clone())
    }

    pub(crate) fn vms(&self) -> VmServiceClient<Connection> {
        VmServiceClient::new(self.connection.clone())
    }

    pub(crate) fn vnics(&self) -> VnicServiceClient<Connection> {
        VnicServiceClient::new(self.connection.clone())
    }

    pub(crate) fn events(&self) -> EventServiceClient<Connection> {
        EventServiceClient::new(self.connection.clone())
    }

    pub(crate) fn hosts(&self) -> HostServiceClient<Connection> {
        HostServiceClient::new(self.connection.clone())
    }

    pub(crate) async fn create_network(&self, id: &str, spec: wire::NetworkSpec) -> Result<wire::Network, Status> {
        let request = wire::CreateNetworkRequest {
            network_id: id.to_owned(),
            network: Some(wire::Network { spec: Some(spec), ..Default::default() }),
            ..Default::default()
        };
        Ok(self.networks().create_network(request).await?.into_inner().network.unwrap())
    }

    /// Makes a cluster `lab`, the network in it, a host in it, and the network on the host's `eth1`.
    pub(crate) async fn furnish(&self, host: &str, network: &str, spec: wire::NetworkSpec) {
        let cluster = wire::CreateClusterRequest {
            cluster_id: "lab".to_owned(),
            cluster: Some(wire::Cluster { spec: Some(wire::ClusterSpec::default()), ..Default::default() }),
            ..Default::default()
        };
        self.clusters().create_cluster(cluster).await.unwrap();
        self.create_network(network, spec).await.unwrap();
        let attached = wire::CreateClusterNetworkRequest {
            parent: "clusters/lab".to_owned(),
            cluster_network_id: network.to_owned(),
            cluster_network: Some(wire::ClusterNetwork {
                spec: Some(wire::ClusterNetworkSpec::default()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut client = ClusterNetworkServiceClient::new(self.connection.clone());
        client.create_cluster_network(attached).await.unwrap();
        self.register(host).await;
        self.attach(host, network).await;
    }

    /// Puts a network on a host's `eth1`.
    pub(crate) async fn attach(&self, host: &str, network: &str) {
        let carried = wire::CreateNetworkAttachmentRequest {
            parent: format!("hosts/{host}"),
            network_attachment_id: network.to_owned(),
            network_attachment: Some(wire::NetworkAttachment {
                spec: Some(wire::NetworkAttachmentSpec { nic: "eth1".to_owned(), ..Default::default() }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut client = NetworkAttachmentServiceClient::new(self.connection.clone());
        client.create_network_attachment(carried).await.unwrap();
    }

    /// Makes a host in the cluster `lab`.
    pub(crate) async fn register(&self, host: &str) {
        let registered = wire::CreateHostRequest {
            host_id: host.to_owned(),
            host: Some(wire::Host {
                spec: Some(wire::HostSpec { cluster: "clusters/lab".to_owned(), ..Default::default() }),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.hosts().create_host(registered).await.unwrap();
    }

    /// Takes a network off a host.
    pub(crate) async fn take_off(&self, host: &str, network: &str) {
        let name = format!("hosts/{host}/networkAttachments/{network}");
        let request = wire::DeleteNetworkAttachmentRequest { name, ..Default::default() };
        let mut client = NetworkAttachmentServiceClient::new(self.connection.clone());
        client.delete_network_attachment(request).await.unwrap();
    }

    pub(crate) async fn host(&self, name: &str) -> wire::Host {
        let request = wire::GetHostRequest { name: format!("hosts/{name}") };
        self.hosts().get_host(request).await.unwrap().into_inner().host.unwrap()
    }

    /// Waits until the host's status is as asked for.
    pub(crate) async fn wait_for(&self, name: &str, wanted: impl Fn(&wire::HostStatus) -> bool) -> wire::HostStatus {
        let watch = wire::WatchHostsRequest { names: vec![format!("hosts/{name}")] };
        let mut events = self.hosts().watch_hosts(watch).await.unwrap().into_inner();
        let found = async {
            loop {
                let event = events.message().await.unwrap().unwrap().event.unwrap();
                if let wire::watch_hosts_response::Event::Host(host) = event {
                    let status = host.status.unwrap();
                    if wanted(&status) {
                        return status;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("host never became as asked for")
    }
}

async fn dial(target: &Target, client: Option<Tls>) -> Connection {
    trestle_serve::connect(target, &ClientOptions::new(client, ServerIdentity::Engine)).await.unwrap()
}

/// An agent that says what the test wants.
pub(crate) struct Agent {
    pub(crate) outbox: mpsc::Sender<AgentMessage>,
    pub(crate) inbox: Streaming<EngineMessage>,
}

impl Agent {
    pub(crate) async fn dial(engine: &Running, host: &str, confirming: Option<Confirming>) -> Result<Self, Status> {
        let hello = Hello { host: host.to_owned(), protocol: 1, confirming, ..Default::default() };
        Self::dial_with(engine.connection.clone(), hello).await
    }

    pub(crate) async fn dial_with(connection: Connection, hello: Hello) -> Result<Self, Status> {
        let (outbox, messages) = mpsc::channel(16);
        outbox.send(AgentMessage { trace: None, kind: Some(AgentKind::Hello(hello)) }).await.unwrap();
        let mut client = AgentSessionClient::new(connection);
        let inbox = client.connect(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Self { outbox, inbox })
    }

    pub(crate) async fn say(&self, kind: AgentKind) {
        self.outbox.send(AgentMessage { trace: None, kind: Some(kind) }).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Result<EngineKind, Status> {
        let message = tokio::time::timeout(PATIENCE, self.inbox.message()).await.expect("engine says nothing");
        message.map(|message| message.expect("engine hung up").kind.unwrap())
    }
}
