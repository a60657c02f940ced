//! The host as the whole agent needs it: what the planner needs, and a look at it that always answers.

use std::future::Future;

use trestle_model::{HostState, KernelInfo, LibvirtInfo};
use trestle_plan::{Host, ObserveError};

/// A host that can also be looked at while a part of it is out of order.
pub trait Site: Host {
    /// Reads what can be read: without an answer of libvirt, its part is absent and the survey says why.
    ///
    /// *Errors*: [`ObserveError::Kernel`]. *Cancel safety*: safe, reading has no effect.
    fn survey(&self) -> impl Future<Output = Result<Survey, ObserveError>> + Send;
}

/// What could be read of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The host's state; libvirt's part is absent where there is none, and where it does not answer.
    pub state: HostState,
    /// The kernel.
    pub kernel: KernelInfo,
    /// libvirt, and whether it answers.
    pub libvirt: LibvirtInfo,
}
