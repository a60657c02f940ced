//! A host in memory: a kernel and a libvirt that answer as the real ones do, for tests and for simulating fleets.
//!
//! It keeps what planning depends on: what is refused, what a change entails (a device that goes down loses its
//! routes, an address that goes takes its prefix route along), and what comes back as the kernel's default. It passes
//! the same contract suite as the real edges. Traffic, timers and learning are left out.
//!
//! Building a world panics on names and addresses that are none: the mistake is in the test.

mod dhcp;
mod fault;
mod host;
mod kernel;
mod libvirt;
mod world;

pub use fault::Fault;
pub use host::{FakeHost, FakePerformer};
pub use world::World;
