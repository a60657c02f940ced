//! The real host: the kernel's edge and libvirt's edge, composed into the one host that the planner knows.
//!
//! It never decides: it reads both halves, or hands each step to the edge that it belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use trestle_dhcp::Dhcp;
use trestle_libvirt::Libvirt;
use trestle_lldp::Lldp;
use trestle_model::{
    DomainKey, DomainWiring, Feature, FeatureSet, ForeignDhcp, HostState, IfName, KernelInfo, KernelState, LibvirtInfo,
    LibvirtState, LinkStatistics, ResolverState, Support,
};
use trestle_netlink::{Change, ConnectError, Kernel, KernelPerformer, Table, Watch};
use trestle_plan::{DhcpStep, GuestStep, Host, LibvirtStep, ObserveError, Performer, ResolverStep, Step, StepFailure};

use crate::leases::Settlement;
use crate::nameservers::NameServers;
use crate::other_daemons::OtherDaemons;
use crate::site::{Part, Site, Survey};

/// The host that the agent runs on.
#[derive(Debug)]
pub struct RealHost {
    kernel: Kernel,
    kernel_features: BTreeMap<Feature, Support>,
    release: String,
    libvirt: Option<Libvirt>,
    dhcp: Dhcp,
    leases: Settlement,
    resolver: NameServers,
    lldp: Lldp,
    other_daemons: Option<OtherDaemons>,
    /// Counts steps on guests: neither kernel nor libvirt tells of a changed definition or filter.
    plugged: watch::Sender<u64>,
}

/// Tells that something on the host differs from what it was; made by [`RealHost::notices`].
pub struct Notices {
    kernel: Watch,
    libvirt: Option<watch::Receiver<trestle_libvirt::Changes>>,
    dhcp: watch::Receiver<u64>,
    lldp: watch::Receiver<u64>,
    plugged: watch::Receiver<u64>,
}

/// Says why the host cannot be reached. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel gave no netlink socket.
    #[error(transparent)]
    Kernel(#[from] ConnectError),
    /// The thread for libvirt could not be started.
    #[error("thread for libvirt not started")]
    Libvirt(#[source] io::Error),
}

/// Hands each step to the edge that it belongs to; made by [`Host::performer`].
#[derive(Debug)]
pub struct RealPerformer<'a> {
    kernel: KernelPerformer<'a>,
    host: &'a RealHost,
}

impl RealHost {
    /// Connects to the kernel, tries what it can do, and starts the thread for libvirt, unless there is to be none.
    ///
    /// libvirt itself is connected to when it is first needed. `release` is the kernel's, for reports. What clients'
    /// leases mean is `leases`' task.
    ///
    /// *Errors*: [`HostError`]. *Cancel safety*: safe.
    pub async fn connect(
        release: String,
        libvirt: Option<trestle_libvirt::Options>,
        dhcp: Dhcp,
        leases: Settlement,
        resolver: NameServers,
    ) -> Result<Self, HostError> {
        let kernel = Kernel::connect()?;
        let kernel_features = trestle_netlink::probe().await;
        for (feature, support) in &kernel_features {
            info!(feature = %feature, ?support, "kernel probed");
        }
        let libvirt = libvirt.map(Libvirt::start).transpose().map_err(HostError::Libvirt)?;
        Ok(Self {
            kernel,
            kernel_features,
            release,
            libvirt,
            dhcp,
            leases,
            resolver,
            lldp: Lldp::deaf(),
            other_daemons: None,
            plugged: watch::Sender::default(),
        })
    }

    /// Lets reports tell what `lldp` hears.
    pub fn with_lldp(self, lldp: Lldp) -> Self {
        Self { lldp, ..self }
    }

    /// Lets looks at the host tell which devices other daemons configure.
    pub fn with_other_daemons(self, others: OtherDaemons) -> Self {
        Self { other_daemons: Some(others), ..self }
    }

    /// Returns what tells of changes from now on.
    ///
    /// *Errors*: [`HostError::Kernel`]. *Cancel safety*: safe.
    pub async fn notices(&self) -> Result<Notices, HostError> {
        let libvirt = self.libvirt.as_ref().map(Libvirt::watch);
        let kernel = self.kernel.watch_with_nics().await?;
        let (dhcp, lldp, plugged) = (self.dhcp.watch(), self.lldp.watch(), self.plugged.subscribe());
        Ok(Notices { kernel, libvirt, dhcp, lldp, plugged })
    }

    /// Returns the handle to libvirt, for the shutdown.
    pub fn libvirt(&self) -> Option<Libvirt> {
        self.libvirt.clone()
    }

    /// Returns the kernel's features and libvirt's; libvirt remembers what it found for as long as a connection stands.
    async fn features(&self) -> FeatureSet {
        let mut features = self.kernel_features.clone();
        match &self.libvirt {
            Some(libvirt) => features.extend(libvirt.probe().await),
            None => {
                features.extend(Feature::ALL.into_iter().filter(|feature| feature.is_of_libvirt()).map(|feature| {
                    (feature, Support::Absent("the agent is configured to do without libvirt".to_owned()))
                }))
            }
        }
        FeatureSet(features)
    }

    /// Returns the kernel's features alone, which cost nothing.
    fn kernel_features(&self) -> FeatureSet {
        FeatureSet(self.kernel_features.clone())
    }

    async fn observe_libvirt(&self) -> Result<Option<LibvirtState>, ObserveError> {
        match &self.libvirt {
            Some(libvirt) => libvirt.observe().await.map(Some),
            None => Ok(None),
        }
    }

    async fn perform_libvirt(&self, step: &LibvirtStep) -> Result<(), StepFailure> {
        let Some(libvirt) = &self.libvirt else {
            let reason = format!("{step}: the agent is configured to do without libvirt");
            return Err(StepFailure { position: 0, reason, transient: false });
        };
        libvirt.perform(step).await.map_err(|fault| StepFailure {
            position: 0,
            reason: format!("{step}: {fault}"),
            transient: fault.is_transient(),
        })
    }

    async fn perform_on_guest(&self, step: &GuestStep) -> Result<(), StepFailure> {
        let Some(libvirt) = &self.libvirt else {
            let reason = "the agent is configured to do without libvirt".to_owned();
            return Err(StepFailure { position: 0, reason, transient: false });
        };
        let done = libvirt.perform_on_guest(step).await;
        self.plugged.send_modify(|count| *count += 1);
        done.map_err(|fault| StepFailure { position: 0, reason: fault.to_string(), transient: fault.is_transient() })
    }

    /// Performs a step on clients, and returns when the kernel is in line with it.
    async fn perform_dhcp(&self, step: &DhcpStep) -> Result<(), StepFailure> {
        let done = self.dhcp.perform(step);
        self.leases.reached().await;
        done.map_err(|reason| StepFailure { position: 0, reason: format!("{step}: {reason}"), transient: false })
    }

    /// Puts a state together. The clients are read after the kernel: what a lease brought there is known as the lease's.
    async fn assemble(
        &self,
        kernel: KernelState,
        libvirt: Option<LibvirtState>,
        resolver: ResolverState,
        features: FeatureSet,
    ) -> HostState {
        let managers = match &self.other_daemons {
            Some(others) => others.observe(&kernel.links).await,
            None => BTreeMap::new(),
        };
        let (dhcp, foreign_dhcp) = (self.dhcp.observe(), Vec::new());
        let mut state = HostState { kernel, libvirt, resolver, managers, features, dhcp, foreign_dhcp };
        state.mark_leases();
        state
    }

    async fn perform_resolver(&self, step: &ResolverStep) -> Result<(), StepFailure> {
        let done = self.resolver.perform(step).await;
        done.map_err(|fault| StepFailure {
            position: 0,
            reason: format!("{step}: {fault}"),
            transient: fault.transient,
        })
    }
}

impl Host for RealHost {
    type Performer<'a> = RealPerformer<'a>;

    async fn observe(&self) -> Result<HostState, ObserveError> {
        let (kernel, libvirt, features, resolver) =
            tokio::join!(self.kernel.observe(), self.observe_libvirt(), self.features(), self.resolver.observe());
        Ok(self.assemble(kernel?, libvirt?, resolver?, features).await)
    }

    fn performer(&self) -> RealPerformer<'_> {
        RealPerformer { kernel: self.kernel.performer(), host: self }
    }
}

impl Performer for RealPerformer<'_> {
    async fn perform(&mut self, step: &Step) -> Result<(), StepFailure> {
        match step {
            Step::Kernel(step) => self.kernel.perform(step).await,
            Step::Libvirt(step) => self.host.perform_libvirt(step).await,
            Step::Dhcp(step) => self.host.perform_dhcp(step).await,
            Step::Resolver(step) => self.host.perform_resolver(step).await,
            Step::Guest(step) => self.host.perform_on_guest(step).await,
        }
    }
}

impl Site for RealHost {
    async fn survey(&self, parts: &BTreeSet<Part>) -> Result<Survey, ObserveError> {
        let tables = parts.iter().copied().filter_map(table).collect();
        let guests = async { if parts.contains(&Part::Guests) { self.observe_libvirt().await } else { Ok(None) } };
        let features =
            async { if parts.contains(&Part::Features) { self.features().await } else { self.kernel_features() } };
        let (look, libvirt, features, resolver) =
            tokio::join!(self.kernel.look(&tables), guests, features, self.resolver.observe());
        let look = look?;
        let info = match &self.libvirt {
            Some(libvirt) if parts.contains(&Part::Libvirt) => libvirt.info().await,
            Some(_) | None => LibvirtInfo::default(),
        };
        Ok(Survey {
            // What libvirt says of itself tells why its part is absent.
            state: self.assemble(look.state, libvirt.ok().flatten(), resolver?, features).await,
            hardware: look.hardware,
            neighbors: self.lldp.neighbors(),
            kernel: KernelInfo { release: self.release.clone() },
            libvirt: info,
        })
    }

    async fn statistics(&self, names: Option<&BTreeSet<IfName>>) -> Result<Vec<LinkStatistics>, ObserveError> {
        self.kernel.statistics(names).await
    }

    async fn wiring(&self, domain: &DomainKey) -> Result<Option<DomainWiring>, ObserveError> {
        match &self.libvirt {
            Some(libvirt) => libvirt.wiring(domain).await,
            None => Ok(None),
        }
    }

    async fn filters(&self) -> Result<BTreeSet<String>, ObserveError> {
        match &self.libvirt {
            Some(libvirt) => libvirt.filters().await,
            None => Ok(BTreeSet::new()),
        }
    }

    async fn foreign_dhcp(&self) -> Vec<ForeignDhcp> {
        // Whoever does not look shows nobody.
        tokio::task::spawn_blocking(trestle_dhcp::rivals).await.unwrap_or_default()
    }
}

impl Notices {
    /// Counts `changed` up whenever something differs, but for what bridges learned from traffic, which comes and goes all
    /// the time: that is counted by `learned`.
    ///
    /// Returns when `stop` is cancelled, or `false` before that when the kernel's notices have ended.
    /// *Cancel safety*: safe.
    pub async fn run(
        mut self,
        changed: watch::Sender<u64>,
        learned: watch::Sender<u64>,
        stop: CancellationToken,
    ) -> bool {
        loop {
            let libvirt = async {
                let Some(libvirt) = &mut self.libvirt else { return std::future::pending().await };
                if libvirt.changed().await.is_err() {
                    // The thread for libvirt has ended, as it does in a shutdown.
                    std::future::pending().await
                }
            };
            // Cancel safety: all arms are.
            tokio::select! {
                biased;
                () = stop.cancelled() => return true,
                changes = self.kernel.next() => match changes {
                    Some(changes) if changes == BTreeSet::from([Change::Learning]) => {
                        learned.send_modify(|count| *count += 1);
                        continue;
                    }
                    Some(_) => {}
                    None => {
                        error!("kernel's notices have ended");
                        return false;
                    }
                },
                () = libvirt => {}
                Ok(()) = self.dhcp.changed() => {}
                Ok(()) = self.lldp.changed() => {}
                Ok(()) = self.plugged.changed() => {}
            }
            changed.send_modify(|count| *count += 1);
        }
    }
}

/// Returns the kernel's table that a part is read from.
const fn table(part: Part) -> Option<Table> {
    match part {
        Part::Addresses => Some(Table::Addresses),
        Part::Routes => Some(Table::Routes),
        Part::Forwarding => Some(Table::Forwarding),
        Part::Egress => Some(Table::Egress),
        Part::Settings => Some(Table::Settings),
        Part::Hardware => Some(Table::Hardware),
        Part::Guests | Part::Features | Part::Libvirt => None,
    }
}
