//! One session's incoming messages.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use tracing::{Instrument as _, info, info_span, warn};
use trestle_model::{Finding, Findings, HostName};
use trestle_proto::host::v1::{Outcome, SetupNetworksResponse, setup_networks_response};
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::command_result::End as ResultEnd;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::session::v1::{AgentMessage, CommandResult, EngineMessage, Report, ResultAck};
use trestle_store::Store;
use trestle_telemetry::names;
use trestle_telemetry::trace_context::{TraceContext, set_parent};
use uuid::Uuid;

use super::Board;
use super::board::End;
use super::plugs::PlugEnd;
use super::refusal;
use super::rests::Rests;
use super::seat::Seat;
use crate::clock;
use crate::reconcile::Wake;

/// How long the same failed wish rests.
const RESTS: Rests = Rests { first: Duration::from_secs(10), longest: Duration::from_secs(600) };

/// A larger sign of life is no sign of life: watchers' queues hold many of them.
const MOST_PROGRESS_BYTES: usize = 64 * 1024;

/// Reads one session until it ends, is fenced, or the engine stops.
pub(super) struct Inbound {
    pub(super) seat: Seat,
    pub(super) store: Store,
    pub(super) board: Arc<Board>,
    pub(super) wake: Arc<Wake>,
    pub(super) outbox: mpsc::Sender<Result<EngineMessage, Status>>,
    pub(super) cancel: CancellationToken,
}

impl Inbound {
    pub(super) async fn run(self, mut messages: Streaming<AgentMessage>) {
        self.seat.vacant().await;
        loop {
            // Cancel safety: each arm only waits; a message is taken whole or not at all.
            let message = tokio::select! {
                biased;
                () = self.cancel.cancelled() => break self.part(Status::unavailable("engine stops")).await,
                () = self.seat.fenced.cancelled() => break self.part(self.fate()).await,
                () = self.outbox.closed() => break,
                message = messages.message() => message,
            };
            match message {
                Ok(Some(message)) => {
                    let span = info_span!(
                        names::AGENT_MESSAGE_SPAN,
                        { names::OTEL_KIND } = "consumer",
                        { names::HOST } = %self.host()
                    );
                    if let Some(trace) = &message.trace {
                        let context = TraceContext {
                            traceparent: trace.traceparent.clone(),
                            tracestate: trace.tracestate.clone(),
                        };
                        set_parent(&span, &context);
                    }
                    self.hear(message).instrument(span).await;
                }
                Ok(None) => break,
                Err(status) => {
                    info!(trestle.host = %self.host(), code = ?status.code(), "session broke");
                    if status.code() == Code::OutOfRange {
                        self.part(status).await;
                    }
                    break;
                }
            }
        }
        info!(trestle.host = %self.host(), session = %self.seat.number, "session ended");
    }

    fn host(&self) -> &HostName {
        &self.seat.host
    }

    /// Says why the seat was taken away.
    fn fate(&self) -> Status {
        if self.store.read(|fleet| fleet.hosts().contains_key(self.host())) {
            refusal::fenced(self.host())
        } else {
            refusal::unregistered(self.host())
        }
    }

    async fn hear(&self, message: AgentMessage) {
        self.board.seen(self.host(), self.seat.number, clock::now_ms());
        match message.kind {
            Some(AgentKind::Report(report)) => self.hear_report(report).await,
            Some(AgentKind::Progress(progress)) => {
                let under_way = Uuid::parse_str(&progress.command_id).is_ok_and(|id| self.is_under_way(id));
                if under_way && let Some(event) = progress.event.filter(is_sign_of_life) {
                    self.board.progress(self.host(), event);
                }
            }
            Some(AgentKind::Result(result)) => self.hear_result(result).await,
            Some(AgentKind::Ack(_)) => {}
            Some(AgentKind::Hello(_)) => warn!(trestle.host = %self.host(), "second hello ignored"),
            None => warn!(trestle.host = %self.host(), "message of an unknown kind ignored"),
        }
    }

    async fn hear_report(&self, report: Report) {
        let Some(capabilities) = report.capabilities else { return };
        let record = match trestle_proto::host_wire::parse_capabilities(&capabilities) {
            Ok(capabilities) => {
                trestle_model::fleet::HostRecord { capabilities: Some(capabilities), reported_ms: clock::now_ms() }
            }
            Err(findings) => {
                warn!(trestle.host = %self.host(), findings = %Lines(&findings), "report not understood");
                return;
            }
        };
        let (store, host) = (self.store.clone(), self.host().clone());
        let kept = tokio::task::spawn_blocking(move || store.record(&host, record)).await;
        // What is kept is then older than what the host is: nothing is concluded from it until the next report.
        match kept {
            Ok(Ok(())) => {
                self.board.reported(self.host(), self.seat.number);
                self.wake.host(self.host(), None);
            }
            Ok(Err(error)) => {
                warn!(trestle.host = %self.host(), error = %trestle_telemetry::chain(&error), "report not kept");
            }
            Err(error) => warn!(trestle.host = %self.host(), %error, "report not kept"),
        }
    }

    async fn hear_result(&self, result: CommandResult) {
        if let Ok(command) = Uuid::parse_str(&result.command_id) {
            match result.end {
                Some(ResultEnd::SetupNetworks(setup)) => {
                    let succeeded =
                        matches!(setup.outcome(), Outcome::Applied | Outcome::Unchanged | Outcome::Validated);
                    info!(trestle.host = %self.host(), outcome = ?setup.outcome(), "command ended");
                    if self.is_under_way(command) {
                        let event = setup_networks_response::Event::Result(setup.clone());
                        self.board.progress(self.host(), SetupNetworksResponse { event: Some(event) });
                    }
                    let report_is_fresh = self.reported_hash().is_some_and(|hash| hash == setup.running_hash);
                    let end = End { succeeded, result: Some(setup), refusal: Findings::default(), report_is_fresh };
                    self.settle(command, end);
                }
                Some(ResultEnd::Refusal(refusal)) => {
                    let findings: Findings = trestle_proto::finding_wire::parse_all(&refusal.findings);
                    warn!(trestle.host = %self.host(), message = refusal.message, "command refused");
                    let end = PlugEnd { refusal: Some(findings.0.clone()) };
                    self.board.settle_plug(self.host(), command, end, RESTS);
                    let end = End { succeeded: false, result: None, refusal: findings, report_is_fresh: true };
                    self.settle(command, end);
                }
                Some(ResultEnd::SetDomainInterfaces(_)) => {
                    info!(trestle.host = %self.host(), "interfaces of a domain set");
                    self.board.settle_plug(self.host(), command, PlugEnd { refusal: None }, RESTS);
                }
                Some(ResultEnd::CommitNetworks(_) | ResultEnd::GetCapabilities(_)) | None => {
                    let refusal = Findings::default();
                    self.settle(command, End { succeeded: true, result: None, refusal, report_is_fresh: true });
                }
            }
        }
        let ack = EngineKind::ResultAck(ResultAck { command_id: result.command_id });
        if self.outbox.try_send(Ok(EngineMessage { trace: None, kind: Some(ack) })).is_err() {
            // The agent says it again in its next session.
            self.seat.fenced.cancel();
        }
        self.wake.host(self.host(), None);
    }

    fn is_under_way(&self, command: Uuid) -> bool {
        self.board.is_in_flight(self.host(), command)
    }

    fn reported_hash(&self) -> Option<String> {
        self.store.read(|fleet| Some(fleet.observed(self.host())?.capabilities.as_ref()?.running_hash.clone()))
    }

    fn settle(&self, command: Uuid, end: End) {
        self.board.settle(self.host(), command, end, RESTS);
    }

    /// Says goodbye; an agent that does not listen finds out by itself.
    async fn part(&self, why: Status) {
        let _ = tokio::time::timeout(Duration::from_millis(100), self.outbox.send(Err(why))).await;
    }
}

/// Tells whether watchers may see an event as progress: a small one, and no result, which is said once at the end.
fn is_sign_of_life(event: &SetupNetworksResponse) -> bool {
    let is_result = matches!(event.event, Some(setup_networks_response::Event::Result(_)));
    !is_result && event.encoded_len() <= MOST_PROGRESS_BYTES
}

/// What is wrong with a report, for the log: the first findings, and how many more there are.
struct Lines<'a>(&'a Findings);

/// Findings that a line of the log has at most.
const FINDINGS_LOGGED: usize = 20;

impl std::fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: Vec<String> = self.0.0.iter().take(FINDINGS_LOGGED).map(Finding::to_string).collect();
        f.write_str(&shown.join("; "))?;
        match self.0.0.len().saturating_sub(FINDINGS_LOGGED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
