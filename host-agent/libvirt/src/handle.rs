//! The handle by which the rest of the agent reaches libvirt.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tracing::{Span, debug, warn};
use trestle_model::{DomainKey, DomainWiring, Feature, LibvirtInfo, LibvirtState, Support};
use trestle_plan::{GuestStep, LibvirtStep, ObserveError};

use crate::connection::Connection;
use crate::owner::{self, Job};
use crate::{Changes, Fault, probe, snapshot, step};

/// How long a step on a guest may take.
const GUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How to reach libvirt.
#[derive(Debug, Clone)]
pub struct Options {
    /// libvirt's URI, e.g. `qemu:///system`.
    pub uri: String,
    /// How long a caller waits for the answer to one call.
    pub call_timeout: Duration,
    /// How often libvirt is asked what differs, while somebody watches, although it tells of changes by itself. While
    /// it does not, because it cannot be reached or knows no events, it is asked every second, or as often as this.
    pub poll_period: Duration,
}

/// A handle to the thread that owns the connection to libvirt; clones share it.
///
/// The thread ends when the last clone is dropped, or at [`Libvirt::shutdown`].
/// A call that libvirt does not answer in time fails with [`Fault::Deadline`]. The thread itself stays in that call
/// until libvirt answers or its daemon is ended, since libvirt has no way to break a call off; calls made meanwhile
/// fail at their own deadline, and are not performed later.
#[derive(Debug, Clone)]
pub struct Libvirt {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    uri: String,
    call_timeout: Duration,
    /// `None` once shut down.
    jobs: Mutex<Option<Arc<SyncSender<Job>>>>,
    /// Closes when the owner's thread ends.
    changes: watch::Receiver<Changes>,
}

impl Libvirt {
    /// Starts the owner's thread, and once in a process that of libvirt's events; connects at the first call, not here.
    ///
    /// *Errors*: the thread could not be started.
    pub fn start(options: Options) -> io::Result<Self> {
        if let Err(reason) = trestle_libvirt_events::start_loop() {
            warn!(reason, "libvirt's events are not heard; it is polled for changes");
        }
        let (jobs, changes) = owner::start(options.uri.clone(), options.poll_period)?;
        let shared =
            Shared { uri: options.uri, call_timeout: options.call_timeout, jobs: Mutex::new(Some(jobs)), changes };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Tells where libvirt is, whether it answers, its version, and what its filters do.
    ///
    /// *Errors*: never; what is wrong is in `fault`. *Cancel safety*: safe.
    pub async fn info(&self) -> LibvirtInfo {
        self.call(|connection, _| connection.info()).await.unwrap_or_else(|fault| LibvirtInfo {
            uri: self.shared.uri.clone(),
            connected: false,
            version: String::new(),
            fault: fault.to_string(),
            filters: BTreeMap::new(),
        })
    }

    /// Reads all networks and the interfaces of all domains.
    ///
    /// A network or domain that disappears meanwhile is left out; so is, with a warning, a domain whose XML makes no sense.
    ///
    /// *Errors*: [`ObserveError::Libvirt`]. *Cancel safety*: safe, reading has no effect.
    pub async fn observe(&self) -> Result<LibvirtState, ObserveError> {
        self.call(|connection, is_wanted| connection.call(is_wanted, snapshot::read))
            .await
            .and_then(|outcome| outcome)
            .map_err(|fault| ObserveError::Libvirt(fault.to_string()))
    }

    /// Performs one step; one whose effect is there already succeeds.
    ///
    /// *Errors*: [`Fault`]; [`Fault::is_transient`] tells whether to try again.
    /// *Cancel safety*: a step whose caller has gone before it began is not performed; one that has begun is finished,
    /// but not begun again on a new connection.
    pub async fn perform(&self, step: &LibvirtStep) -> Result<(), Fault> {
        let step = step.clone();
        self.call(move |connection, is_wanted| connection.call(is_wanted, |connect| step::perform(connect, &step)))
            .await
            .and_then(|outcome| outcome)
    }

    /// Reads one domain in detail; none where libvirt has none of that name.
    ///
    /// *Errors*: [`ObserveError::Libvirt`]. *Cancel safety*: safe, reading has no effect.
    pub async fn wiring(&self, domain: &DomainKey) -> Result<Option<DomainWiring>, ObserveError> {
        let domain = domain.clone();
        self.call(move |connection, is_wanted| connection.call(is_wanted, |connect| snapshot::wiring(connect, &domain)))
            .await
            .and_then(|outcome| outcome)
            .map_err(|fault| ObserveError::Libvirt(fault.to_string()))
    }

    /// Reads the names of all filters; none where libvirt has no filters at all.
    ///
    /// *Errors*: [`ObserveError::Libvirt`]. *Cancel safety*: safe, reading has no effect.
    pub async fn filters(&self) -> Result<BTreeSet<String>, ObserveError> {
        self.call(|connection, is_wanted| connection.call(is_wanted, snapshot::filters))
            .await
            .and_then(|outcome| outcome)
            .map_err(|fault| ObserveError::Libvirt(fault.to_string()))
    }

    /// Performs one step on a guest; one whose effect is there already succeeds.
    ///
    /// It may take a minute, whatever the timeout for other calls: libvirt lays a filter out by many processes, and waits
    /// some seconds for a guest that is to release a device.
    ///
    /// *Errors*, *cancel safety*: as [`Libvirt::perform`].
    pub async fn perform_on_guest(&self, step: &GuestStep) -> Result<(), Fault> {
        let step = step.clone();
        let limit = self.shared.call_timeout.max(GUEST_TIMEOUT);
        self.call_within(limit, move |connection, is_wanted| {
            connection.call(is_wanted, |connect| step::guest::perform(connect, &step))
        })
        .await
        .and_then(|outcome| outcome)
    }

    /// Tells what libvirt can do.
    ///
    /// It is found by trying, once for each connection: a stopped network named `trestle-probe` is defined, read back
    /// and undefined; on a standing connection, later calls answer from what was found. libvirt's in-process test
    /// driver takes every definition, and so seems to have every feature.
    ///
    /// *Shape*: both features of libvirt, each time; unknown where libvirt does not answer. *Cancel safety*: safe.
    pub async fn probe(&self) -> BTreeMap<Feature, Support> {
        self.call(|connection, _| connection.probe()).await.unwrap_or_else(|fault| probe::unknown(&fault))
    }

    /// Returns a channel that tells when networks, guests or the connection differ from what they were.
    ///
    /// libvirt tells by itself of domains and networks that are defined, undefined, started, paused, resumed or stopped,
    /// and of devices of running domains that come and go. It is also *polled*, every [`Options::poll_period`], for
    /// what it does not tell of: which networks start by themselves, and what a daemon behind its own daemon lost.
    ///
    /// *Shape*: the latest value only, so a slow reader loses nothing but the count of steps between. The first poll
    /// after somebody began to watch always counts as a difference: observe after it. The channel closes when the
    /// owner's thread has ended.
    pub fn watch(&self) -> watch::Receiver<Changes> {
        let mut changes = self.shared.changes.clone();
        changes.mark_unchanged();
        changes
    }

    /// Ends the owner's thread, for every clone, after the calls that wait already; returns when it has ended, or at
    /// the latest after the call timeout, for a thread that libvirt does not let go.
    ///
    /// *Cancel safety*: safe, the thread ends all the same.
    pub async fn shutdown(&self) {
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut changes = self.shared.changes.clone();
        let ended = async { while changes.changed().await.is_ok() {} };
        if timeout(self.shared.call_timeout, ended).await.is_err() {
            warn!("libvirt still holds its thread; left behind");
        }
    }

    /// Runs `work` on the owner's thread; its second argument tells whether the caller still waits.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &dyn Fn() -> bool) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        self.call_within(self.shared.call_timeout, work).await
    }

    /// As [`Self::call`], for a caller that waits for `limit`.
    async fn call_within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&mut Connection, &dyn Fn() -> bool) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let span = Span::current();
        let job: Job = Box::new(move |connection| {
            // The caller has gone or has been told that it failed: what it asked for must not happen any more.
            if reply.is_closed() {
                return;
            }
            let outcome = span.in_scope(|| work(connection, &|| !reply.is_closed()));
            if reply.send(outcome).is_err() {
                debug!("answer of libvirt came after the caller had gone");
            }
        });
        self.enqueue(job)?;
        match timeout(limit, answer).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(Fault::Ended),
            Err(_) => Err(Fault::Deadline(limit)),
        }
    }

    fn enqueue(&self, job: Job) -> Result<(), Fault> {
        let jobs = self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(jobs) = jobs.as_ref() else { return Err(Fault::Ended) };
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Fault::Busy,
            TrySendError::Disconnected(_) => Fault::Ended,
        })
    }
}

#[cfg(test)]
mod tests;
