use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use trestle_fake_host::FakeHost;
use trestle_proto::FILE_DESCRIPTOR_SET;
use trestle_proto::host::v1 as host_wire;
use trestle_proto::host::v1::Outcome;
use trestle_proto::host::v1::setup_networks_response::Event as Sign;
use trestle_proto::session::v1::agent_message::Kind as Said;
use trestle_proto::session::v1::agent_session_server::{AgentSession, AgentSessionServer};
use trestle_proto::session::v1::command::Kind as Order;
use trestle_proto::session::v1::command_result::End;
use trestle_serve::{ListenAddress, Listener, Reflection, Server, ServerIdentity, ServerOptions, Services};
use uuid::Uuid;

use super::*;
use crate::trial::{BOUND, Bench, host};

/// An engine that does what the test says.
struct Engine {
    calls: mpsc::Receiver<Call>,
    target: Target,
    _server: JoinSet<()>,
}

/// One connection of the agent.
#[derive(Debug)]
struct Call {
    from: Streaming<wire::AgentMessage>,
    to: mpsc::Sender<Result<wire::EngineMessage, Status>>,
}

struct Switchboard(mpsc::Sender<Call>);

#[tonic::async_trait]
impl AgentSession for Switchboard {
    type ConnectStream = ReceiverStream<Result<wire::EngineMessage, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (to, answers) = mpsc::channel(64);
        let call = Call { from: request.into_inner(), to };
        self.0.send(call).await.map_err(|_| Status::unavailable("the test has ended"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

impl Engine {
    async fn start() -> Self {
        let (incoming, calls) = mpsc::channel(8);
        let services = Services::new(&[FILE_DESCRIPTOR_SET], Reflection::Off).unwrap();
        let services = services.with(AgentSessionServer::new(Switchboard(incoming)));
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let ListenAddress::Tcp(address) = listener.address() else { panic!("no TCP address") };
        let deadlines = trestle_serve::deadline::Limits {
            long_lived: ["/trestle.session.v1.AgentSession/Connect".to_owned()].into(),
            ..trestle_serve::deadline::Limits::default()
        };
        let server = Server::new(services, ServerOptions { deadlines, ..ServerOptions::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(server.run(vec![listener], CancellationToken::new()).await) });
        Self { calls, target: format!("http://{address}").parse().unwrap(), _server: tasks }
    }

    /// Waits for the agent to call, without answering.
    async fn call(&mut self) -> (Call, wire::Hello) {
        let mut call = timeout(BOUND, self.calls.recv()).await.expect("the agent does not call").unwrap();
        let Said::Hello(hello) = call.hear().await else { panic!("the first message is no hello") };
        (call, hello)
    }

    /// Waits for the agent to call, and welcomes it.
    async fn welcome(&mut self) -> (Call, wire::Hello) {
        let (call, hello) = self.call().await;
        call.welcome(1).await;
        (call, hello)
    }
}

impl Call {
    async fn hear(&mut self) -> Said {
        let message = timeout(BOUND, self.from.message()).await.expect("the agent is silent").unwrap();
        message.expect("the agent hung up").kind.expect("a message without a kind")
    }

    async fn say(&self, kind: Kind) {
        self.to.send(Ok(wire::EngineMessage { trace: None, kind: Some(kind) })).await.unwrap();
    }

    async fn welcome(&self, epoch: u64) {
        let welcome = wire::Welcome { protocol: 1, fencing_epoch: epoch, engine_version: "test".to_owned() };
        self.say(Kind::Welcome(welcome)).await;
    }

    async fn order(&self, order: Order) -> String {
        let command_id = Uuid::new_v4().to_string();
        self.order_again(&command_id, order).await;
        command_id
    }

    async fn order_again(&self, command_id: &str, order: Order) {
        let command = wire::Command { command_id: command_id.to_owned(), timeout: None, kind: Some(order) };
        self.say(Kind::Command(command)).await;
    }

    async fn result(&mut self) -> wire::CommandResult {
        loop {
            if let Said::Result(result) = self.hear().await {
                return result;
            }
        }
    }

    async fn report(&mut self) -> host_wire::Capabilities {
        loop {
            if let Said::Report(report) = self.hear().await {
                return report.capabilities.unwrap();
            }
        }
    }

    async fn confirm(&self, transaction_id: &str, nonce: &[u8]) {
        self.say(Kind::Confirm(wire::Confirm { transaction_id: transaction_id.to_owned(), nonce: nonce.to_vec() }))
            .await;
    }

    /// Waits until the agent waits for a confirmation, and returns the transaction.
    async fn awaiting(&mut self) -> String {
        loop {
            if let Said::Progress(progress) = self.hear().await
                && let Some(Sign::AwaitingConfirmation(awaiting)) = progress.event.and_then(|event| event.event)
            {
                return awaiting.transaction_id;
            }
        }
    }
}

/// An agent that dials the engine of the test.
struct Agents {
    bench: Bench<FakeHost>,
    notices: watch::Sender<u64>,
    session: JoinSet<()>,
}

async fn dial(engine: &Engine, host: FakeHost) -> Agents {
    let bench = Bench::new(host).await;
    let (notices, noticed) = watch::channel(0);
    let options = Options {
        host: HostName::parse("host-a").unwrap(),
        target: engine.target.clone(),
        client: ClientOptions::new(None, ServerIdentity::Engine),
        report_period: Duration::from_secs(600),
    };
    let mut session = JoinSet::new();
    session.spawn(Session::new(bench.agent.clone(), options, noticed).run(bench.stop.clone()));
    Agents { bench, notices, session }
}

fn setup(check: host_wire::ConnectivityCheck, name: &str) -> Order {
    Order::SetupNetworks(host_wire::SetupNetworksRequest {
        networks: vec![host_wire::Network {
            name: name.to_owned(),
            southbound: Some(host_wire::network::Southbound::Nic("eth1".to_owned())),
            ..host_wire::Network::default()
        }],
        connectivity_check: check.into(),
        fencing_epoch: 1,
        generation: 3,
        ..host_wire::SetupNetworksRequest::default()
    })
}

fn outcome(result: &wire::CommandResult) -> Outcome {
    match &result.end {
        Some(End::SetupNetworks(result)) => result.outcome(),
        end => panic!("{end:?}"),
    }
}

fn refusal(result: &wire::CommandResult) -> Code {
    match &result.end {
        Some(End::Refusal(refusal)) => Code::from_i32(refusal.code),
        end => panic!("{end:?}"),
    }
}

#[tokio::test]
async fn the_agent_says_who_it_is_and_reports() {
    let mut engine = Engine::start().await;
    let agents = dial(&engine, host()).await;
    let (mut call, hello) = engine.welcome().await;
    assert_eq!((hello.host.as_str(), hello.protocol, hello.boot_id.as_str()), ("host-a", 1, "boot-1"));
    assert_eq!(hello.confirming, None);
    let first = call.report().await;
    assert_eq!(first.running_hash, hello.running_hash);

    agents.bench.apply(crate::trial::set(crate::trial::network("blue", "eth1"))).await;
    let after = call.report().await;
    assert_eq!((after.networks.len(), after.dirty), (1, true));
}

#[tokio::test]
async fn a_change_on_the_host_is_reported_once() {
    let mut engine = Engine::start().await;
    let host = host();
    let agents = dial(&engine, host.clone()).await;
    let (mut call, _) = engine.welcome().await;
    assert_eq!(call.report().await.nics.len(), 2);
    host.change(|world| world.plug_nic("eth2"));
    for _ in 0..5 {
        agents.notices.send_modify(|count| *count += 1);
    }
    assert_eq!(call.report().await.nics.len(), 3);
    let id = call.order(Order::GetCapabilities(host_wire::GetCapabilitiesRequest::default())).await;
    assert!(matches!(call.hear().await, Said::Ack(ack) if ack.command_id == id));
    assert!(matches!(call.result().await.end, Some(End::GetCapabilities(_))));
}

#[tokio::test]
async fn a_command_is_acknowledged_carried_out_and_answered() {
    let mut engine = Engine::start().await;
    let _agents = dial(&engine, host()).await;
    let (mut call, _) = engine.welcome().await;
    call.report().await;
    let id = call.order(setup(host_wire::ConnectivityCheck::None, "blue")).await;
    assert!(matches!(call.hear().await, Said::Ack(ack) if ack.command_id == id));
    let mut signs = 0;
    let result = loop {
        match call.hear().await {
            Said::Progress(progress) if progress.command_id == id => signs += 1,
            Said::Result(result) => break result,
            Said::Report(_) => {}
            other @ (Said::Hello(_) | Said::Ack(_) | Said::Progress(_)) => panic!("{other:?}"),
        }
    };
    assert_eq!((result.command_id.as_str(), outcome(&result)), (id.as_str(), Outcome::Applied));
    assert!(signs > 2, "{signs} signs of life");
    let commit = call.order(Order::CommitNetworks(host_wire::CommitNetworksRequest {})).await;
    let (mut is_answered, mut is_reported) = (false, false);
    while !(is_answered && is_reported) {
        match call.hear().await {
            Said::Result(result) => {
                assert_eq!(result.command_id, commit);
                is_answered = matches!(result.end, Some(End::CommitNetworks(_)));
            }
            Said::Report(wire::Report { capabilities: Some(report) }) => {
                is_reported = report.generation == 3 && !report.dirty;
            }
            Said::Hello(_) | Said::Ack(_) | Said::Progress(_) | Said::Report(_) => {}
        }
    }
}

#[tokio::test]
async fn what_cannot_be_carried_out_is_refused_with_a_reason() {
    let mut engine = Engine::start().await;
    let _agents = dial(&engine, host()).await;
    let (mut call, _) = engine.welcome().await;
    for (order, code) in [
        (setup(host_wire::ConnectivityCheck::None, "a b"), Code::InvalidArgument),
        (
            Order::SetupNetworks(host_wire::SetupNetworksRequest {
                networks: vec![host_wire::Network {
                    name: "blue".to_owned(),
                    remove: true,
                    ..host_wire::Network::default()
                }],
                ..host_wire::SetupNetworksRequest::default()
            }),
            Code::Aborted,
        ),
        (
            Order::GetCapabilities(host_wire::GetCapabilitiesRequest {
                read_mask: Some(prost_types::FieldMask { paths: vec!["nonsense".to_owned()] }),
            }),
            Code::InvalidArgument,
        ),
    ] {
        let id = call.order(order).await;
        let result = call.result().await;
        assert_eq!((result.command_id.as_str(), refusal(&result)), (id.as_str(), code), "{result:?}");
    }
    let unknown = wire::Command { command_id: Uuid::new_v4().to_string(), timeout: None, kind: None };
    call.say(Kind::Command(unknown)).await;
    assert_eq!(refusal(&call.result().await), Code::Unimplemented);
    call.order_again("nonsense", setup(host_wire::ConnectivityCheck::None, "blue")).await;
    assert_eq!(refusal(&call.result().await), Code::InvalidArgument);
}

#[tokio::test]
async fn a_message_of_an_unknown_kind_is_not_fatal() {
    let mut engine = Engine::start().await;
    let _agents = dial(&engine, host()).await;
    let (mut call, _) = engine.welcome().await;
    call.to.send(Ok(wire::EngineMessage { trace: None, kind: None })).await.unwrap();
    call.order(setup(host_wire::ConnectivityCheck::None, "blue")).await;
    assert_eq!(outcome(&call.result().await), Outcome::Applied);
}

#[tokio::test]
async fn a_change_is_confirmed_over_a_new_connection_which_becomes_the_session() {
    let mut engine = Engine::start().await;
    let agents = dial(&engine, host()).await;
    let (mut old, _) = engine.welcome().await;
    old.order(setup(host_wire::ConnectivityCheck::Confirm, "blue")).await;
    let transaction = old.awaiting().await;

    let (mut new, hello) = engine.welcome().await;
    let confirming = hello.confirming.unwrap();
    assert_eq!((confirming.transaction_id.as_str(), confirming.nonce.len()), (transaction.as_str(), 16));
    // Neither the right words on the old connection nor wrong ones on the new one count.
    old.confirm(&transaction, &confirming.nonce).await;
    new.confirm(&transaction, &[0; 16]).await;
    new.confirm(&Uuid::new_v4().to_string(), &confirming.nonce).await;
    let id = new.order(Order::GetCapabilities(host_wire::GetCapabilitiesRequest::default())).await;
    assert!(agents.bench.agent.awaiting().borrow().is_some(), "something else has confirmed");

    old.to.send(Err(Status::aborted("fenced by a newer session"))).await.unwrap();
    new.confirm(&transaction, &confirming.nonce).await;
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let result = new.result().await;
        ended.push((result.command_id.clone(), result));
    }
    let applied = &ended.iter().find(|(command, _)| *command == transaction).unwrap().1;
    assert_eq!(outcome(applied), Outcome::Applied);
    assert!(ended.iter().any(|(command, _)| *command == id), "what was said before the confirmation is lost");
    assert!(engine.calls.try_recv().is_err(), "the agent dials although it has a session");
}

#[tokio::test]
async fn a_confirmation_is_tried_again_until_it_comes() {
    let mut engine = Engine::start().await;
    let _agents = dial(&engine, host()).await;
    let (mut old, _) = engine.welcome().await;
    old.order(setup(host_wire::ConnectivityCheck::Confirm, "blue")).await;
    let transaction = old.awaiting().await;
    drop(old);
    let (first, hello) = engine.call().await;
    let first_nonce = hello.confirming.unwrap().nonce;
    drop(first);
    let (mut second, hello) = engine.welcome().await;
    let nonce = hello.confirming.unwrap().nonce;
    assert_ne!(nonce, first_nonce);
    second.confirm(&transaction, &nonce).await;
    assert_eq!(outcome(&second.result().await), Outcome::Applied);
}

#[tokio::test]
async fn a_change_that_the_engine_does_not_confirm_is_undone_and_told() {
    let mut engine = Engine::start().await;
    let _agents = dial(&engine, host()).await;
    let (mut old, _) = engine.welcome().await;
    let Order::SetupNetworks(mut request) = setup(host_wire::ConnectivityCheck::Confirm, "blue") else { panic!() };
    request.connectivity_timeout = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    old.order(Order::SetupNetworks(request)).await;
    let (_silent, hello) = engine.welcome().await;
    assert!(hello.confirming.is_some());
    assert_eq!(outcome(&old.result().await), Outcome::RolledBack);
}

#[tokio::test]
async fn a_result_is_said_again_until_it_is_acknowledged() {
    let mut engine = Engine::start().await;
    let _agents = dial(&engine, host()).await;
    let (mut call, _) = engine.welcome().await;
    let order = setup(host_wire::ConnectivityCheck::None, "blue");
    let id = call.order(order.clone()).await;
    let first = call.result().await;
    drop(call);

    let (mut call, _) = engine.welcome().await;
    assert_eq!(call.result().await.end, first.end);
    call.order_again(&id, order).await;
    assert_eq!(call.result().await.end, first.end);
    call.say(Kind::ResultAck(wire::ResultAck { command_id: id.clone() })).await;
    let marker = call.order(Order::GetCapabilities(host_wire::GetCapabilitiesRequest::default())).await;
    assert_eq!(call.result().await.command_id, marker);
    drop(call);

    let (mut call, _) = engine.welcome().await;
    let result = call.result().await;
    assert_eq!(result.command_id, marker, "an acknowledged result was said again");
}

#[tokio::test]
async fn an_engine_of_an_older_epoch_is_not_obeyed() {
    let mut engine = Engine::start().await;
    let _agents = dial(&engine, host()).await;
    let (call, _) = engine.call().await;
    call.welcome(7).await;
    drop(call);
    let (mut stale, hello) = engine.call().await;
    assert_eq!(hello.fencing_epoch, 7);
    stale.welcome(6).await;
    // The agent hangs up and calls again.
    assert!(timeout(BOUND, stale.from.message()).await.unwrap().is_ok_and(|message| message.is_none()));
    let (mut call, _) = engine.call().await;
    call.welcome(7).await;
    call.report().await;
}

#[tokio::test]
async fn the_session_ends_when_it_is_told_to() {
    let mut engine = Engine::start().await;
    let mut agents = dial(&engine, host()).await;
    let (mut call, _) = engine.welcome().await;
    call.report().await;
    agents.bench.stop.cancel();
    timeout(BOUND, agents.session.join_next()).await.unwrap().unwrap().unwrap();
}
