//! The kernel's edge: reads one snapshot of a host's links, addresses, routes and bridge forwarding entries, performs
//! the planner's kernel steps one by one, tries what the kernel can do, and tells when something changed.
//!
//! Everything goes through rtnetlink, but for the one switch that has no netlink request (`disable_ipv6`), which is
//! written below `/proc/sys`, and for what hardware and drivers tell, which is read below `/sys`. No process is started.
//!
//! This crate never decides: a step is performed as it is given, or fails with the kernel's own words.

mod bonding;
mod bridge_number;
mod device;
mod discipline;
mod ethtool;
mod excerpt;
mod failure;
mod hardware;
mod kernel;
mod nic_line;
mod observation;
mod performance;
mod probe;
mod scratch;
mod socket;
mod sriov;
mod watch;

pub use kernel::{ConnectError, Kernel, KernelPerformer};
pub use observation::{Carrier, Look, Table};
pub use probe::probe;
pub use scratch::start_in_scratch_namespace;
pub use watch::{Change, Watch};
