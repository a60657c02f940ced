//! The clients that run, and the leases that are remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use trestle_model::{DhcpClient, DhcpClientSpec, DhcpState, IfName, IpFamily, KeptLease, Lease};
use trestle_plan::DhcpStep;
use uuid::Uuid;

use crate::client::{left, run};
use crate::device::device;

/// The host's DHCP clients; clones share them. They end with [`Self::shutdown`], or with the runtime that runs them.
#[derive(Debug, Clone)]
pub struct Dhcp {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    duid: Uuid,
    table: Mutex<Table>,
    /// Counts the changes of clients and leases.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Table {
    clients: BTreeMap<(IfName, IpFamily), Running>,
    kept: BTreeMap<(IfName, IpFamily), KeptLease>,
    tasks: JoinSet<()>,
    /// Number of the next client: a task that was aborted cannot speak for its successor.
    next: u64,
}

#[derive(Debug)]
struct Running {
    number: u64,
    client: DhcpClient,
    task: AbortHandle,
    /// Counts how often the client was asked to ask at once.
    kicks: watch::Sender<u64>,
}

/// A client's place in the table.
#[derive(Debug)]
pub(crate) struct Seat {
    shared: Arc<Shared>,
    number: u64,
    key: (IfName, IpFamily),
    first: DhcpClientSpec,
}

impl Dhcp {
    /// Begins without a client, with the leases that an earlier run left and the host's own identity for DHCPv6.
    pub fn new(duid: Uuid, kept: Vec<KeptLease>) -> Self {
        let kept = kept.into_iter().map(|kept| ((kept.segment.clone(), kept.family), kept)).collect();
        let table = Table { clients: BTreeMap::new(), kept, tasks: JoinSet::new(), next: 0 };
        let shared = Shared { duid, table: Mutex::new(table), changes: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Tells of every client, ordered by device and family.
    pub fn observe(&self) -> Vec<DhcpClient> {
        self.shared.lock().clients.values().map(|running| running.client.clone()).collect()
    }

    /// Returns the leases that are worth remembering, ordered: those in force, and those of clients that were stopped.
    pub fn kept(&self) -> Vec<KeptLease> {
        self.shared.lock().kept.values().cloned().collect()
    }

    /// Returns a channel that tells when a client or a lease has changed.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Performs a step. A client begins with the lease that is remembered for its segment and hardware address: it is in
    /// force at once, until a server refuses it.
    ///
    /// *Errors*: for people; the device is not there. *Panics*: outside of a tokio runtime with I/O and time.
    pub fn perform(&self, step: &DhcpStep) -> Result<(), String> {
        match step {
            DhcpStep::Start(spec) => self.start(spec)?,
            DhcpStep::Stop { link, family } => {
                if let Some(running) = self.shared.lock().clients.remove(&(link.clone(), *family)) {
                    running.task.abort();
                }
            }
        }
        self.shared.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Lets the clients of a segment ask at once whether their leases are still good, and for one where they have none: the
    /// cable there may be another one now. Leases are in force meanwhile.
    pub fn ask_again(&self, segment: &IfName) {
        let table = self.shared.lock();
        for running in table.clients.values().filter(|running| &running.client.spec.segment == segment) {
            running.kicks.send_modify(|count| *count += 1);
        }
    }

    /// Ends every client; leases, and what they brought, stay as they are.
    pub async fn shutdown(&self) {
        let mut tasks = {
            let mut table = self.shared.lock();
            table.clients.clear();
            std::mem::take(&mut table.tasks)
        };
        tasks.shutdown().await;
    }

    fn start(&self, spec: &DhcpClientSpec) -> Result<(), String> {
        let mac = device(&spec.link)?.mac;
        let key = (spec.link.clone(), spec.family);
        let mut table = self.shared.lock();
        if let Some(running) = table.clients.get_mut(&key)
            && running.client.spec.segment == spec.segment
        {
            running.client.spec = spec.clone();
            return Ok(());
        }
        if let Some(before) = table.clients.remove(&key) {
            before.task.abort();
        }
        while table.tasks.try_join_next().is_some() {}
        table.kept.retain(|_, kept| left(&kept.lease).is_some());
        let remembered = table.kept.get(&(spec.segment.clone(), spec.family)).filter(|kept| kept.mac == mac);
        let lease = remembered.map(|kept| kept.lease.clone());
        let number = table.next;
        table.next += 1;
        let seat = Seat { shared: Arc::clone(&self.shared), number, key: key.clone(), first: spec.clone() };
        let state = if lease.is_some() { DhcpState::Verifying } else { DhcpState::Searching };
        let client = DhcpClient { spec: spec.clone(), state, lease: lease.clone(), problem: None };
        let (kicks, kicked) = watch::channel(0);
        let task = table.tasks.spawn(Box::pin(run(seat, lease, kicked)));
        table.clients.insert(key, Running { number, client, task, kicks });
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Returns what the client is told at the moment.
    pub(crate) fn spec(&self) -> DhcpClientSpec {
        let table = self.shared.lock();
        let running = table.clients.get(&self.key).filter(|running| running.number == self.number);
        running.map_or_else(|| self.first.clone(), |running| running.client.spec.clone())
    }

    pub(crate) fn duid(&self) -> Uuid {
        self.shared.duid
    }

    /// Says that a lease is in force, and remembers it.
    pub(crate) fn hold(&self, state: DhcpState, lease: Lease) {
        // A lease of a device that has gone meanwhile belongs to nobody.
        let mac = device(&self.first.link).map(|device| device.mac).ok();
        self.change(|client, kept| {
            if let Some(mac) = mac {
                let (segment, family) = (client.spec.segment.clone(), client.spec.family);
                let entry = KeptLease { segment: segment.clone(), family, mac, lease: lease.clone() };
                kept.insert((segment, family), entry);
            }
            *client = DhcpClient { spec: client.spec.clone(), state, lease: Some(lease), problem: None };
        });
    }

    /// Says that the lease is gone, and forgets it.
    pub(crate) fn lose(&self, problem: String) {
        self.change(|client, kept| {
            kept.remove(&(client.spec.segment.clone(), client.spec.family));
            let spec = client.spec.clone();
            *client = DhcpClient { spec, state: DhcpState::Searching, lease: None, problem: Some(problem) };
        });
    }

    /// Says what goes wrong; whatever is in force goes on.
    pub(crate) fn trouble(&self, problem: String) {
        self.change(|client, _| client.problem = Some(problem));
    }

    fn change(&self, change: impl FnOnce(&mut DhcpClient, &mut BTreeMap<(IfName, IpFamily), KeptLease>)) {
        let changed = {
            let mut table = self.shared.lock();
            let Table { clients, kept, .. } = &mut *table;
            let running = clients.get_mut(&self.key).filter(|running| running.number == self.number);
            running.map(|running| change(&mut running.client, kept)).is_some()
        };
        if changed {
            self.shared.changes.send_modify(|count| *count += 1);
        }
    }
}
