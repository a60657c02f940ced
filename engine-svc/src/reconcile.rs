//! Pushes the desired state to the hosts.
//!
//! Level-triggered: it takes no input but the store, the board and the clock, runs on a signal and on a period, computes
//! what each host is owed, and sends it. The next run is the retry. What a host reports never changes what is desired.

mod owed;
mod plugged;
mod wake;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, info_span, warn};
use trestle_model::{
    Code, ConnectivityCheck, Fence, HostName, NetworkChange, NetworkName, Origin, Scope, SetupOptions, SetupRequest,
    TransactionId,
};
use trestle_proto::session::v1::command::Kind as CommandKind;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::session::v1::{Command, EngineMessage, TraceContext as WireTrace};
use trestle_store::Store;
use trestle_telemetry::names;
use trestle_telemetry::trace_context::{self, TraceContext, set_parent};
use uuid::Uuid;

pub use owed::{HostSync, NetworkSync, Sync, owed, sync};
pub use plugged::{Difference, PlugSync, VmSync, VnicSync, vm_sync, vnic_sync};
pub use wake::Wake;

use crate::session::Board;

/// Period of the sweep over the connected hosts.
const SWEEP: Duration = Duration::from_secs(5);
/// How long after the confirmation's time a command counts as lost.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends what hosts are owed, until told to stop.
#[derive(Debug)]
pub struct Reconciler {
    store: Store,
    board: Arc<Board>,
    wake: Arc<Wake>,
    connectivity_timeout: Duration,
}

impl Reconciler {
    /// Makes a reconciler whose changes have to be confirmed within `connectivity_timeout`.
    pub const fn new(store: Store, board: Arc<Board>, wake: Arc<Wake>, connectivity_timeout: Duration) -> Self {
        Self { store, board, wake, connectivity_timeout }
    }

    /// Runs until `cancel` is cancelled. *Cancel safety*: safe; each pass over a host is one synchronous look and one
    /// message.
    pub async fn run(self, cancel: CancellationToken) {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Cancel safety: each arm only waits.
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.wake.woken() => {}
                _ = sweep.tick() => self.sweep(),
            }
            for (host, cause) in self.wake.take() {
                let span = info_span!(names::RECONCILE_SPAN, { names::HOST } = %host);
                if let Some(cause) = &cause {
                    set_parent(&span, cause);
                }
                span.in_scope(|| self.reconcile(&host));
            }
        }
    }

    fn sweep(&self) {
        for host in self.board.forget_lost(Instant::now()) {
            warn!(trestle.host = %host, "command lost: no result came");
        }
        for host in self.board.connected() {
            self.wake.host(&host, None);
        }
    }

    fn reconcile(&self, host: &HostName) {
        let now = self.board.host(host);
        if !now.connected || !now.reported || now.in_flight.is_some() {
            return;
        }
        // No command is under way, and the report is later than the last one. Only this task notes and clears, so that no
        // report clears what is just being noted.
        self.store.command(host, BTreeSet::new());
        // Read first: what is sent is then never older than it says.
        let fence = Fence { epoch: self.store.fencing_epoch(), generation: self.store.revision() };
        let changes = self.owed(host);
        if changes.is_empty() {
            return;
        }
        if let Some(last) = &now.last
            && !last.succeeded
            && last.changes == changes
            && Instant::now() < last.retry_at
        {
            return;
        }
        // From here on rules know what is about to be managed. What was decided just before is seen by a second look.
        self.store.command(host, managed(&changes));
        if self.owed(host) == changes {
            self.send(host, changes, fence);
        } else {
            self.store.command(host, BTreeSet::new());
            self.wake.host(host, None);
        }
    }

    fn owed(&self, host: &HostName) -> Vec<NetworkChange> {
        self.store.read(|fleet| {
            let wanted = fleet.hosts().get(host).is_some_and(|host| !host.maintenance);
            let reported = fleet.observed(host).and_then(|record| record.capabilities.as_ref());
            match reported {
                Some(reported) if wanted => owed(&fleet.desired_networks(host), reported),
                Some(_) | None => Vec::new(),
            }
        })
    }

    fn send(&self, host: &HostName, changes: Vec<NetworkChange>, fence: Fence) {
        let id = Uuid::now_v7();
        let request = SetupRequest {
            changes: changes.clone(),
            bonds: Vec::new(),
            nics: Vec::new(),
            options: SetupOptions {
                transaction: TransactionId(id),
                origin: Origin::Engine,
                connectivity_check: ConnectivityCheck::Engine(self.connectivity_timeout),
                commit_on_success: true,
                validate_only: false,
                // Whoever desired the networks has acknowledged their warnings in the engine.
                acknowledge: Code::ALL.to_vec(),
                fence: Some(fence),
                scope: Scope::Named,
                adopt: BTreeSet::new(),
            },
        };
        let TraceContext { traceparent, tracestate } = trace_context::current();
        let command = Command {
            command_id: id.to_string(),
            timeout: None,
            kind: Some(CommandKind::SetupNetworks(trestle_proto::host_wire::build_setup(&request))),
        };
        let message = EngineMessage {
            trace: Some(WireTrace { traceparent, tracestate }),
            kind: Some(EngineKind::Command(command)),
        };
        let networks = changes.len();
        let patience = self.connectivity_timeout + PATIENCE;
        match self.board.command(host, message, id, changes, patience) {
            Ok(()) => info!(trestle.host = %host, trestle.command_id = %id, networks, "command sent"),
            Err(error) => {
                self.store.command(host, BTreeSet::new());
                info!(trestle.host = %host, %error, "command not sent");
            }
        }
    }
}

/// Returns the networks whose MAC tables libvirt manages after `changes`.
fn managed(changes: &[NetworkChange]) -> BTreeSet<NetworkName> {
    let managed = changes.iter().filter(|change| matches!(change, NetworkChange::Set(spec) if spec.is_managed()));
    managed.map(|change| change.network().clone()).collect()
}
