//! The gRPC service that agents dial.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};
use trestle_model::HostName;
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::agent_session_server::AgentSession;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::session::v1::{AgentMessage, Confirm, EngineMessage, Hello, Welcome};
use trestle_serve::Peer;
use trestle_store::Store;
use uuid::Uuid;

use super::Board;
use super::board::OUTBOX;
use super::inbound::Inbound;
use super::refusal;
use crate::clock;
use crate::reconcile::Wake;

/// The version of the session's protocol that this engine speaks.
const PROTOCOL: u32 = 1;
/// How long an agent may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves `AgentSession`.
#[derive(Debug, Clone)]
pub struct AgentSessions {
    store: Store,
    board: Arc<Board>,
    wake: Arc<Wake>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl AgentSessions {
    /// Makes the service; its sessions' tasks end when `cancel` is cancelled, and `tasks` knows them all.
    pub const fn new(
        store: Store,
        board: Arc<Board>,
        wake: Arc<Wake>,
        tasks: TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        Self { store, board, wake, tasks, cancel }
    }

    /// Checks that the caller may speak for the host that it names, and that the engine knows the host.
    fn admit(&self, peer: &Peer, hello: &Hello) -> Result<HostName, Status> {
        let named = HostName::parse(&hello.host).map_err(refusal::nameless)?;
        if *peer != Peer::Local {
            peer.require_host_named(named.as_str())?;
        }
        if hello.protocol != PROTOCOL {
            return Err(refusal::foreign_protocol(hello.protocol, PROTOCOL));
        }
        self.require_registered(&named)?;
        let epoch = self.store.fencing_epoch();
        if hello.fencing_epoch > epoch {
            return Err(refusal::outdated(&named, hello.fencing_epoch, epoch));
        }
        Ok(named)
    }

    fn require_registered(&self, host: &HostName) -> Result<(), Status> {
        let known = self.store.read(|fleet| fleet.hosts().contains_key(host));
        if known { Ok(()) } else { Err(refusal::unregistered(host)) }
    }

    /// Answers a hello that asks for a confirmation: only for the command under way on that very host.
    fn confirmation(&self, host: &HostName, hello: &Hello) -> Option<Confirm> {
        let confirming = hello.confirming.as_ref()?;
        let ours = Uuid::parse_str(&confirming.transaction_id).is_ok_and(|id| self.board.is_in_flight(host, id));
        if !ours {
            warn!(trestle.host = %host, transaction = %confirming.transaction_id, "confirmation refused: not under way here");
            return None;
        }
        Some(Confirm { transaction_id: confirming.transaction_id.clone(), nonce: confirming.nonce.clone() })
    }
}

#[tonic::async_trait]
impl AgentSession for AgentSessions {
    type ConnectStream = ReceiverStream<Result<EngineMessage, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let peer = trestle_serve::identity::peer(&request)?.clone();
        if peer != Peer::Local {
            // Nobody else may even keep the engine waiting for a hello.
            peer.require_host()?;
        }
        let mut messages = request.into_inner();
        // Cancel safety: the call ends with whatever wins.
        let hello = tokio::select! {
            () = self.cancel.cancelled() => return Err(Status::unavailable("engine stops")),
            hello = tokio::time::timeout(HELLO_TIMEOUT, first(&mut messages)) => hello,
        };
        let hello = hello.map_err(|_| Status::deadline_exceeded("no hello in time"))??;
        let host = self.admit(&peer, &hello)?;

        let (outbox, inbox) = mpsc::channel(OUTBOX);
        let welcome = Welcome {
            protocol: PROTOCOL,
            fencing_epoch: self.store.fencing_epoch(),
            engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let confirmation = self.confirmation(&host, &hello);
        let answers = std::iter::once(EngineKind::Welcome(welcome)).chain(confirmation.map(EngineKind::Confirm));
        for kind in answers {
            let message = EngineMessage { trace: None, kind: Some(kind) };
            outbox.try_send(Ok(message)).expect("a new outbox has room for two messages");
        }
        let seat = self.board.open(&host, outbox.clone(), clock::now_ms());
        // A host that was removed since it was admitted has been taken off the board before it got on.
        self.require_registered(&host).inspect_err(|_| self.board.remove(&host))?;
        info!(trestle.host = %host, session = %seat.number, agent = %hello.agent_version, "session opened");
        let inbound = Inbound {
            seat,
            store: self.store.clone(),
            board: Arc::clone(&self.board),
            wake: Arc::clone(&self.wake),
            outbox,
            cancel: self.cancel.clone(),
        };
        self.tasks.spawn(inbound.run(messages));
        Ok(Response::new(ReceiverStream::new(inbox)))
    }
}

async fn first(messages: &mut Streaming<AgentMessage>) -> Result<Hello, Status> {
    match messages.message().await?.and_then(|message| message.kind) {
        Some(AgentKind::Hello(hello)) => Ok(hello),
        Some(_) | None => Err(refusal::mute()),
    }
}
