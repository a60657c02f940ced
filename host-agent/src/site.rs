//! The host as the whole agent needs it: what the planner needs, and a look at it that always answers.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use trestle_model::{
    DomainKey, DomainWiring, ForeignDhcp, HostState, IfName, KernelInfo, LibvirtInfo, LinkStatistics, LldpNeighbor,
    NicHardware,
};
use trestle_plan::{Host, ObserveError};

/// A host that can also be looked at while a part of it is out of order.
pub trait Site: Host {
    /// Reads what can be read: without an answer of libvirt, its part is absent and the survey says why.
    ///
    /// Parts that are not among `parts` are not read, and empty.
    ///
    /// *Errors*: [`ObserveError::Kernel`]. *Cancel safety*: safe, reading has no effect.
    fn survey(&self, parts: &BTreeSet<Part>) -> impl Future<Output = Result<Survey, ObserveError>> + Send;

    /// Reads the counters of the devices called `names`, or of all devices; ordered by name.
    ///
    /// *Errors*: [`ObserveError::Kernel`]. *Cancel safety*: safe, reading has no effect.
    fn statistics(
        &self,
        names: Option<&BTreeSet<IfName>>,
    ) -> impl Future<Output = Result<Vec<LinkStatistics>, ObserveError>> + Send;

    /// Reads one domain of libvirt's in detail; none where there is none of that name, and without libvirt.
    ///
    /// *Errors*: [`ObserveError::Libvirt`]. *Cancel safety*: safe, reading has no effect.
    fn wiring(&self, domain: &DomainKey) -> impl Future<Output = Result<Option<DomainWiring>, ObserveError>> + Send;

    /// Reads the names of libvirt's network filters; none without libvirt.
    ///
    /// *Errors*: [`ObserveError::Libvirt`]. *Cancel safety*: safe, reading has no effect.
    fn filters(&self) -> impl Future<Output = Result<BTreeSet<String>, ObserveError>> + Send;

    /// Looks for other programs' DHCP clients, which may take a look at every process: only for a request to which they matter.
    ///
    /// *Shape*: ordered, each once; what cannot be read shows nobody. *Cancel safety*: safe, reading has no effect.
    fn foreign_dhcp(&self) -> impl Future<Output = Vec<ForeignDhcp>> + Send;
}

/// A part of a host that costs something to read; its links, and what the kernel can do, are always read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Addresses.
    Addresses,
    /// The main routing table.
    Routes,
    /// Bridges' forwarding entries.
    Forwarding,
    /// What queues what leaves devices.
    Egress,
    /// What is set on NICs.
    Settings,
    /// What hardware and drivers tell.
    Hardware,
    /// libvirt's networks and the interfaces of its domains.
    Guests,
    /// What libvirt can do.
    Features,
    /// Whether libvirt answers, and its version.
    Libvirt,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 9] = [
        Self::Addresses,
        Self::Routes,
        Self::Forwarding,
        Self::Egress,
        Self::Settings,
        Self::Hardware,
        Self::Guests,
        Self::Features,
        Self::Libvirt,
    ];

    /// Returns the parts that a whole look at a host reads.
    pub fn all() -> BTreeSet<Self> {
        Self::ALL.into()
    }
}

/// What could be read of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The host's state; libvirt's part is absent where there is none, and where it does not answer.
    pub state: HostState,
    /// What hardware and drivers tell of the devices that a network can stand on.
    pub hardware: BTreeMap<IfName, NicHardware>,
    /// Whom NICs are wired to, as those tell by LLDP; always told.
    pub neighbors: BTreeMap<IfName, Vec<LldpNeighbor>>,
    /// The kernel.
    pub kernel: KernelInfo,
    /// libvirt, and whether it answers.
    pub libvirt: LibvirtInfo,
}
