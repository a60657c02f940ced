//! Reports: when the engine is told what the host is.
//!
//! At the start of a link, after a transaction, soon after something on the host has changed, and on a slow period.
//! Changes that follow each other quickly make one report; a report that says nothing new is not sent.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{Span, warn};
use trestle_model::Capabilities;
use trestle_proto::host_wire;
use trestle_proto::session::v1 as wire;
use trestle_proto::session::v1::agent_message::Kind;
use trestle_telemetry::chain;

use super::message;
use crate::site::{Part, Site};
use crate::transaction::{Agent, Refusal};

/// How long changes are gathered.
const SETTLE: Duration = Duration::from_millis(300);
/// How long to wait before a host that could not be observed is looked at again.
const RETRY: Duration = Duration::from_secs(2);

type Gathering = Pin<Box<dyn Future<Output = Result<Capabilities, Refusal>> + Send>>;

/// When to report, and what was reported last.
pub(super) struct Reports<H> {
    agent: Agent<H>,
    period: Duration,
    due: Instant,
    periodic: Instant,
    /// What this link was told last.
    told: Option<Capabilities>,
    /// The look at the host that is under way; kept over cancellations, so that a busy host is reported too.
    gathering: Option<Gathering>,
    is_periodic: bool,
}

impl<H: Site> Reports<H> {
    pub(super) fn new(agent: Agent<H>, period: Duration) -> Self {
        let now = Instant::now();
        Self { agent, period, due: now, periodic: now + period, told: None, gathering: None, is_periodic: false }
    }

    /// Begins with a new link, which was told nothing yet.
    pub(super) fn start_over(&mut self) {
        self.told = None;
        self.gathering = None;
        self.due_now();
    }

    pub(super) fn due_now(&mut self) {
        self.due = Instant::now();
    }

    pub(super) fn due_soon(&mut self) {
        self.due = self.due.min(Instant::now() + SETTLE);
    }

    /// Waits until a report is due and returns it; `None` where there is nothing new to say.
    ///
    /// *Cancel safety*: safe; a report that was not returned is still due.
    pub(super) async fn next(&mut self) -> Option<wire::AgentMessage> {
        let gathering = match &mut self.gathering {
            Some(gathering) => gathering,
            None => {
                sleep_until(self.due.min(self.periodic)).await;
                let now = Instant::now();
                self.is_periodic = self.periodic <= now;
                self.due = now + self.period;
                self.periodic = self.due;
                let agent = self.agent.clone();
                self.gathering.insert(Box::pin(async move { agent.capabilities(&Part::all()).await }))
            }
        };
        let gathered = gathering.as_mut().await;
        self.gathering = None;
        let capabilities = match gathered {
            Ok(capabilities) => capabilities,
            Err(refusal) => {
                warn!(error = %chain(&refusal), "host not reported");
                self.due = Instant::now() + RETRY;
                return None;
            }
        };
        if !self.is_periodic && self.told.as_ref() == Some(&capabilities) {
            return None;
        }
        let report = wire::Report { capabilities: Some(host_wire::build_capabilities(&capabilities)) };
        self.told = Some(capabilities);
        Some(message::of(&Span::current(), Kind::Report(report)))
    }
}
