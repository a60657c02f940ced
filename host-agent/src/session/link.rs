//! One connection to the engine, from dialling to its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tracing::{Span, debug, error, info, warn};
use trestle_model::{HostName, TransactionId};
use trestle_proto::session::v1 as wire;
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::agent_session_client::AgentSessionClient;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_serve::{ClientOptions, ConnectError, MAX_RECEIVE_BYTES, MAX_SEND_BYTES, Target, connect};
use trestle_telemetry::chain;
use uuid::Uuid;

use super::backoff::jittered;
use super::{OUTBOX, message};
use crate::capabilities::AGENT_VERSION;
use crate::site::Site;
use crate::transaction::{Agent, Awaiting, Challenge, Confirmer, Refusal};

/// The version of the session's protocol that this agent speaks.
const PROTOCOL: u32 = 1;
/// How long the engine may take to welcome the agent.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connecting may take while a confirmation is waited for: better to try again soon.
const CONFIRM_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one attempt at a confirmation may take.
const CONFIRM_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest rest between two attempts at a confirmation.
const CONFIRM_REST: Duration = Duration::from_millis(400);
/// A link that lasted so long was a good one.
const STEADY: Duration = Duration::from_secs(5);

/// A link in the making; none where the attempt failed.
pub(super) type Dialling = Pin<Box<dyn Future<Output = Option<Link>> + Send>>;

/// A connection that the engine has welcomed.
pub(super) struct Link {
    out: mpsc::Sender<wire::AgentMessage>,
    messages: Streaming<wire::EngineMessage>,
    /// What came while the confirmation was waited for.
    early: VecDeque<wire::EngineMessage>,
    since: Instant,
}

/// Says why a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkEnd {
    #[error("engine ended the session")]
    Status(#[from] Status),
    #[error("engine closed the session without a reason")]
    Closed,
    #[error("engine takes no more messages")]
    Clogged,
}

/// Makes links.
pub(super) struct Dialer<H> {
    agent: Agent<H>,
    host: HostName,
    target: Target,
    client: ClientOptions,
}

/// Says why there is no link.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("engine not reached")]
    Connect(#[from] ConnectError),
    #[error("engine refused the session")]
    Refused(#[from] LinkEnd),
    #[error("engine did not welcome the agent")]
    NoWelcome,
    #[error("engine speaks version {0} of the session's protocol, this agent {PROTOCOL}")]
    Protocol(u32),
    #[error("engine is not obeyed")]
    Disobeyed(#[source] Refusal),
    #[error("engine did not answer in time")]
    Timeout,
}

impl Link {
    /// Waits for the next message. *Cancel safety*: safe.
    pub(super) async fn next(&mut self) -> Result<wire::EngineMessage, LinkEnd> {
        if let Some(message) = self.early.pop_front() {
            return Ok(message);
        }
        self.messages.message().await?.ok_or(LinkEnd::Closed)
    }

    /// Sends a message, and tells whether the link takes it.
    pub(super) fn say(&self, message: wire::AgentMessage) -> bool {
        self.out.try_send(message).is_ok()
    }

    /// Tells whether the link lasted long enough to be called good.
    pub(super) fn was_steady(&self) -> bool {
        self.since.elapsed() >= STEADY
    }
}

impl LinkEnd {
    /// Returns the engine's status code, if it said one.
    pub(super) fn code(&self) -> Option<Code> {
        match self {
            Self::Status(status) => Some(status.code()),
            Self::Closed | Self::Clogged => None,
        }
    }
}

impl<H: Site> Dialer<H> {
    pub(super) const fn new(agent: Agent<H>, host: HostName, target: Target, client: ClientOptions) -> Self {
        Self { agent, host, target, client }
    }

    /// Rests, then dials once. *Cancel safety*: safe.
    pub(super) async fn dial_after(self: Arc<Self>, rest: Duration) -> Option<Link> {
        sleep(rest).await;
        match self.dial(&self.client, None).await {
            Ok(link) => Some(link),
            Err(DialError::Connect(error)) if !error.is_retriable() => {
                error!(error = %chain(&error), "engine cannot be dialled");
                None
            }
            Err(error) => {
                warn!(error = %chain(&error), "engine not reached, will be tried again");
                None
            }
        }
    }

    /// Dials until the engine confirms over a new connection, or the time is over.
    ///
    /// *Cancel safety*: safe; a confirmation that has come counts or does not.
    pub(super) async fn confirm(self: Arc<Self>, awaiting: Awaiting) -> Option<Link> {
        let client = ClientOptions { connect_timeout: CONFIRM_CONNECT_TIMEOUT, ..self.client.clone() };
        let attempts = async {
            loop {
                let challenge = Challenge::new(awaiting.transaction, Uuid::new_v4().into_bytes());
                let attempt = timeout(CONFIRM_ATTEMPT_TIMEOUT, self.confirm_once(&client, &challenge));
                match attempt.await.unwrap_or(Err(DialError::Timeout)) {
                    Ok(link) => return link,
                    Err(error) => warn!(error = %chain(&error), "not confirmed, will be tried again"),
                }
                sleep(jittered(CONFIRM_REST)).await;
            }
        };
        timeout_at(awaiting.until, attempts).await.ok()
    }

    async fn confirm_once(&self, client: &ClientOptions, challenge: &Challenge) -> Result<Link, DialError> {
        let mut link = self.dial(client, Some(challenge)).await?;
        let mut early = VecDeque::new();
        let answered = loop {
            let message = link.next().await?;
            match &message.kind {
                Some(EngineKind::Confirm(confirm)) => match answer(challenge, confirm) {
                    Some(answered) => break answered,
                    None => warn!("confirmation of something else, ignored"),
                },
                Some(EngineKind::Welcome(_) | EngineKind::Command(_) | EngineKind::ResultAck(_)) | None => {
                    early.push_back(message);
                }
            }
        };
        link.early = early;
        match self.agent.confirm(challenge.transaction(), Confirmer::Engine(answered)).await {
            Ok(()) => info!(transaction = %challenge.transaction(), "engine confirmed"),
            Err(refusal) => warn!(error = %chain(&refusal), "confirmation came too late"),
        }
        Ok(link)
    }

    async fn dial(&self, client: &ClientOptions, challenge: Option<&Challenge>) -> Result<Link, DialError> {
        let connection = connect(&self.target, client).await?;
        let (out, outgoing) = mpsc::channel(OUTBOX);
        let hello = message::of(&Span::current(), AgentKind::Hello(self.hello(challenge)));
        out.try_send(hello).map_err(|_| LinkEnd::Clogged)?;
        let mut client = AgentSessionClient::new(connection)
            .max_decoding_message_size(MAX_RECEIVE_BYTES)
            .max_encoding_message_size(MAX_SEND_BYTES);
        let opened = async {
            let answer = client.connect(ReceiverStream::new(outgoing)).await.map_err(LinkEnd::from)?;
            let mut messages = answer.into_inner();
            let first = messages.message().await.map_err(LinkEnd::from)?.ok_or(DialError::NoWelcome)?;
            Ok::<_, DialError>((first, messages))
        };
        let (first, messages) = timeout(WELCOME_TIMEOUT, opened).await.map_err(|_| DialError::Timeout)??;
        let Some(EngineKind::Welcome(welcome)) = first.kind else { return Err(DialError::NoWelcome) };
        if welcome.protocol != PROTOCOL {
            return Err(DialError::Protocol(welcome.protocol));
        }
        self.agent.see_epoch(welcome.fencing_epoch).await.map_err(DialError::Disobeyed)?;
        debug!(engine = welcome.engine_version, epoch = welcome.fencing_epoch, "engine welcomed the agent");
        Ok(Link { out, messages, early: VecDeque::new(), since: Instant::now() })
    }

    fn hello(&self, challenge: Option<&Challenge>) -> wire::Hello {
        let standing = self.agent.standing();
        wire::Hello {
            host: self.host.to_string(),
            agent_version: AGENT_VERSION.to_owned(),
            protocol: PROTOCOL,
            boot_id: standing.boot_id,
            running_hash: standing.running_hash,
            generation: standing.generation,
            fencing_epoch: standing.fencing_epoch,
            confirming: challenge.map(|challenge| wire::Confirming {
                transaction_id: challenge.transaction().to_string(),
                nonce: challenge.nonce().to_vec(),
            }),
        }
    }
}

fn answer(challenge: &Challenge, confirm: &wire::Confirm) -> Option<crate::transaction::Answered> {
    let transaction = TransactionId::parse(&confirm.transaction_id).ok()?;
    challenge.answered(transaction, &confirm.nonce)
}
