//! The signal that a host may be owed something.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use trestle_model::HostName;
use trestle_telemetry::trace_context::TraceContext;

/// Hosts to look at, each once, with the trace of the last request that woke it.
#[derive(Debug, Default)]
pub struct Wake {
    hosts: Mutex<BTreeMap<HostName, Option<TraceContext>>>,
    signal: Notify,
}

impl Wake {
    /// Asks for a look at `host`; a `cause` stays until the look, also when a later call names none.
    pub fn host(&self, host: &HostName, cause: Option<TraceContext>) {
        let mut hosts = self.lock();
        let slot = hosts.entry(host.clone()).or_default();
        if cause.is_some() {
            *slot = cause;
        }
        drop(hosts);
        self.signal.notify_one();
    }

    /// Waits until some host is to be looked at. *Cancel safety*: safe, no signal is lost.
    pub(super) async fn woken(&self) {
        self.signal.notified().await;
    }

    /// Takes the hosts to look at, ordered.
    pub(super) fn take(&self) -> BTreeMap<HostName, Option<TraceContext>> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HostName, Option<TraceContext>>> {
        // No code panics while it holds the lock.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
