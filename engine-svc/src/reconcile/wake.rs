//! The signal that a host may be owed something.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use trestle_model::HostName;
use trestle_telemetry::trace_context::TraceContext;

/// Hosts to look at, each once.
#[derive(Debug, Default)]
pub struct Wake {
    hosts: Mutex<BTreeMap<HostName, Look>>,
    signal: Notify,
}

/// A look that is wanted at a host.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The trace of the last request that woke it.
    pub(super) cause: Option<TraceContext>,
    /// At what.
    pub(super) depth: Depth,
}

/// At what of a host is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Depth {
    /// Its networks.
    #[default]
    Networks,
    /// Its guests, too.
    Guests,
}

impl Wake {
    /// Asks for a look at `host` and its guests; a `cause` stays until the look, also when a later call names none.
    pub fn host(&self, host: &HostName, cause: Option<TraceContext>) {
        self.look(host, cause, Depth::Guests);
    }

    /// Asks for a look at `host` because its turn has come.
    pub(super) fn sweep(&self, host: &HostName, depth: Depth) {
        self.look(host, None, depth);
    }

    /// Waits until some host is to be looked at. *Cancel safety*: safe, no signal is lost.
    pub(super) async fn woken(&self) {
        self.signal.notified().await;
    }

    /// Takes the hosts to look at, ordered.
    pub(super) fn take(&self) -> BTreeMap<HostName, Look> {
        std::mem::take(&mut *self.lock())
    }

    fn look(&self, host: &HostName, cause: Option<TraceContext>, depth: Depth) {
        let mut hosts = self.lock();
        let look = hosts.entry(host.clone()).or_default();
        if cause.is_some() {
            look.cause = cause;
        }
        look.depth = look.depth.max(depth);
        drop(hosts);
        self.signal.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HostName, Look>> {
        // No code panics while it holds the lock.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
