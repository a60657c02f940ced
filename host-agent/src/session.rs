//! The session with the engine: the agent dials, says who it is, and carries out what it is told.
//!
//! There is one link at a time. When it breaks, another is dialled, quickly at first, then with growing and jittered
//! rests. When a transaction waits for the engine's confirmation, a second link is dialled beside the first one, which
//! does not count; once confirmed, the second one is the session. Commands run in tasks of their own and outlive
//! links; their results are kept until the engine has them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::{debug, error, info, warn};
use trestle_model::{ConnectivityCheck, HostName};
use trestle_proto::session::v1 as wire;
use trestle_proto::session::v1::engine_message::Kind;
use trestle_serve::{ClientOptions, Target};
use trestle_telemetry::chain;

use crate::journal::Contents;
use crate::site::Site;
use crate::transaction::{Agent, Awaiting};

mod backoff;
mod commands;
mod link;
mod message;
mod reports;

use backoff::Backoff;
use commands::Commands;
use link::{Dialer, Dialling, Link, LinkEnd};
use reports::Reports;

/// How many messages wait for a link; more signs of life are dropped.
const OUTBOX: usize = 64;

/// How to reach the engine, and as whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// The host's name.
    pub host: HostName,
    /// Where the engine is.
    pub target: Target,
    /// How connections are made.
    pub client: ClientOptions,
    /// How often the agent reports although nothing has changed.
    pub report_period: Duration,
}

/// The session's task.
pub struct Session<H> {
    agent: Agent<H>,
    dialer: Arc<Dialer<H>>,
    awaiting: watch::Receiver<Option<Awaiting>>,
    kept: watch::Receiver<Arc<Contents>>,
    notices: watch::Receiver<u64>,
    commands: Commands<H>,
    progress: mpsc::Receiver<wire::AgentMessage>,
    reports: Reports<H>,
    backoff: Backoff,
    current: Option<Link>,
    next: Option<Dialling>,
}

/// What happened.
enum Event {
    Stop,
    Heard(Result<Box<wire::EngineMessage>, LinkEnd>),
    Dialled(Option<Box<Link>>),
    Awaiting,
    Kept,
    Noticed,
    Progress(Box<wire::AgentMessage>),
    Finished(Box<wire::AgentMessage>),
    Report(Option<Box<wire::AgentMessage>>),
}

impl<H: Site> Session<H> {
    /// Makes the session; `notices` counts up whenever something on the host differs.
    pub fn new(agent: Agent<H>, options: Options, notices: watch::Receiver<u64>) -> Self {
        let (progress_in, progress) = mpsc::channel(OUTBOX);
        let Options { host, target, client, report_period } = options;
        Self {
            awaiting: agent.awaiting(),
            kept: agent.kept(),
            notices,
            commands: Commands::new(agent.clone(), host.clone(), progress_in),
            progress,
            reports: Reports::new(agent.clone(), report_period),
            dialer: Arc::new(Dialer::new(agent.clone(), host, target, client)),
            backoff: Backoff::new(),
            current: None,
            next: None,
            agent,
        }
    }

    /// Keeps the session up until `stop` is cancelled.
    ///
    /// *Panics*: where a command's task has. *Cancel safety*: the link is lost; a transaction goes on in the writer.
    pub async fn run(mut self, stop: CancellationToken) {
        self.redial();
        // A transaction may wait already.
        self.awaiting.mark_changed();
        loop {
            match self.event(&stop).await {
                Event::Stop => break,
                Event::Heard(Ok(message)) => self.hear(*message),
                Event::Heard(Err(end)) => self.lost(&end),
                Event::Dialled(link) => self.dialled(link.map(|link| *link)),
                Event::Awaiting => self.confirm_or_not(),
                Event::Kept => self.kept_changed(),
                Event::Noticed => self.reports.due_soon(),
                Event::Progress(message) => self.say(*message),
                Event::Finished(message) => self.say(*message),
                Event::Report(Some(message)) => self.say(*message),
                Event::Report(None) => {}
            }
        }
        info!("session ends");
    }

    /// Waits for the next event. *Cancel safety*: every arm only waits on something that keeps what it has.
    async fn event(&mut self, stop: &CancellationToken) -> Event {
        let connected = self.current.is_some();
        let heard = async {
            match &mut self.current {
                Some(link) => link.next().await,
                None => std::future::pending().await,
            }
        };
        let dialled = async {
            match &mut self.next {
                Some(dialling) => dialling.as_mut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => Event::Stop,
            heard = heard => Event::Heard(heard.map(Box::new)),
            link = dialled => Event::Dialled(link.map(Box::new)),
            Ok(()) = self.awaiting.changed() => Event::Awaiting,
            Ok(()) = self.kept.changed() => Event::Kept,
            Ok(()) = self.notices.changed() => Event::Noticed,
            Some(message) = self.progress.recv() => Event::Progress(Box::new(message)),
            message = self.commands.finished() => Event::Finished(Box::new(message)),
            report = self.reports.next(), if connected => Event::Report(report.map(Box::new)),
        }
    }

    fn hear(&mut self, message: wire::EngineMessage) {
        match message.kind {
            Some(Kind::Command(command)) => {
                if let Some(answer) = self.commands.take_up(command, message.trace.as_ref()) {
                    self.say(answer);
                }
            }
            Some(Kind::ResultAck(ack)) => self.commands.acknowledged(&ack.command_id),
            Some(Kind::Confirm(_)) => warn!("confirmation on a connection that does not count, ignored"),
            Some(Kind::Welcome(_)) => warn!("second welcome, ignored"),
            None => warn!("message of an unknown kind, ignored"),
        }
    }

    /// Sends over the link; without one the message is dropped, and what matters is said again on the next.
    fn say(&mut self, message: wire::AgentMessage) {
        if self.current.as_ref().is_some_and(|link| !link.say(message)) {
            self.lost(&LinkEnd::Clogged);
        }
    }

    fn lost(&mut self, end: &LinkEnd) {
        let Some(link) = self.current.take() else { return };
        if link.was_steady() {
            self.backoff.reset();
        }
        match (end.code(), &self.next) {
            (Some(Code::Aborted), None) => {
                error!("fenced by another agent that speaks for this host");
                self.backoff.exhaust();
            }
            (Some(Code::Aborted), Some(_)) => info!("session gives way to a newer one of this agent"),
            (Some(_) | None, _) => warn!(error = %chain(end), "session broke"),
        }
        if self.next.is_none() {
            self.redial();
        }
    }

    fn dialled(&mut self, link: Option<Link>) {
        self.next = None;
        match link {
            Some(link) => {
                info!("session is up");
                self.current = Some(link);
                self.reports.start_over();
                for message in self.commands.unacknowledged() {
                    self.say(message);
                }
            }
            None if self.current.is_none() => self.redial(),
            None => {}
        }
    }

    fn kept_changed(&mut self) {
        // In the midst of a transaction the host is neither here nor there.
        if self.kept.borrow_and_update().open.is_none() {
            self.reports.due_now();
        }
    }

    fn redial(&mut self) {
        let rest = self.backoff.next();
        debug!(rest_ms = rest.as_millis(), "engine is dialled");
        self.next = Some(Box::pin(Arc::clone(&self.dialer).dial_after(rest)));
    }

    /// Dials for a confirmation while the engine's is waited for, and as usual otherwise.
    fn confirm_or_not(&mut self) {
        let awaiting = *self.awaiting.borrow_and_update();
        match awaiting {
            Some(awaiting) if matches!(awaiting.check, ConnectivityCheck::Engine(_)) => {
                self.next = Some(Box::pin(Arc::clone(&self.dialer).confirm(awaiting)));
            }
            // A confirmation that has just been made goes on to bring its link.
            Some(_) | None => {}
        }
    }
}

impl<H: Site> std::fmt::Debug for Session<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("agent", &self.agent.standing()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
