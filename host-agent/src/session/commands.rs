//! Commands of the engine: each runs in a task of its own, and its result is kept until the engine has it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tonic::Code;
use tracing::{Instrument as _, Span, info, info_span, warn};
use trestle_model::{Finding, HostName, Origin, TransactionId};
use trestle_proto::host::v1 as host;
use trestle_proto::session::v1 as wire;
use trestle_proto::session::v1::agent_message::Kind;
use trestle_proto::session::v1::command::Kind as CommandKind;
use trestle_proto::session::v1::command_result::End;
use trestle_proto::{host_wire, status};
use trestle_telemetry::{names, trace_context};

use super::message;
use crate::site::Site;
use crate::transaction::{Agent, Caller, Refusal};
use crate::wire::{parts, refusal, result};

/// How many commands may run or wait for their acknowledgement; one more is refused.
const LIMIT: usize = 64;
/// The engine, as logs call it.
const ACTOR: &str = "engine";

/// The commands of this run of the agent.
#[derive(Debug)]
pub(super) struct Commands<H> {
    agent: Agent<H>,
    host: HostName,
    progress: mpsc::Sender<wire::AgentMessage>,
    tasks: JoinSet<(String, wire::AgentMessage)>,
    running: BTreeSet<String>,
    unacknowledged: BTreeMap<String, wire::AgentMessage>,
}

/// One command while it runs.
struct Run<H> {
    agent: Agent<H>,
    id: TransactionId,
    deadline: Option<Instant>,
    progress: mpsc::Sender<wire::AgentMessage>,
    span: Span,
}

impl<H: Site> Commands<H> {
    pub(super) fn new(agent: Agent<H>, host: HostName, progress: mpsc::Sender<wire::AgentMessage>) -> Self {
        Self { agent, host, progress, tasks: JoinSet::new(), running: BTreeSet::new(), unacknowledged: BTreeMap::new() }
    }

    /// Takes a command up, and returns what to say about it at once: an acknowledgement, or its result again.
    pub(super) fn take_up(
        &mut self,
        command: wire::Command,
        trace: Option<&wire::TraceContext>,
    ) -> Option<wire::AgentMessage> {
        let id = command.command_id.clone();
        let span = info_span!(
            names::COMMAND_SPAN,
            { names::OTEL_KIND } = "consumer",
            { names::COMMAND_ID } = id,
            { names::HOST } = %self.host,
        );
        trace_context::set_parent(&span, &message::trace(trace));
        let ack = message::of(&span, Kind::Ack(wire::CommandAck { command_id: id.clone() }));
        if let Some(result) = self.unacknowledged.get(&id) {
            return Some(result.clone());
        }
        if self.running.contains(&id) {
            return Some(ack);
        }
        let refuse = |why: &str, code| {
            warn!(command = id, why, "command refused");
            let refusal = wire::Refusal { code: i32::from(code), message: why.to_owned(), findings: Vec::new() };
            Some(message::result(&span, &id, End::Refusal(refusal)))
        };
        if self.running.len() + self.unacknowledged.len() >= LIMIT {
            return refuse("too many commands run or wait to be acknowledged", Code::ResourceExhausted);
        }
        let Ok(transaction) = TransactionId::parse(&id) else {
            return refuse("command id is not a UUID", Code::InvalidArgument);
        };
        let Some(kind) = command.kind else { return refuse("command of an unknown kind", Code::Unimplemented) };
        let deadline = command.timeout.map(|timeout| Instant::now() + Duration::try_from(timeout).unwrap_or_default());
        let run = Run {
            agent: self.agent.clone(),
            id: transaction,
            deadline,
            progress: self.progress.clone(),
            span: span.clone(),
        };
        self.running.insert(id.clone());
        self.tasks.spawn(
            async move {
                let end = run.execute(kind).await;
                let message = message::result(&Span::current(), &id, end);
                (id, message)
            }
            .instrument(span),
        );
        Some(ack)
    }

    /// Waits for the next command that ends, and returns its result, which is kept until it is acknowledged.
    ///
    /// *Panics*: where a command's task has. *Cancel safety*: safe.
    pub(super) async fn finished(&mut self) -> wire::AgentMessage {
        loop {
            match self.tasks.join_next().await {
                Some(Ok((id, message))) => {
                    self.running.remove(&id);
                    self.unacknowledged.insert(id, message.clone());
                    return message;
                }
                Some(Err(died)) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Forgets a result that the engine has.
    pub(super) fn acknowledged(&mut self, id: &str) {
        self.unacknowledged.remove(id);
    }

    /// Returns the results that the engine may not have.
    pub(super) fn unacknowledged(&self) -> Vec<wire::AgentMessage> {
        self.unacknowledged.values().cloned().collect()
    }
}

impl<H: Site> Run<H> {
    async fn execute(self, kind: CommandKind) -> End {
        let outcome = match kind {
            CommandKind::SetupNetworks(request) => return self.set_up(request).await,
            CommandKind::CommitNetworks(_) => self
                .agent
                .commit()
                .await
                .map(|persistent_hash| End::CommitNetworks(host::CommitNetworksResponse { persistent_hash })),
            CommandKind::GetCapabilities(request) => return self.tell(request).await,
            CommandKind::SetDomainInterfaces(request) => return self.plug(&request).await,
        };
        outcome.unwrap_or_else(|why| refused(&refusal(&why)))
    }

    async fn set_up(self, request: host::SetupNetworksRequest) -> End {
        let request = host::SetupNetworksRequest { request_id: self.id.to_string(), ..request };
        let context = host_wire::SetupContext { origin: Origin::Engine, fresh: self.id };
        let request = match host_wire::parse_setup(&request, context) {
            Ok(request) => request,
            Err(findings) => return refused(&status::Refusal::malformed(findings)),
        };
        let caller = Caller { actor: ACTOR.to_owned(), begin_by: self.deadline };
        let mut running = match self.agent.setup(request, caller) {
            Ok(running) => running,
            Err(why) => return refused(&refusal(&why)),
        };
        while let Some(sign) = running.progress.recv().await {
            let event = Some(host_wire::build_progress(&sign, self.id));
            let progress = wire::CommandProgress { command_id: self.id.to_string(), event };
            // A sign of life that nobody takes is lost; the result is not.
            let _lost = self.progress.try_send(message::of(&self.span, Kind::Progress(progress)));
        }
        match running.end.await.unwrap_or(Err(Refusal::Stopping)) {
            Ok(answer) => {
                info!("command ended");
                End::SetupNetworks(result(&answer))
            }
            Err(why) => refused(&refusal(&why)),
        }
    }

    async fn plug(self, request: &host::SetDomainInterfacesRequest) -> End {
        let request = match host_wire::parse_plug(request) {
            Ok(request) => request,
            Err(findings) => return refused(&status::Refusal::malformed(findings)),
        };
        let caller = Caller { actor: ACTOR.to_owned(), begin_by: self.deadline };
        match self.agent.plug(request, caller).await {
            Ok(report) => End::SetDomainInterfaces(host_wire::build_plugged(&report)),
            Err(why) => refused(&refusal(&why)),
        }
    }

    async fn tell(self, request: host::GetCapabilitiesRequest) -> End {
        let mask = match host_wire::ReadMask::parse(request.read_mask.as_ref()) {
            Ok(mask) => mask,
            Err(findings) => return refused(&status::Refusal::malformed(findings)),
        };
        let parts = parts(&mask);
        let capabilities = self.agent.capabilities(&parts);
        let capabilities = match self.deadline {
            Some(deadline) => timeout_at(deadline, capabilities).await.unwrap_or(Err(Refusal::Deadline)),
            None => capabilities.await,
        };
        match capabilities {
            Ok(capabilities) => {
                let capabilities = Some(mask.apply(host_wire::build_capabilities(&capabilities)));
                End::GetCapabilities(host::GetCapabilitiesResponse { capabilities })
            }
            Err(why) => refused(&refusal(&why)),
        }
    }
}

fn refused(refusal: &status::Refusal) -> End {
    let lines: Vec<String> = refusal.findings.0.iter().map(Finding::to_string).collect();
    warn!(code = ?refusal.code, findings = lines.join("; "), "command refused");
    End::Refusal(refusal.build_session())
}
