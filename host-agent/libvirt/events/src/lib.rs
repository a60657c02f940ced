//! What libvirt tells by itself: that domains or networks changed, or that a connection ended.
//!
//! The crate `virt` wraps libvirt's calls, but not the registering for events. This crate adds that alone, and is the
//! only one of the house with `unsafe` code (D-0079): a [`Subscription`] makes libvirt call back, and libvirt's event
//! loop, which [`start_loop`] runs on a thread of its own, carries the calls out.
//!
//! A notice is coarse: it says which kind of things to look at, never what became of them, and says nothing that a
//! later look would not. This crate never looks, and never decides.

mod callback;
mod event_loop;
mod subscription;

pub use event_loop::start_loop;
pub use subscription::Subscription;

/// What libvirt told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// A domain was defined, undefined, started, paused, resumed or stopped, or got or lost a device.
    Domains,
    /// A network was defined, undefined, started or stopped, or its metadata changed.
    Networks,
    /// The connection has ended; nothing more is told over it.
    Closed,
}
