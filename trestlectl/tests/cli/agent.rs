//! A host's agent in memory, which counts its connections.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{Stream, StreamExt as _};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use trestle_model::{Code, Finding};
use trestle_proto::host::v1::host_agent_server::{HostAgent, HostAgentServer};
use trestle_proto::host::v1::host_object::Value;
use trestle_proto::host::v1::network::Southbound;
use trestle_proto::host::v1::setup_networks_response::Event;
use trestle_proto::host::v1::watch_host_response::Event as NewsEvent;
use trestle_proto::host::v1::{
    AwaitingConfirmation, BridgeDevice, Capabilities, CommitNetworksRequest, CommitNetworksResponse,
    ConfirmNetworksRequest, ConfirmNetworksResponse, ConnectivityCheck, Domain, DomainInterface, FeatureReport,
    GetCapabilitiesRequest, GetCapabilitiesResponse, GetStatisticsRequest, GetStatisticsResponse, HostObject,
    InterfaceAction, InterfaceOutcome, InterfaceStatistics, ListTransactionsRequest, ListTransactionsResponse, Network,
    NetworkReport, ObjectKind, ObjectRemoved, Outcome, PlanStep, SetDomainInterfacesRequest,
    SetDomainInterfacesResponse, SetupNetworksRequest, SetupNetworksResponse, SetupNetworksResult, SnapshotDone,
    StepDone, Support, Transaction, TransactionAccepted, TransactionConfirmed, WatchBookmark, WatchHostRequest,
    WatchHostResponse,
};
use trestle_proto::status::Refusal;

use crate::harness::{Running, serve};

/// The agent; clones share what they know.
#[derive(Clone, Default)]
pub(crate) struct Agent {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    confirmed: Notify,
    confirmations: AtomicUsize,
    refuses_confirmation: AtomicBool,
    refusals: AtomicUsize,
}

impl Agent {
    pub(crate) async fn start(&self, socket: &str) -> Running {
        serve(socket, |services| services.with(HostAgentServer::new(self.clone()))).await
    }

    pub(crate) fn refuse_confirmation(&self) {
        self.state.refuses_confirmation.store(true, Ordering::Relaxed);
    }

    pub(crate) fn confirmations(&self) -> usize {
        self.state.confirmations.load(Ordering::Relaxed)
    }

    /// How often a change was refused because the store is full.
    pub(crate) fn refusals(&self) -> usize {
        self.state.refusals.load(Ordering::Relaxed)
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<SetupNetworksResponse, Status>> + Send>>;

fn ended(outcome: Outcome, request: &SetupNetworksRequest) -> Event {
    let text = "create bridge blue".to_owned();
    let step = PlanStep { text, reason: "blue is asked for".to_owned(), disrupts: true, guests: vec![] };
    let mut result = SetupNetworksResult {
        transaction_id: request.request_id.clone(),
        steps: vec![step],
        committed: request.commit_on_success && outcome == Outcome::Applied,
        ..SetupNetworksResult::default()
    };
    result.set_outcome(outcome);
    Event::Result(result)
}

#[tonic::async_trait]
impl HostAgent for Agent {
    type SetupNetworksStream = Events;
    type WatchHostStream = Pin<Box<dyn Stream<Item = Result<WatchHostResponse, Status>> + Send>>;

    async fn watch_host(&self, request: Request<WatchHostRequest>) -> Result<Response<Self::WatchHostStream>, Status> {
        let request = request.into_inner();
        if !request.resume_token.is_empty() {
            return Err(Refusal::from(Finding::error(Code::ResumeTokenExpired, "", "watch again")).into());
        }
        let bridge = BridgeDevice { name: "blue".to_owned(), up: true, mtu: 1500, ..BridgeDevice::default() };
        let removed = ObjectRemoved { kind: ObjectKind::Port.into(), name: "vnet0".to_owned() };
        let news = [
            NewsEvent::Object(HostObject { value: Some(Value::Bridge(bridge)) }),
            NewsEvent::SnapshotDone(SnapshotDone {}),
            NewsEvent::Bookmark(WatchBookmark {}),
            NewsEvent::Removed(removed),
        ];
        let news = news.map(|event| Ok(WatchHostResponse { resume_token: "r.1".to_owned(), event: Some(event) }));
        Ok(Response::new(futures_util::stream::iter(news).boxed()))
    }

    async fn setup_networks(&self, request: Request<SetupNetworksRequest>) -> Result<Response<Events>, Status> {
        let request = request.into_inner();
        if request.networks.iter().any(|network| network.southbound == Some(Southbound::Nic("missing0".to_owned()))) {
            let finding = Finding::error(Code::NicNotFound, "networks[0].nic", "the host has no such device");
            return Err(Refusal::from(finding).into());
        }
        if request.networks.iter().any(|network| network.southbound == Some(Southbound::Nic("full0".to_owned()))) {
            self.state.refusals.fetch_add(1, Ordering::Relaxed);
            let finding = Finding::error(Code::StoreFailed, "", "store in /data cannot be used: no storage space");
            return Err(Refusal::from(finding).into());
        }
        let (sender, events) = mpsc::channel(16);
        let state = Arc::clone(&self.state);
        if request.validate_only {
            sender.send(ended(Outcome::Validated, &request)).await.unwrap();
        } else {
            let id = request.request_id.clone();
            let text = "create bridge blue".to_owned();
            let begun = [
                Event::Accepted(TransactionAccepted { transaction_id: id.clone(), steps: 1 }),
                Event::StepDone(StepDone { number: 1, of: 1, text }),
            ];
            for event in begun {
                sender.send(event).await.unwrap();
            }
            if request.connectivity_check() == ConnectivityCheck::None {
                sender.send(ended(Outcome::Applied, &request)).await.unwrap();
            } else {
                let timeout = request.connectivity_timeout;
                sender
                    .send(Event::AwaitingConfirmation(AwaitingConfirmation { transaction_id: id, timeout }))
                    .await
                    .unwrap();
                let waiting = async move {
                    state.confirmed.notified().await;
                    if state.refuses_confirmation.load(Ordering::Relaxed) {
                        drop(sender.send(ended(Outcome::RolledBack, &request)).await);
                    } else {
                        drop(sender.send(Event::Confirmed(TransactionConfirmed {})).await);
                        drop(sender.send(ended(Outcome::Applied, &request)).await);
                    }
                };
                let waiting = futures_util::stream::once(waiting).filter_map(async |()| None::<Event>);
                let events = futures_util::stream::select(ReceiverStream::new(events), waiting);
                return Ok(Response::new(events.map(wrap).boxed()));
            }
        }
        drop(sender);
        Ok(Response::new(ReceiverStream::new(events).map(wrap).boxed()))
    }

    async fn get_capabilities(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesResponse>, Status> {
        let configured = Network { name: "blue".to_owned(), manage_macs_with_libvirt: true, ..Network::default() };
        let network = NetworkReport {
            configured: Some(configured),
            manage_macs_with_libvirt: true,
            device: "blue".to_owned(),
            mtu: Some(1500),
            ..NetworkReport::default()
        };
        let mut feature = FeatureReport { name: "bridge_vlan_filtering".to_owned(), ..FeatureReport::default() };
        feature.set_support(Support::Present);
        let masked = request.into_inner().read_mask.is_some_and(|mask| mask.paths == ["features"]);
        let networks = if masked { vec![] } else { vec![network] };
        let capabilities = Capabilities { networks, features: vec![feature], ..Capabilities::default() };
        Ok(Response::new(GetCapabilitiesResponse { capabilities: Some(capabilities) }))
    }

    /// Says what it was asked for: an interface of a model that it lacks is refused.
    async fn set_domain_interfaces(
        &self,
        request: Request<SetDomainInterfacesRequest>,
    ) -> Result<Response<SetDomainInterfacesResponse>, Status> {
        let request = request.into_inner();
        if let Some(wanted) = request.set.iter().find(|wanted| wanted.model == "e1000") {
            let finding = Finding::error(Code::ReplugNeeded, "set[0].model", "it runs").about(&wanted.mac);
            return Err(Refusal::from(finding).into());
        }
        let mut interfaces = Vec::new();
        let mut outcome = |mac: &str, action: InterfaceAction| {
            interfaces.push(InterfaceOutcome { mac: mac.to_owned(), action: action.into() });
        };
        request.remove.iter().for_each(|mac| outcome(mac, InterfaceAction::Unplugged));
        request.set.iter().for_each(|wanted| outcome(&wanted.mac, InterfaceAction::Plugged));
        let wired = request.set.iter().map(|wanted| DomainInterface {
            mac: wanted.mac.clone(),
            network: wanted.network.clone(),
            linked: wanted.linked(),
            filter: wanted.filter.clone(),
            ..DomainInterface::default()
        });
        let domain = Domain { name: request.domain, interfaces: wired.collect(), ..Domain::default() };
        Ok(Response::new(SetDomainInterfacesResponse { domain: Some(domain), interfaces, findings: Vec::new() }))
    }

    async fn get_statistics(
        &self,
        request: Request<GetStatisticsRequest>,
    ) -> Result<Response<GetStatisticsResponse>, Status> {
        let names = request.into_inner().names;
        let counted = |name: String| InterfaceStatistics { name, rx_bytes: 1234, ..InterfaceStatistics::default() };
        let interfaces = names.into_iter().map(counted).collect();
        Ok(Response::new(GetStatisticsResponse { interfaces, read_time: None }))
    }

    async fn confirm_networks(
        &self,
        request: Request<ConfirmNetworksRequest>,
    ) -> Result<Response<ConfirmNetworksResponse>, Status> {
        assert_eq!(request.get_ref().transaction_id.len(), 36, "a UUID");
        self.state.confirmations.fetch_add(1, Ordering::Relaxed);
        self.state.confirmed.notify_one();
        if self.state.refuses_confirmation.load(Ordering::Relaxed) {
            let finding = Finding::error(Code::ConfirmationRefused, "transaction_id", "came over the old connection");
            return Err(Refusal::from(finding).into());
        }
        Ok(Response::new(ConfirmNetworksResponse {}))
    }

    async fn list_transactions(
        &self,
        request: Request<ListTransactionsRequest>,
    ) -> Result<Response<ListTransactionsResponse>, Status> {
        let ListTransactionsRequest { page_size, page_token } = request.into_inner();
        assert!((1..=1000).contains(&page_size), "{page_size}");
        // Pages of one, whatever is asked for.
        let (number, next_page_token) =
            if page_token.is_empty() { (2, "older".to_owned()) } else { (1, String::new()) };
        let asked = Network { name: format!("net{number}"), remove: number == 2, ..Network::default() };
        let mut result = SetupNetworksResult { committed: true, ..SetupNetworksResult::default() };
        result.set_outcome(Outcome::Applied);
        let transaction = Transaction {
            transaction_id: format!("id{number}"),
            actor: "user/ada".to_owned(),
            end_time: Some(prost_types::Timestamp { seconds: 1_700_000_000 + number, nanos: 0 }),
            request: Some(SetupNetworksRequest { networks: vec![asked], ..SetupNetworksRequest::default() }),
            result: Some(result),
            ..Transaction::default()
        };
        Ok(Response::new(ListTransactionsResponse { transactions: vec![transaction], next_page_token }))
    }

    async fn commit_networks(
        &self,
        _: Request<CommitNetworksRequest>,
    ) -> Result<Response<CommitNetworksResponse>, Status> {
        Ok(Response::new(CommitNetworksResponse { persistent_hash: "c0ffee".to_owned() }))
    }
}

fn wrap(event: Event) -> Result<SetupNetworksResponse, Status> {
    Ok(SetupNetworksResponse { event: Some(event) })
}
