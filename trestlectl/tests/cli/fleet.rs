//! A small engine in memory: keeps resources, knows two rules, and has hosts that behave as the test says.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use prost_reflect::{DynamicMessage, Value};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tower::Service;
use trestle_model::{Code, Finding};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::check_service_server::CheckServiceServer;
use trestle_proto::engine::v1::watch_hosts_response::Event;
use trestle_proto::engine::v1::watch_response::News;
use trestle_proto::engine::v1::watch_service_server::WatchServiceServer;
use trestle_proto::filter::Filter;
use trestle_proto::finding_wire;
use trestle_proto::host::v1::setup_networks_response::Event as Step;
use trestle_proto::host::v1::{Outcome, SetupNetworksResponse, SetupNetworksResult, StepDone, TransactionAccepted};
use trestle_proto::schema;
use trestle_proto::status::Refusal;
use trestlectl::kind::{Kind, id_of, parent_of};

use crate::harness::{Running, serve};
use crate::wire::ServerCodec;

/// Fewer than any test's resources, so that every list has pages.
const PAGE: usize = 2;

/// What a host makes of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It becomes what is wanted, once somebody has asked how it is.
    #[default]
    Applies,
    /// It puts itself back, once somebody has asked how it is.
    Fails,
    /// It never ends.
    Hangs,
    /// It has no session.
    Away,
}

/// The engine; clones share what they know.
#[derive(Clone)]
pub(crate) struct Fleet {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<wire::WatchHostsResponse>,
}

#[derive(Default)]
struct State {
    resources: BTreeMap<String, DynamicMessage>,
    revision: u64,
    behaviours: BTreeMap<String, Behaviour>,
    log: Vec<String>,
    request_ids: Vec<String>,
    traces: Vec<String>,
    /// How many more calls are answered UNAVAILABLE.
    absent: usize,
    /// Interfaces of nobody's, of every host.
    unmanaged: Vec<wire::UnmanagedInterface>,
    /// What the next watches tell, and what was asked of those so far.
    scripts: Vec<Vec<News>>,
    watches: Vec<wire::WatchRequest>,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), events: broadcast::channel(256).0 }
    }

    pub(crate) async fn start(&self) -> Running {
        serve("127.0.0.1:0", |services| {
            services
                .with(Served::<0>(self.clone()))
                .with(Served::<1>(self.clone()))
                .with(Served::<2>(self.clone()))
                .with(Served::<3>(self.clone()))
                .with(Served::<4>(self.clone()))
                .with(Served::<5>(self.clone()))
                .with(Served::<6>(self.clone()))
                .with(Served::<7>(self.clone()))
                .with(Served::<8>(self.clone()))
                .with(WatchServiceServer::new(self.clone()))
                .with(CheckServiceServer::new(self.clone()))
                .with(Served::<9>(self.clone()))
        })
        .await
    }

    pub(crate) fn behave(&self, host: &str, behaviour: Behaviour) {
        self.lock().behaviours.insert(host.to_owned(), behaviour);
    }

    pub(crate) fn be_absent(&self, calls: usize) {
        self.lock().absent = calls;
    }

    /// Gives a resource a status.
    pub(crate) fn observe(&self, name: &str, full_name: &str, status: &impl prost::Message) {
        let status = schema::dynamic(full_name, status);
        let mut state = self.lock();
        state.resources.get_mut(name).unwrap().set_field_by_name("status", Value::Message(status));
    }

    /// Makes these all the interfaces of nobody's.
    pub(crate) fn plug(&self, unmanaged: Vec<wire::UnmanagedInterface>) {
        self.lock().unmanaged = unmanaged;
    }

    /// Makes this what the next watches tell, in their order.
    pub(crate) fn script(&self, scripts: Vec<Vec<News>>) {
        self.lock().scripts = scripts;
    }

    /// Notes a watch, and returns what it tells.
    pub(crate) fn next_script(&self, asked: wire::WatchRequest) -> Option<Vec<News>> {
        let mut state = self.lock();
        state.watches.push(asked);
        (!state.scripts.is_empty()).then(|| state.scripts.remove(0))
    }

    /// Returns what watches asked for so far.
    pub(crate) fn watches(&self) -> Vec<wire::WatchRequest> {
        self.lock().watches.clone()
    }

    /// Returns the writes so far, e.g. `UpdateNetwork networks/blue`.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    pub(crate) fn request_ids(&self) -> Vec<String> {
        self.lock().request_ids.clone()
    }

    /// Returns the trace ids of all calls so far.
    pub(crate) fn traces(&self) -> Vec<String> {
        self.lock().traces.clone()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.lock().resources.contains_key(name)
    }

    /// Makes a fleet of its own with the same resources.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        copy.lock().resources = self.lock().resources.clone();
        copy.lock().revision = self.lock().revision;
        copy
    }

    pub(crate) fn resource(&self, name: &str) -> Option<DynamicMessage> {
        self.lock().resources.get(name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn answer(&self, kind: Kind, method: &str, request: &DynamicMessage) -> Result<DynamicMessage, Status> {
        let mut answer = DynamicMessage::new(schema::message(&format!("trestle.engine.v1.{method}Response")));
        if method == "ListUnmanagedInterfaces" {
            return Ok(self.list_unmanaged(request));
        } else if method == "ListPlacements" {
            return Ok(self.list_placements(request));
        } else if method.starts_with("List") {
            self.list(kind, request, &mut answer)?;
        } else if method.starts_with("Get") {
            answer.set_field_by_name(kind.field(), Value::Message(self.get(kind, &text(request, "name"))?));
        } else if method.starts_with("Update") {
            self.update(kind, method, request, &mut answer)?;
        } else {
            self.delete(kind, method, request)?;
        }
        Ok(answer)
    }

    fn list(&self, kind: Kind, request: &DynamicMessage, answer: &mut DynamicMessage) -> Result<(), Status> {
        let filter = Filter::parse(&text(request, "filter"), &format!("trestle.engine.v1.{kind}"));
        let filter = filter.map_err(Refusal::malformed)?;
        let (parent, token) = (text(request, "parent"), text(request, "page_token"));
        let state = self.lock();
        let listed = state.resources.iter().filter(|(name, resource)| {
            Kind::of_name(name) == Some(kind)
                && parent_of(name).unwrap_or_default() == parent
                && **name > token
                && filter.as_ref().is_none_or(|filter| filter.matches(resource))
        });
        let mut page: Vec<_> = listed.take(PAGE + 1).map(|(_, resource)| resource.clone()).collect();
        if page.len() > PAGE {
            page.truncate(PAGE);
            let last = page.last().map(|resource| text(resource, "name")).unwrap_or_default();
            answer.set_field_by_name("next_page_token", Value::String(last));
        }
        let page = page.into_iter().map(Value::Message).collect();
        answer.set_field_by_name(&format!("{}s", kind.field()), Value::List(page));
        Ok(())
    }

    /// One a page, with the position as the token.
    fn list_unmanaged(&self, request: &DynamicMessage) -> DynamicMessage {
        let wish: wire::ListUnmanagedInterfacesRequest = schema::typed(request);
        let start: usize = wish.page_token.parse().unwrap_or_default();
        let is_of = |one: &&wire::UnmanagedInterface| {
            wish.parent.is_empty() || one.seen.as_ref().is_some_and(|seen| seen.host == wish.parent)
        };
        let state = self.lock();
        let mut rest = state.unmanaged.iter().filter(is_of).skip(start);
        let unmanaged_interfaces = rest.next().into_iter().cloned().collect();
        let next_page_token = rest.next().map(|_| (start + 1).to_string()).unwrap_or_default();
        let answer = wire::ListUnmanagedInterfacesResponse { unmanaged_interfaces, next_page_token };
        schema::dynamic("trestle.engine.v1.ListUnmanagedInterfacesResponse", &answer)
    }

    /// Every host there is, one a page, with as many findings as vNICs were asked for.
    fn list_placements(&self, request: &DynamicMessage) -> DynamicMessage {
        let wish: wire::ListPlacementsRequest = schema::typed(request);
        let state = self.lock();
        let is_wanted = |name: &&String| wish.hosts.is_empty() || wish.hosts.contains(name);
        let hosts = state.resources.keys().filter(|name| Kind::of_name(name) == Some(Kind::Host));
        let mut rest = hosts.filter(is_wanted).filter(|name| **name > wish.page_token);
        let subject = format!("{}{}", wish.vm, wish.cluster);
        let finding = |vnic: &wire::VnicSpec| {
            let message = format!("{subject}: nothing for {}", vnic.profile);
            finding_wire::build(&Finding::error(Code::NetworkOutOfSync, "", message))
        };
        let place = |host: &String| wire::Placement {
            host: host.clone(),
            eligible: wish.vnics.is_empty(),
            findings: wish.vnics.iter().map(finding).collect(),
        };
        let placements: Vec<_> = rest.next().map(place).into_iter().collect();
        let next_page_token = rest.next().and_then(|_| placements.last()).map(|last| last.host.clone());
        let answer = wire::ListPlacementsResponse { placements, next_page_token: next_page_token.unwrap_or_default() };
        schema::dynamic("trestle.engine.v1.ListPlacementsResponse", &answer)
    }

    fn get(&self, kind: Kind, name: &str) -> Result<DynamicMessage, Status> {
        let found = self.lock().resources.get(name).cloned();
        let found = found.ok_or_else(|| refusal(Finding::error(Code::NotFound, "name", "is not there").about(name)))?;
        if kind == Kind::Host {
            self.ask(name);
        }
        Ok(found)
    }

    fn update(
        &self,
        kind: Kind,
        method: &str,
        request: &DynamicMessage,
        answer: &mut DynamicMessage,
    ) -> Result<(), Status> {
        assert_eq!(request.get_field_by_name("allow_missing").unwrap().as_bool(), Some(true));
        let mut resource = request.get_field_by_name(kind.field()).unwrap().as_message().unwrap().clone();
        let name = text(&resource, "name");
        self.rules(kind, &resource)?;
        let mut state = self.lock();
        state.log.push(format!("{method} {name}"));
        state.request_ids.push(text(request, "request_id"));
        let before = state.resources.get(&name).cloned();
        let spec = resource.get_field_by_name("spec").unwrap().into_owned();
        let same = before.as_ref().is_some_and(|before| *before.get_field_by_name("spec").unwrap() == spec);
        if same {
            resource = before.unwrap();
        } else {
            state.revision += 1;
            resource.set_field_by_name("etag", Value::String(state.revision.to_string()));
            if kind == Kind::Host {
                let connected = state.behaviours.get(&name) != Some(&Behaviour::Away);
                put_status(&mut resource, &status(connected, wire::Sync::InSync));
            }
            state.resources.insert(name.clone(), resource.clone());
        }
        drop(state);
        if !same && kind == Kind::NetworkAttachment {
            self.change(parent_of(&name).unwrap(), wire::Sync::Pending, None);
        }
        answer.set_field_by_name(kind.field(), Value::Message(resource));
        Ok(())
    }

    fn delete(&self, kind: Kind, method: &str, request: &DynamicMessage) -> Result<(), Status> {
        let name = text(request, "name");
        self.get(kind, &name)?;
        let users: Vec<_> = self.lock().resources.keys().filter(|user| uses(user, &name)).cloned().collect();
        if !users.is_empty() {
            return Err(refusal(Finding::error(Code::InUse, "name", "is in use").about(&name).related(users)));
        }
        let mut state = self.lock();
        state.resources.remove(&name);
        state.log.push(format!("{method} {name}"));
        Ok(())
    }

    /// The two rules: a profile without a filter has no place on a managed network, and references are to what is there.
    fn rules(&self, kind: Kind, resource: &DynamicMessage) -> Result<(), Status> {
        let name = text(resource, "name");
        if let Some(parent) = parent_of(&name)
            && !self.has(parent)
        {
            return Err(refusal(Finding::error(Code::NotFound, "name", "its parent is not there").about(parent)));
        }
        if kind == Kind::VnicProfile {
            let profile: wire::VnicProfile = schema::typed(resource);
            let network = self.lock().resources.get(parent_of(&name).unwrap()).map(schema::typed::<wire::Network>);
            let managed = network.and_then(|network| network.spec).is_some_and(|spec| spec.manage_macs_with_libvirt);
            let filter = profile.spec.and_then(|spec| spec.network_filter).and_then(|filter| filter.choice);
            if managed && filter == Some(wire::network_filter::Choice::None(true)) {
                let conflict = Finding::error(
                    Code::MacSpoofConflict,
                    "vnic_profile.spec.network_filter",
                    "lets guests spoof MACs on a network whose MACs libvirt manages",
                );
                let conflict = conflict.about(&name).related([parent_of(&name).unwrap().to_owned()]);
                return Err(refusal(conflict.remedy("keep the default filter")));
            }
        }
        Ok(())
    }

    /// Lets a host that was asked about go on with what it has to do.
    fn ask(&self, host: &str) {
        let (pending, behaviour) = {
            let state = self.lock();
            let status = state.resources.get(host).map(schema::typed::<wire::Host>).and_then(|host| host.status);
            let pending = status.is_some_and(|status| status.sync() == wire::Sync::Pending);
            (pending, state.behaviours.get(host).copied().unwrap_or_default())
        };
        match behaviour {
            Behaviour::Applies | Behaviour::Fails if pending => {
                self.progress(host, Step::Accepted(TransactionAccepted { transaction_id: "t".to_owned(), steps: 1 }));
                let text = "create bridge blue".to_owned();
                self.progress(host, Step::StepDone(StepDone { number: 1, of: 1, text }));
                if behaviour == Behaviour::Applies {
                    self.change(host, wire::Sync::InSync, None);
                } else {
                    let cause = Finding::error(Code::NotFound, "", "nobody confirmed");
                    let mut result = SetupNetworksResult {
                        cause: Some(trestle_proto::finding_wire::build(&cause)),
                        ..SetupNetworksResult::default()
                    };
                    result.set_outcome(Outcome::RolledBack);
                    self.change(host, wire::Sync::Failed, Some(result));
                }
            }
            Behaviour::Applies | Behaviour::Fails | Behaviour::Hangs | Behaviour::Away => {}
        }
    }

    fn change(&self, host: &str, sync: wire::Sync, last_result: Option<SetupNetworksResult>) {
        let mut state = self.lock();
        let connected = state.behaviours.get(host) != Some(&Behaviour::Away);
        let attached: Vec<_> = state.resources.keys().filter(|name| parent_of(name) == Some(host)).cloned().collect();
        let Some(resource) = state.resources.get_mut(host) else { return };
        let mut status = wire::HostStatus { last_result, ..status(connected, sync) };
        status.networks = attached
            .iter()
            .map(|name| wire::NetworkSync {
                network: format!("networks/{}", id_of(name)),
                sync: sync.into(),
                differences: if sync == wire::Sync::InSync { vec![] } else { vec!["is not on the host".to_owned()] },
                left_alone: if sync == wire::Sync::InSync { vec!["two guests share a MAC".to_owned()] } else { vec![] },
            })
            .collect();
        put_status(resource, &status);
        let host = schema::typed(resource);
        drop(state);
        drop(self.events.send(wire::WatchHostsResponse { event: Some(Event::Host(host)) }));
    }

    fn progress(&self, host: &str, step: Step) {
        let event = Some(SetupNetworksResponse { event: Some(step) });
        let progress = wire::HostProgress { host: host.to_owned(), event };
        drop(self.events.send(wire::WatchHostsResponse { event: Some(Event::Progress(progress)) }));
    }

    fn watch(&self) -> BoxStream<'static, Result<DynamicMessage, Status>> {
        let live = BroadcastStream::new(self.events.subscribe()).map(Result::unwrap);
        let hosts = self.lock().resources.clone();
        let hosts = hosts.into_iter().filter(|(name, _)| Kind::Host.names(name));
        let hosts = hosts.map(|(_, host)| Event::Host(schema::typed(&host))).collect::<Vec<_>>();
        let snapshots = hosts.into_iter().chain([Event::Bookmark(wire::Bookmark { generation: 1 })]);
        let snapshots = snapshots.map(|event| wire::WatchHostsResponse { event: Some(event) });
        let all = stream::iter(snapshots).chain(live);
        all.map(|response| Ok(schema::dynamic("trestle.engine.v1.WatchHostsResponse", &response))).boxed()
    }
}

fn refusal(finding: Finding) -> Status {
    Refusal::from(finding).into()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A resource is used by its parts, and by those that have its id as their own.
fn uses(user: &str, name: &str) -> bool {
    let attachment = matches!(Kind::of_name(user), Some(Kind::ClusterNetwork | Kind::NetworkAttachment));
    parent_of(user) == Some(name) || (attachment && Kind::Network.names(name) && id_of(user) == id_of(name))
}

fn status(connected: bool, sync: wire::Sync) -> wire::HostStatus {
    let connection = if connected { wire::Connection::Connected } else { wire::Connection::Disconnected };
    wire::HostStatus { connection: connection.into(), sync: sync.into(), ..wire::HostStatus::default() }
}

fn put_status(host: &mut DynamicMessage, status: &wire::HostStatus) {
    host.set_field_by_name("status", Value::Message(schema::dynamic("trestle.engine.v1.HostStatus", status)));
}

/// One of the engine's services, by the position of its kind.
#[derive(Clone)]
struct Served<const KIND: usize>(Fleet);

macro_rules! named {
    ($($kind:literal $name:literal)*) => {
        $(impl NamedService for Served<$kind> {
            const NAME: &'static str = concat!("trestle.engine.v1.", $name);
        })*
    };
}
named! {
    0 "MacPoolService" 1 "ClusterService" 2 "NetworkService" 3 "ClusterNetworkService" 4 "VnicProfileService"
    5 "HostService" 6 "BondService" 7 "NetworkAttachmentService" 8 "VmService" 9 "VnicService"
}

impl<const KIND: usize> Service<http::Request<Body>> for Served<KIND> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let fleet = self.0.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
            let trace = traceparent.and_then(|value| value.split('-').nth(1)).unwrap_or_default().to_owned();
            {
                let mut state = fleet.lock();
                state.traces.push(trace);
                if state.absent > 0 {
                    state.absent -= 1;
                    return Ok(Status::unavailable("away for a moment").into_http());
                }
            }
            let codec = ServerCodec(schema::message(&format!("trestle.engine.v1.{method}Request")));
            let call = Call { fleet, kind: Kind::ALL[KIND], method };
            let mut grpc = Grpc::new(codec);
            Ok(if call.method == "WatchHosts" {
                grpc.server_streaming(call, request).await
            } else {
                grpc.unary(call, request).await
            })
        })
    }
}

struct Call {
    fleet: Fleet,
    kind: Kind,
    method: String,
}

type Answer<T> = std::future::Ready<Result<Response<T>, Status>>;

impl UnaryService<DynamicMessage> for Call {
    type Response = DynamicMessage;
    type Future = Answer<DynamicMessage>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let answer = self.fleet.answer(self.kind, &self.method, request.get_ref());
        std::future::ready(answer.map(Response::new))
    }
}

impl ServerStreamingService<DynamicMessage> for Call {
    type Response = DynamicMessage;
    type ResponseStream = BoxStream<'static, Result<DynamicMessage, Status>>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, _: Request<DynamicMessage>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.fleet.watch())))
    }
}
