//! What DHCP leases and IPv6 routers mean for the host, kept true by one task.
//!
//! It brings the kernel into line with the leases in force: an address that ends with its lease, the lease's routes and
//! rules, and the resolver with the lease's name servers. What routers advertise and the kernel makes nothing of, it brings
//! likewise: name servers, and the table of a network that answers through its own router. It takes away what a lease or a
//! router brought when that ends, changes or loses its network, and keeps the leases on disk. The kernel ends a lease's
//! address by itself, too, should the agent be away then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use trestle_dhcp::{Dhcp, Routers};
use trestle_model::{HostConfig, IfName, IpFamily, KeptLease, Lease, NetworkSpec, Route, Rule};
use trestle_netlink::{Change, ConnectError, Kernel, Table, Watch};
use trestle_plan::{KernelStep, LEASE_PROTOCOL, LeaseMeaning, Steering, attended, meaning, names_meant, steering};
use trestle_telemetry::chain;

use crate::clock;
use crate::journal::{self, Contents, Journal};
use crate::nameservers::NameServers;

/// How often the kernel is brought into line where nothing tells of a change.
const PERIOD: Duration = Duration::from_secs(30);
/// The rest after a step that the kernel refused, as it does while a device is down.
const RETRY: Duration = Duration::from_secs(2);
/// How long a step on clients waits for the kernel to be in line.
const PATIENCE: Duration = Duration::from_secs(5);
const QUEUE: usize = 8;

/// The task; made with [`Leases::new`].
pub struct Leases {
    dhcp: Dhcp,
    routers: Routers,
    kernel: Kernel,
    /// Tells of tables and rules; while there are none, it is not asked.
    watch: Watch,
    resolver: NameServers,
    journal: Journal,
    orders: mpsc::Receiver<oneshot::Sender<()>>,
    applied: BTreeMap<(IfName, IpFamily), LeaseMeaning>,
    steered: Steering,
    written: Vec<KeptLease>,
    /// Whether name servers of a lease or a router were set since the start: only then their end is known to be one.
    names_servers: bool,
    /// Whether something of a lease may be there that no client has any more: an earlier agent's, or what could not be removed.
    unswept: bool,
    /// Whether the last failure was told of.
    troubled: bool,
}

/// What tells that a lease or a router may mean something else.
struct Told {
    dhcp: watch::Receiver<u64>,
    routers: watch::Receiver<u64>,
    journal: watch::Receiver<Arc<Contents>>,
}

/// Why a wait has ended.
enum Woken {
    Stopped,
    /// Somebody waits for the kernel to be in line.
    Ordered(oneshot::Sender<()>),
    /// Something has changed.
    Told,
    /// Nothing has changed for long.
    Rested,
}

/// Waits until the kernel is in line with the leases; clones order from the same task.
#[derive(Debug, Clone)]
pub struct Settlement {
    orders: mpsc::Sender<oneshot::Sender<()>>,
}

impl Leases {
    /// Makes the task, and what waits for it.
    ///
    /// *Errors*: [`ConnectError`] where the kernel gives no socket.
    pub fn new(
        dhcp: Dhcp,
        routers: Routers,
        kernel: Kernel,
        resolver: NameServers,
        journal: Journal,
    ) -> Result<(Self, Settlement), ConnectError> {
        let (orders_in, orders) = mpsc::channel(QUEUE);
        let leases = Self {
            written: journal.contents().leases.clone(),
            applied: BTreeMap::new(),
            steered: Steering::default(),
            names_servers: false,
            unswept: true,
            troubled: false,
            dhcp,
            routers,
            watch: kernel.watch()?,
            kernel,
            resolver,
            journal,
            orders,
        };
        Ok((leases, Settlement { orders: orders_in }))
    }

    /// Keeps the kernel in line until `stop` is cancelled; what leases have brought stays then.
    ///
    /// *Cancel safety*: none; cancel `stop` instead.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut told = Told { dhcp: self.dhcp.watch(), routers: self.routers.watch(), journal: self.journal.watch() };
        loop {
            let rest = if self.settle().await { PERIOD } else { RETRY };
            match self.wait(&mut told, rest, &stop).await {
                Woken::Stopped => return,
                Woken::Ordered(order) => {
                    self.settle().await;
                    // Whoever ordered may have gone.
                    let _gone = order.send(());
                }
                Woken::Rested if self.unswept => self.unswept = !self.sweep().await,
                Woken::Rested | Woken::Told => {}
            }
        }
    }

    /// Waits until there may be something to do.
    ///
    /// *Cancel safety*: safe.
    async fn wait(&mut self, told: &mut Told, rest: Duration, stop: &CancellationToken) -> Woken {
        let began = Instant::now();
        let mut due = (began + rest, Woken::Rested);
        loop {
            let has_rules =
                !self.steered.rules.is_empty() || self.applied.values().any(|meant| !meant.rules.is_empty());
            // Cancel safety: waiting for a token, a channel, a notice or a time all are.
            tokio::select! {
                biased;
                () = stop.cancelled() => return Woken::Stopped,
                Some(order) = self.orders.recv() => return Woken::Ordered(order),
                Ok(()) = told.dhcp.changed() => return Woken::Told,
                Ok(()) = told.routers.changed() => return Woken::Told,
                Ok(()) = told.journal.changed() => return Woken::Told,
                () = sleep_until(due.0) => return due.1,
                // What was lost comes back soon, and a flood of changes is looked at now and then.
                Some(changes) = self.watch.next(), if has_rules => {
                    if changes.iter().any(may_be_of_tables) {
                        due = (due.0.min(began + RETRY), Woken::Told);
                    }
                }
            }
        }
    }

    /// Brings the kernel, the resolver and the disk into line; tells whether all are.
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
        let (steering, names, others) = {
            let contents = self.journal.contents();
            self.routers.attend(&attended(&contents.running));
            let advertised = self.routers.observe();
            let names = names_meant(&clients, &contents.running, &advertised);
            let others = if names.is_some() { off_the_default_route(&contents.running) } else { BTreeSet::new() };
            (steering(&clients, &contents.running, &advertised), names, others)
        };
        in_line &= self.steer(steering).await;
        if in_line {
            self.troubled = false;
        }
        if self.names_servers || names.is_some() {
            self.names_servers = true;
            in_line &= self.resolver.lease(names.as_ref(), &others).await;
        }
        in_line & self.keep().await
    }

    /// Brings the tables of networks that answer through routers of their own.
    async fn steer(&mut self, now: Steering) -> bool {
        let before = std::mem::replace(&mut self.steered, now.clone());
        let mut gone = true;
        for rule in before.rules.into_iter().filter(|rule| !now.rules.contains(rule)) {
            gone &= self.perform(KernelStep::RemoveRule { rule }).await;
        }
        for route in before.routes.into_iter().filter(|route| !now.routes.contains(route)) {
            gone &= self.perform(KernelStep::RemoveRoute { route }).await;
        }
        self.unswept |= !gone;
        let mut in_line = gone;
        for route in now.routes {
            in_line &= self.perform(KernelStep::AddRoute { route }).await;
        }
        for rule in now.rules {
            in_line &= self.perform(KernelStep::AddRule { rule }).await;
        }
        in_line
    }

    /// Takes away what leases and routers of an earlier agent brought that nobody has any more. The kernel ends addresses by
    /// itself, and a lease's routes with them; rules, name servers and routes by routers it does not. Tells whether all of
    /// it is gone.
    async fn sweep(&mut self) -> bool {
        self.names_servers = true;
        let Ok(look) = self.kernel.look(&BTreeSet::from([Table::Routes])).await else { return false };
        let rules = look.state.rules.into_iter().filter(|rule| rule.protocol == LEASE_PROTOCOL);
        let is_meant = |rule: &Rule| {
            self.steered.rules.contains(rule) || self.applied.values().any(|meant| meant.rules.contains(rule))
        };
        let is_stale = |route: &Route| {
            route.protocol == LEASE_PROTOCOL
                && Route::SOURCE_TABLES.contains(&route.table)
                && route.destination.addr().is_ipv6()
                && !self.steered.routes.contains(route)
        };
        let rules = rules.filter(|rule| !is_meant(rule)).map(|rule| KernelStep::RemoveRule { rule });
        let routes = look.state.routes.into_iter().filter(is_stale).map(|route| KernelStep::RemoveRoute { route });
        let mut gone = true;
        for step in rules.chain(routes).collect::<Vec<_>>() {
            gone &= self.perform(step).await;
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
        match self.journal.write(journal::Change { leases: Some(kept.clone()), ..journal::Change::default() }).await {
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

const fn may_be_of_tables(change: &Change) -> bool {
    match change {
        Change::Routes | Change::Rules | Change::Resync => true,
        Change::Links
        | Change::Addresses
        | Change::Forwarding
        | Change::Learning
        | Change::Egress
        | Change::Vlans
        | Change::Nics => false,
    }
}

/// Returns the devices of networks that do not own the default route.
fn off_the_default_route(running: &HostConfig) -> BTreeSet<IfName> {
    running.specs().filter(|spec| !spec.default_route).filter_map(NetworkSpec::top_device).collect()
}

/// Returns how many seconds a lease has left, and how many of them its address may begin connections.
fn left_s(lease: &Lease) -> (u32, u32) {
    let Some(expires_ms) = lease.expires_ms else { return (u32::MAX, u32::MAX) };
    let left = expires_ms.saturating_sub(clock::now_ms()).div_ceil(1000);
    let valid = u32::try_from(left).unwrap_or(u32::MAX - 1);
    let used = lease.lifetime_s.saturating_sub(valid);
    (valid, lease.preferred_s.saturating_sub(used).min(valid))
}
