//! What libvirt calls, and who hears of it.
//!
//! libvirt is given a number with each function, in place of a pointer, and owns nothing of ours: who listens is found
//! by the number. So a call that comes late, because it was under way while the subscription ended, finds nobody, and
//! nothing need be known of when libvirt lets go.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::without_provenance_mut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::error;
use virt_sys as sys;

use crate::Notice;

/// Listens; none once it is to be told nothing more.
type Listener = Arc<Mutex<Option<Box<dyn Fn(Notice) + Send>>>>;

static LISTENERS: Mutex<Listeners> = Mutex::new(Listeners { last: 0, by_number: BTreeMap::new() });

struct Listeners {
    /// No number is given twice: a late call must not find somebody else.
    last: usize,
    by_number: BTreeMap<usize, Listener>,
}

/// One who listens, until it is dropped.
pub(crate) struct Listening {
    number: usize,
    listener: Listener,
}

impl Listening {
    pub(crate) fn new(listener: Box<dyn Fn(Notice) + Send>) -> Self {
        let listener = Arc::new(Mutex::new(Some(listener)));
        let mut listeners = locked(&LISTENERS);
        listeners.last += 1;
        let number = listeners.last;
        listeners.by_number.insert(number, Arc::clone(&listener));
        Self { number, listener }
    }

    /// Returns what libvirt is to call with. It points at nothing.
    pub(crate) fn opaque(&self) -> *mut c_void {
        without_provenance_mut(self.number)
    }
}

impl Drop for Listening {
    /// Waits for a call that is under way; none is let through afterwards.
    fn drop(&mut self) {
        locked(&LISTENERS).by_number.remove(&self.number);
        locked(&self.listener).take();
    }
}

/// Tells whoever listens under the number. One who panics hears nothing more, and the panic stays here: libvirt is
/// written in C.
fn tell(opaque: *mut c_void, notice: Notice) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let Some(listener) = locked(&LISTENERS).by_number.get(&opaque.addr()).cloned() else { return };
        let mut listener = locked(&listener);
        // Put back only by a listener that returns.
        if let Some(listens) = listener.take() {
            listens(notice);
            *listener = Some(listens);
        }
    }));
    if outcome.is_err() {
        error!("who listened to libvirt's events has failed, and hears nothing more");
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A `virConnectDomainEventCallback`.
pub(crate) extern "C" fn domain_lifecycle(
    _: sys::virConnectPtr,
    _: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    tell(opaque, Notice::Domains);
    0
}

/// A `virConnectDomainEventDeviceAddedCallback`; the one for removed devices is alike.
pub(crate) extern "C" fn domain_device(
    _: sys::virConnectPtr,
    _: sys::virDomainPtr,
    _alias: *const c_char,
    opaque: *mut c_void,
) {
    tell(opaque, Notice::Domains);
}

/// A `virConnectNetworkEventLifecycleCallback`.
pub(crate) extern "C" fn network_lifecycle(
    _: sys::virConnectPtr,
    _: sys::virNetworkPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) {
    tell(opaque, Notice::Networks);
}

/// A `virConnectNetworkEventMetadataChangeCallback`.
pub(crate) extern "C" fn network_metadata(
    _: sys::virConnectPtr,
    _: sys::virNetworkPtr,
    _kind: c_int,
    _namespace: *const c_char,
    opaque: *mut c_void,
) {
    tell(opaque, Notice::Networks);
}

/// A `virConnectCloseFunc`.
pub(crate) extern "C" fn closed(_: sys::virConnectPtr, _reason: c_int, opaque: *mut c_void) {
    tell(opaque, Notice::Closed);
}

#[cfg(test)]
mod tests;
