//! The registering of callbacks with a connection, and its end.

use std::ffi::c_int;
use std::mem::transmute;
use std::ptr::null_mut;

use virt::connect::Connect;
use virt::error::Error;
use virt_sys as sys;

use crate::Notice;
use crate::callback::{self, Listening};

/// What is told of one connection, until it is dropped.
///
/// It has a reference to the connection of its own. Dropping it asks the daemon to tell no more, which may block as any
/// other call of libvirt does.
pub struct Subscription {
    connect: Connect,
    listening: Listening,
    /// Numbers of what was registered, by which it is ended.
    domain_events: Vec<c_int>,
    network_events: Vec<c_int>,
    hears_end: bool,
}

/// What libvirt takes for the callback of any event of domains.
type DomainCallback = sys::virConnectDomainEventGenericCallback;
/// What libvirt takes for the callback of any event of networks.
type NetworkCallback = sys::virConnectNetworkEventGenericCallback;

impl Subscription {
    /// Lets `listener` be told of changes of `connect`'s domains and networks, and of its end.
    ///
    /// It is told on the thread of libvirt's event loop ([`crate::start_loop`]), which it must not hold up, and where
    /// it must not drop the subscription. It is not called any more once the subscription was dropped, or after it
    /// panicked.
    ///
    /// *Shape*: the life of domains and networks in each case; devices, networks' metadata and the connection's end where
    /// libvirt tells of them.
    ///
    /// *Errors*: libvirt does not tell of the life of domains or networks; nothing is told then.
    pub fn new(connect: &Connect, listener: impl Fn(Notice) + Send + 'static) -> Result<Self, Error> {
        let mut subscription = Self {
            connect: connect.clone(),
            listening: Listening::new(Box::new(listener)),
            domain_events: Vec::new(),
            network_events: Vec::new(),
            hears_end: false,
        };
        subscription.register()?;
        Ok(subscription)
    }

    fn register(&mut self) -> Result<(), Error> {
        let lifecycle: sys::virConnectDomainEventCallback = Some(callback::domain_lifecycle);
        // SAFETY: both are pointers to C functions; libvirt turns it back before it calls.
        let lifecycle = unsafe { transmute::<sys::virConnectDomainEventCallback, DomainCallback>(lifecycle) };
        // SAFETY: the callback is of the type that goes with this event.
        unsafe { self.register_domain_event(sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle) }?;

        let lifecycle: sys::virConnectNetworkEventLifecycleCallback = Some(callback::network_lifecycle);
        // SAFETY: as above.
        let lifecycle =
            unsafe { transmute::<sys::virConnectNetworkEventLifecycleCallback, NetworkCallback>(lifecycle) };
        // SAFETY: the callback is of the type that goes with this event.
        unsafe { self.register_network_event(sys::VIR_NETWORK_EVENT_ID_LIFECYCLE, lifecycle) }?;

        // What follows is worth having, and not in every libvirt.
        let added: sys::virConnectDomainEventDeviceAddedCallback = Some(callback::domain_device);
        // SAFETY: as above.
        let added = unsafe { transmute::<sys::virConnectDomainEventDeviceAddedCallback, DomainCallback>(added) };
        // SAFETY: the callback is of the type that goes with this event.
        let _untold = unsafe { self.register_domain_event(sys::VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, added) };

        let removed: sys::virConnectDomainEventDeviceRemovedCallback = Some(callback::domain_device);
        // SAFETY: as above.
        let removed = unsafe { transmute::<sys::virConnectDomainEventDeviceRemovedCallback, DomainCallback>(removed) };
        // SAFETY: the callback is of the type that goes with this event.
        let _untold = unsafe { self.register_domain_event(sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, removed) };

        let metadata: sys::virConnectNetworkEventMetadataChangeCallback = Some(callback::network_metadata);
        // SAFETY: as above.
        let metadata =
            unsafe { transmute::<sys::virConnectNetworkEventMetadataChangeCallback, NetworkCallback>(metadata) };
        // SAFETY: the callback is of the type that goes with this event.
        let _untold = unsafe { self.register_network_event(sys::VIR_NETWORK_EVENT_ID_METADATA_CHANGE, metadata) };

        let (connect, opaque) = (self.connect.as_ptr(), self.listening.opaque());
        // SAFETY: the connection is open; the callback takes any number for its opaque pointer, and nothing is to be freed.
        let outcome = unsafe { sys::virConnectRegisterCloseCallback(connect, Some(callback::closed), opaque, None) };
        // A connection within the process has no end of its own.
        self.hears_end = outcome >= 0;
        Ok(())
    }

    /// # Safety
    /// `function` is of the type that libvirt documents for `event`, and takes any number for its opaque pointer.
    unsafe fn register_domain_event(
        &mut self,
        event: sys::virDomainEventID,
        function: DomainCallback,
    ) -> Result<(), Error> {
        let (connect, event, opaque) = (self.connect.as_ptr(), event.cast_signed(), self.listening.opaque());
        // SAFETY: the connection is open, a null pointer stands for all domains, and nothing is to be freed.
        let number =
            unsafe { sys::virConnectDomainEventRegisterAny(connect, null_mut(), event, function, opaque, None) };
        if number < 0 {
            return Err(Error::last_error());
        }
        self.domain_events.push(number);
        Ok(())
    }

    /// # Safety
    /// `function` is of the type that libvirt documents for `event`, and takes any number for its opaque pointer.
    unsafe fn register_network_event(
        &mut self,
        event: sys::virNetworkEventID,
        function: NetworkCallback,
    ) -> Result<(), Error> {
        let (connect, event, opaque) = (self.connect.as_ptr(), event.cast_signed(), self.listening.opaque());
        // SAFETY: the connection is open, a null pointer stands for all networks, and nothing is to be freed.
        let number =
            unsafe { sys::virConnectNetworkEventRegisterAny(connect, null_mut(), event, function, opaque, None) };
        if number < 0 {
            return Err(Error::last_error());
        }
        self.network_events.push(number);
        Ok(())
    }
}

impl Drop for Subscription {
    /// What fails has no effect that matters: libvirt's side forgets first, and a daemon that has gone tells nothing.
    fn drop(&mut self) {
        let connect = self.connect.as_ptr();
        for number in &self.domain_events {
            // SAFETY: the connection is referenced until below, and the number is one that it gave.
            unsafe { sys::virConnectDomainEventDeregisterAny(connect, *number) };
        }
        for number in &self.network_events {
            // SAFETY: as above.
            unsafe { sys::virConnectNetworkEventDeregisterAny(connect, *number) };
        }
        if self.hears_end {
            // SAFETY: as above; a connection that has ended has forgotten it, and says so.
            unsafe { sys::virConnectUnregisterCloseCallback(connect, Some(callback::closed)) };
        }
        let _last = self.connect.close();
    }
}
