//! Pushes the desired state to the hosts.
//!
//! Level-triggered: it takes no input but the store, the board and the clock, runs on a signal and on a period, computes
//! what each host is owed, and sends it. The next run is the retry. What a host reports never changes what is desired.

mod owed;
mod plugged;
mod plugs;
mod wake;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, info_span, warn};
use trestle_model::fleet::CommandedInterface;
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

pub use owed::{BondSync, Desired, HostSync, NetworkSync, Owed, Sync, owed, sync};
pub use plugged::{PlugSync, VmSync, VnicSync, vm_sync, vnic_sync};
pub use plugs::{Aim, Ask, OwedPlug, Place, owed_plugs, places_on};
pub use wake::Wake;
use wake::{Depth, Look};
pub use wanted::Difference;

use crate::session::Board;

/// Period of the sweep over the connected hosts.
const SWEEP: Duration = Duration::from_secs(5);
/// Every so many sweeps look at guests, too, also of hosts where nothing is known to be owed for them: once a minute.
const GUESTS_SWEEP: u32 = 12;
/// How long after the confirmation's time a command counts as lost.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a host may take to begin with a domain's interfaces: a transaction that waits for its confirmation goes first.
const PLUG_BEGIN: Duration = Duration::from_secs(60);

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
    /// message, and a pass that was begun ends.
    pub async fn run(self, cancel: CancellationToken) {
        let reconciler = Arc::new(self);
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweeps: u32 = 0;
        loop {
            // Cancel safety: each arm only waits.
            tokio::select! {
                () = cancel.cancelled() => return,
                () = reconciler.wake.woken() => {}
                _ = sweep.tick() => {
                    sweeps = sweeps.wrapping_add(1);
                    reconciler.sweep(if sweeps.is_multiple_of(GUESTS_SWEEP) { Depth::Guests } else { Depth::Networks });
                }
            }
            // What is noted of a host waits for a write, and so for the disk.
            let (reconciler, looks) = (Arc::clone(&reconciler), reconciler.wake.take());
            let looked = tokio::task::spawn_blocking(move || reconciler.look(looks)).await;
            if let Err(died) = looked
                && died.is_panic()
            {
                std::panic::resume_unwind(died.into_panic());
            }
        }
    }

    fn look(&self, looks: BTreeMap<HostName, Look>) {
        for (host, Look { cause, depth }) in looks {
            let span = info_span!(names::RECONCILE_SPAN, { names::HOST } = %host);
            if let Some(cause) = &cause {
                set_parent(&span, cause);
            }
            span.in_scope(|| {
                self.reconcile(&host);
                if depth == Depth::Guests {
                    self.plug(&host);
                }
            });
        }
    }

    fn sweep(&self, depth: Depth) {
        for host in self.board.forget_lost(Instant::now()) {
            warn!(trestle.host = %host, "command lost: no result came");
        }
        for host in self.board.connected() {
            let depth = if self.board.awaits_plugs(&host) { Depth::Guests } else { depth };
            self.wake.sweep(&host, depth);
        }
        // Also of a host that is gone, what it was told and never reported falls in time.
        for host in self.board.expecting_plugs() {
            self.wake.sweep(&host, Depth::Guests);
        }
    }

    fn reconcile(&self, host: &HostName) {
        let now = self.board.host(host);
        if !now.connected || !now.reported || now.in_flight.is_some() {
            return;
        }
        // No command is under way, and the report is later than the last one. Only this task notes and clears, so that no
        // report clears what is just being noted.
        self.note_managed(host, &BTreeSet::new());
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
        self.note_managed(host, &managed(&changes.networks));
        if self.owed(host) == changes {
            self.send(host, changes, fence);
        } else {
            self.note_managed(host, &BTreeSet::new());
            self.wake.host(host, None);
        }
    }

    /// Sends the first of what a host is owed for its domains' interfaces, while nothing is under way on it; the end of each wakes
    /// it for the next.
    fn plug(&self, host: &HostName) {
        let sent = self.store.read(|fleet| self.board.sent_plugs(host, fleet.domains_on(host), Instant::now()));
        let before = interfaces(&sent);
        self.note_interfaces(host, &before);
        let now = self.board.host(host);
        if !now.connected || !now.reported || now.in_flight.is_some() {
            return;
        }
        // Read first: what is sent is then never older than it says.
        let revision = self.store.revision();
        let Some(owed) = self.next_plug(host) else { return };
        // As with networks: from here on rules know what guests are about to have, and a second look sees what was decided before.
        self.note_interfaces(host, &interfaces(sent.iter().chain([&owed])));
        if self.next_plug(host).as_ref() != Some(&owed) {
            self.note_interfaces(host, &before);
            self.wake.host(host, None);
            return;
        }
        let id = Uuid::now_v7();
        let request = owed.request();
        let (domain, set, remove) = (owed.domain, request.set.len(), request.remove.len());
        let kind = CommandKind::SetDomainInterfaces(trestle_proto::host_wire::build_plug(&request));
        let message = command(id, prost_types::Duration::try_from(PLUG_BEGIN).ok(), kind);
        match self.board.plug(host, message, id, (owed, revision), PLUG_BEGIN + PATIENCE) {
            Ok(()) => {
                info!(trestle.host = %host, trestle.command_id = %id, %domain, set, remove, "interfaces of a domain asked for");
            }
            Err(error) => {
                self.note_interfaces(host, &before);
                info!(trestle.host = %host, %error, "command not sent");
            }
        }
    }

    fn next_plug(&self, host: &HostName) -> Option<OwedPlug> {
        let owed = self.store.read(|fleet| owed_plugs(fleet, host));
        self.board.next_plug(host, owed, Instant::now())
    }

    fn note_managed(&self, host: &HostName, managed: &BTreeSet<NetworkName>) {
        self.store.command(host, |commanded| commanded.managed.clone_from(managed));
    }

    fn note_interfaces(&self, host: &HostName, interfaces: &[CommandedInterface]) {
        self.store.command(host, |commanded| commanded.interfaces = interfaces.to_vec());
    }

    fn owed(&self, host: &HostName) -> Owed {
        self.store.read(|fleet| {
            let wanted = fleet.hosts().get(host).is_some_and(|host| !host.maintenance);
            let reported = fleet.observed(host).and_then(|record| record.capabilities.as_ref());
            match reported {
                Some(reported) if wanted => owed(&Desired::of(fleet, host), reported),
                Some(_) | None => Owed::default(),
            }
        })
    }

    fn send(&self, host: &HostName, changes: Owed, fence: Fence) {
        let id = Uuid::now_v7();
        let request = SetupRequest {
            changes: changes.networks.clone(),
            bonds: changes.bonds.clone(),
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
        let message = command(id, None, CommandKind::SetupNetworks(trestle_proto::host_wire::build_setup(&request)));
        let (networks, bonds) = (changes.networks.len(), changes.bonds.len());
        let patience = self.connectivity_timeout + PATIENCE;
        match self.board.command(host, message, id, (changes, fence.generation), patience) {
            Ok(()) => info!(trestle.host = %host, trestle.command_id = %id, networks, bonds, "command sent"),
            Err(error) => {
                self.note_managed(host, &BTreeSet::new());
                info!(trestle.host = %host, %error, "command not sent");
            }
        }
    }
}

/// Makes a command that belongs to the current trace.
fn command(id: Uuid, timeout: Option<prost_types::Duration>, kind: CommandKind) -> EngineMessage {
    let TraceContext { traceparent, tracestate } = trace_context::current();
    let command = Command { command_id: id.to_string(), timeout, kind: Some(kind) };
    EngineMessage { trace: Some(WireTrace { traceparent, tracestate }), kind: Some(EngineKind::Command(command)) }
}

/// Returns the interfaces that guests have once they are set.
fn interfaces<'a>(plugs: impl IntoIterator<Item = &'a OwedPlug>) -> Vec<CommandedInterface> {
    plugs.into_iter().flat_map(OwedPlug::coming).collect()
}

/// Returns the networks whose MAC tables libvirt manages after `changes`.
fn managed(changes: &[NetworkChange]) -> BTreeSet<NetworkName> {
    let managed = changes.iter().filter(|change| matches!(change, NetworkChange::Set(spec) if spec.is_managed()));
    managed.map(|change| change.network().clone()).collect()
}
