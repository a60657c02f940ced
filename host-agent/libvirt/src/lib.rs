//! libvirt's edge: reads libvirt's networks and guests, and performs one step at a time.
//!
//! Every call of libvirt blocks, so one thread owns the connection and every libvirt object; a [`Libvirt`] handle
//! reaches it by a bounded queue, with a deadline for each call. The connection is made when it is first needed, and
//! again when libvirtd was restarted.
//!
//! This crate never decides: it reads one snapshot ([`Libvirt::observe`]), performs a step as given
//! ([`Libvirt::perform`]), tries what libvirt can do ([`Libvirt::probe`]), and tells that something differs
//! ([`Libvirt::watch`]). It never touches the kernel itself.
//!
//! It links libvirt's client library (through the crate `virt`), which is under the LGPL 2.1 or later; what includes
//! this crate distributes that library's terms along with its own.

mod connection;
mod fault;
mod fingerprint;
mod handle;
mod owner;
mod probe;
mod snapshot;
mod step;
mod xml;

pub use fault::Fault;
pub use fingerprint::Changes;
pub use handle::{Libvirt, Options};
pub use xml::network::METADATA_NAMESPACE;
