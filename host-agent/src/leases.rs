//! What DHCP leases mean for the kernel, kept true by one task.
//!
//! It brings the kernel into line with the leases in force: an address that ends with its lease, the lease's routes and
//! rules, and the resolver with the lease's name servers. It takes away what a lease brought when the lease ends, changes
//! or loses its client, and keeps the leases on disk. The kernel ends a lease's address by itself, too, should the agent be
//! away then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use trestle_dhcp::Dhcp;
use trestle_model::{IfName, IpFamily, KeptLease, Lease, Route, Rule};
use trestle_netlink::{Kernel, Table};
use trestle_plan::{KernelStep, LEASE_PROTOCOL, LeaseMeaning, leased_nameservers, meaning};
use trestle_telemetry::chain;

use crate::clock;
use crate::journal::{Change, Journal};
use crate::nameservers::NameServers;

/// How often the kernel is brought into line where nothing tells of a change.
const PERIOD: Duration = Duration::from_secs(30);
/// The rest after a step that the kernel refused, as it does while a device is down.
const RETRY: Duration = Duration::from_secs(2);
/// How long a step on clients waits for the kernel to be in line.
const PATIENCE: Duration = Duration::from_secs(5);
const QUEUE: usize = 8;

/// The task; made with [`Leases::new`].
#[derive(Debug)]
pub struct Leases {
    dhcp: Dhcp,
    kernel: Kernel,
    resolver: NameServers,
    journal: Journal,
    orders: mpsc::Receiver<oneshot::Sender<()>>,
    applied: BTreeMap<(IfName, IpFamily), LeaseMeaning>,
    written: Vec<KeptLease>,
    /// Whether name servers of a lease were set since the start: only then the end of the lease is known to be one.
    names_servers: bool,
    /// Whether something of a lease may be there that no client has any more: an earlier agent's, or what could not be removed.
    unswept: bool,
    /// Whether the last failure was told of.
    troubled: bool,
}

/// Waits until the kernel is in line with the leases; clones order from the same task.
#[derive(Debug, Clone)]
pub struct Settlement {
    orders: mpsc::Sender<oneshot::Sender<()>>,
}

impl Leases {
    /// Makes the task, and what waits for it.
    pub fn new(dhcp: Dhcp, kernel: Kernel, resolver: NameServers, journal: Journal) -> (Self, Settlement) {
        let (orders_in, orders) = mpsc::channel(QUEUE);
        let written = journal.contents().leases.clone();
        let applied = BTreeMap::new();
        let (names_servers, unswept, troubled) = (false, true, false);
        let leases =
            Self { dhcp, kernel, resolver, journal, orders, applied, written, names_servers, unswept, troubled };
        (leases, Settlement { orders: orders_in })
    }

    /// Keeps the kernel in line until `stop` is cancelled; what leases have brought stays then.
    ///
    /// *Cancel safety*: none; cancel `stop` instead.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.dhcp.watch();
        loop {
            let rest = if self.settle().await { PERIOD } else { RETRY };
            // Cancel safety: waiting for a token, a channel or a time all are.
            let order = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(order) = self.orders.recv() => Some(order),
                Ok(()) = changes.changed() => None,
                () = sleep(rest) => {
                    if self.unswept {
                        self.unswept = !self.sweep().await;
                    }
                    None
                }
            };
            if let Some(order) = order {
                self.settle().await;
                // Whoever ordered may have gone.
                let _gone = order.send(());
            }
        }
    }

    /// Brings the kernel and the disk into line; tells whether both are.
    async fn settle(&mut self) -> bool {
        let clients = self.dhcp.observe();
        let wanted: BTreeMap<(IfName, IpFamily), (LeaseMeaning, Option<Lease>)> = clients
            .iter()
            .filter_map(|client| {
                let meant = meaning(client)?;
                Some(((client.spec.link.clone(), client.spec.family), (meant, client.lease.clone())))
            })
            .collect();
        let mut in_line = true;
        for (key, before) in std::mem::take(&mut self.applied) {
            let now = wanted.get(&key).map(|(meant, _)| meant);
            in_line &= self.withdraw(&key.0, &before, now).await;
        }
        self.unswept |= !in_line;
        for (key, (meant, lease)) in wanted {
            in_line &= self.apply(&key.0, &meant, lease.as_ref()).await;
            self.applied.insert(key, meant);
        }
        if in_line {
            self.troubled = false;
        }
        let servers = leased_nameservers(&clients);
        if self.names_servers || !servers.is_empty() {
            self.names_servers = true;
            in_line &= self.resolver.lease(&servers).await;
        }
        in_line & self.keep().await
    }

    /// Takes away what leases of an earlier agent brought that no client has any more. The kernel ends addresses by
    /// itself, and routes with them; rules and name servers it does not. Tells whether all of it is gone.
    async fn sweep(&mut self) -> bool {
        self.names_servers = true;
        let Ok(look) = self.kernel.look(&BTreeSet::from([Table::Routes])).await else { return false };
        let rules = look.state.rules.into_iter().filter(|rule| rule.protocol == LEASE_PROTOCOL);
        let is_meant = |rule: &Rule| self.applied.values().any(|meant| meant.rules.contains(rule));
        let mut gone = true;
        for rule in rules.filter(|rule| !is_meant(rule)).collect::<Vec<_>>() {
            gone &= self.perform(KernelStep::RemoveRule { rule }).await;
        }
        gone
    }

    /// Takes away what a lease brought before and does not bring now.
    async fn withdraw(&mut self, link: &IfName, before: &LeaseMeaning, now: Option<&LeaseMeaning>) -> bool {
        let mut in_line = true;
        let rules = before.rules.iter().filter(|rule| now.is_none_or(|now| !now.rules.contains(rule)));
        for rule in rules.cloned().collect::<Vec<_>>() {
            in_line &= self.perform(KernelStep::RemoveRule { rule }).await;
        }
        let stays = |route: &Route| now.is_some_and(|now| now.routes.contains(route));
        for route in before.routes.iter().filter(|route| !stays(route)) {
            in_line &= self.perform(KernelStep::RemoveRoute { route: route.clone() }).await;
        }
        if now.is_none_or(|now| now.address.net != before.address.net) {
            let step = KernelStep::RemoveAddress { link: link.clone(), address: before.address.clone() };
            in_line &= self.perform(step).await;
        }
        in_line
    }

    async fn apply(&mut self, link: &IfName, meant: &LeaseMeaning, lease: Option<&Lease>) -> bool {
        let (valid_s, preferred_s) = lease.map_or((0, 0), left_s);
        if valid_s == 0 {
            // It is over; its client is about to find out.
            return true;
        }
        let (link, address) = (link.clone(), meant.address.clone());
        let mut in_line = self.perform(KernelStep::LeaseAddress { link, address, valid_s, preferred_s }).await;
        for route in meant.routes.iter().filter(|_| in_line).cloned().collect::<Vec<_>>() {
            in_line &= self.perform(KernelStep::AddRoute { route }).await;
        }
        for rule in meant.rules.iter().filter(|_| in_line).cloned().collect::<Vec<_>>() {
            in_line &= self.perform(KernelStep::AddRule { rule }).await;
        }
        in_line
    }

    async fn perform(&mut self, step: KernelStep) -> bool {
        let Err(failure) = self.kernel.perform(&[&step]).await else { return true };
        if self.troubled {
            debug!(step = %step, error = %failure, "kernel is still not in line with a lease");
        } else {
            warn!(step = %step, error = %failure, "kernel is not in line with a lease, will be tried again");
        }
        self.troubled = true;
        false
    }

    /// Keeps the leases on disk.
    async fn keep(&mut self) -> bool {
        let kept = self.dhcp.kept();
        if kept == self.written {
            return true;
        }
        match self.journal.write(Change { leases: Some(kept.clone()), ..Change::default() }).await {
            Ok(()) => {
                self.written = kept;
                true
            }
            Err(error) => {
                error!(error = %chain(&error), "leases not kept, will be tried again");
                false
            }
        }
    }
}

impl Settlement {
    /// Makes one for a host without the task: there are no leases to wait for.
    pub fn alone() -> Self {
        Self { orders: mpsc::channel(1).0 }
    }

    /// Returns when the kernel is in line with the leases of now, or does not get there for long.
    ///
    /// *Cancel safety*: safe.
    pub async fn reached(&self) {
        let (done_in, done) = oneshot::channel();
        let settled = async {
            if self.orders.send(done_in).await.is_ok() {
                let _ended = done.await;
            }
        };
        if timeout(PATIENCE, settled).await.is_err() {
            warn!("kernel is not in line with the leases for long");
        }
    }
}

/// Returns how many seconds a lease has left, and how many of them its address may begin connections.
fn left_s(lease: &Lease) -> (u32, u32) {
    let Some(expires_ms) = lease.expires_ms else { return (u32::MAX, u32::MAX) };
    let left = expires_ms.saturating_sub(clock::now_ms()).div_ceil(1000);
    let valid = u32::try_from(left).unwrap_or(u32::MAX - 1);
    let used = lease.lifetime_s.saturating_sub(valid);
    (valid, lease.preferred_s.saturating_sub(used).min(valid))
}
