//! What the tests of several modules share: hosts in memory, requests, and an agent over them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trestle_fake_host::{FakeHost, FakePerformer, World};
use trestle_model::{
    BridgeOptions, BridgeSpec, Capabilities, Code, ConnectivityCheck, Counters, DomainKey, DomainWiring, Egress,
    ForeignDhcp, GuestPorts, HostState, IfName, Ipv4Config, Ipv6Config, KernelInfo, LibvirtInfo, LinkStatistics,
    MacTableManager, Mtu, NetworkChange, NetworkName, NetworkSpec, NicState, Origin, Outcome, Scope, SetupOptions,
    SetupRequest, Southbound, StaticIpv4, Topology, TransactionId, TransactionReport,
};
use trestle_plan::sample::{Change, leave_out_bond_status};
use trestle_plan::{Host, ObserveError, Performer, Step, StepFailure};
use uuid::Uuid;

use crate::hooks::Hooks;
use crate::journal::{Journal, JournalError};
use crate::site::{Part, Site, Survey};
use crate::transaction::{Agent, Answer, Caller, End, Refusal, Running, Writer};

/// How long a test waits for what must happen.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

pub(crate) const BOOT: &str = "boot-1";

impl Site for FakeHost {
    async fn wiring(&self, domain: &DomainKey) -> Result<Option<DomainWiring>, ObserveError> {
        Self::wiring(self, domain)
    }

    async fn filters(&self) -> Result<BTreeSet<String>, ObserveError> {
        Ok(Self::filters(self))
    }

    async fn foreign_dhcp(&self) -> Vec<ForeignDhcp> {
        self.state().foreign_dhcp
    }

    async fn statistics(&self, names: Option<&BTreeSet<IfName>>) -> Result<Vec<LinkStatistics>, ObserveError> {
        let links = self.state().kernel.links.into_values();
        let wanted = links.filter(|link| names.is_none_or(|names| names.contains(&link.name)));
        let counters = Counters { rx_bytes: 1000, ..Counters::default() };
        Ok(wanted.map(|link| LinkStatistics { name: link.name, index: link.index, counters }).collect())
    }

    async fn survey(&self, parts: &BTreeSet<Part>) -> Result<Survey, ObserveError> {
        // An observation that fails is libvirt's fault here: the kernel's part can still be read.
        let mut state = match self.observe().await {
            Ok(state) => state,
            Err(_) => HostState { libvirt: None, ..self.state() },
        };
        for part in Part::ALL.iter().filter(|part| !parts.contains(part)) {
            match part {
                Part::Addresses => state.kernel.links.values_mut().for_each(|link| link.addresses.clear()),
                Part::Routes => state.kernel.routes.clear(),
                Part::Forwarding => state.kernel.fdb.clear(),
                Part::Settings => {
                    state.kernel.links.values_mut().for_each(|link| link.settings = NicState::default());
                }
                Part::Egress => state.kernel.links.values_mut().for_each(|link| link.egress = Egress::default()),
                Part::Guests => state.libvirt = None,
                Part::Features => state.features.0.retain(|feature, _| !feature.is_of_libvirt()),
                Part::Hardware | Part::Libvirt => {}
            }
        }
        Ok(Survey {
            state,
            hardware: BTreeMap::new(),
            neighbors: BTreeMap::new(),
            kernel: KernelInfo::default(),
            libvirt: LibvirtInfo::default(),
        })
    }
}

/// A fake host that ignores some steps without a word, and lets others have their turn around each step.
#[derive(Debug, Clone)]
pub(crate) struct Wayward {
    pub(crate) host: FakeHost,
    /// Steps that contain this text are not performed; none where it is empty.
    pub(crate) ignores: &'static str,
}

impl Host for Wayward {
    type Performer<'a> = WaywardPerformer<'a>;

    async fn observe(&self) -> Result<HostState, ObserveError> {
        tokio::task::yield_now().await;
        self.host.observe().await
    }

    fn performer(&self) -> WaywardPerformer<'_> {
        WaywardPerformer { ignores: self.ignores, inner: self.host.performer() }
    }
}

/// Performs steps on a wayward host.
pub(crate) struct WaywardPerformer<'a> {
    ignores: &'static str,
    inner: FakePerformer<'a>,
}

impl Performer for WaywardPerformer<'_> {
    async fn perform(&mut self, step: &Step) -> Result<(), StepFailure> {
        tokio::task::yield_now().await;
        if self.ignores.is_empty() || !step.to_string().contains(self.ignores) {
            self.inner.perform(step).await?;
        }
        tokio::task::yield_now().await;
        Ok(())
    }
}

impl Site for Wayward {
    async fn wiring(&self, domain: &DomainKey) -> Result<Option<DomainWiring>, ObserveError> {
        self.host.wiring(domain)
    }

    async fn filters(&self) -> Result<BTreeSet<String>, ObserveError> {
        Ok(self.host.filters())
    }

    async fn foreign_dhcp(&self) -> Vec<ForeignDhcp> {
        self.host.foreign_dhcp().await
    }

    async fn statistics(&self, names: Option<&BTreeSet<IfName>>) -> Result<Vec<LinkStatistics>, ObserveError> {
        self.host.statistics(names).await
    }

    async fn survey(&self, parts: &BTreeSet<Part>) -> Result<Survey, ObserveError> {
        self.host.survey(parts).await
    }
}

/// A fake host of which each look takes a while.
#[derive(Debug, Clone)]
pub(crate) struct Slow {
    pub(crate) host: FakeHost,
    pub(crate) look: Duration,
}

impl Host for Slow {
    type Performer<'a> = FakePerformer<'a>;

    async fn observe(&self) -> Result<HostState, ObserveError> {
        let seen = self.host.observe().await;
        tokio::time::sleep(self.look).await;
        seen
    }

    fn performer(&self) -> FakePerformer<'_> {
        self.host.performer()
    }
}

impl Site for Slow {
    async fn wiring(&self, domain: &DomainKey) -> Result<Option<DomainWiring>, ObserveError> {
        self.host.wiring(domain)
    }

    async fn filters(&self) -> Result<BTreeSet<String>, ObserveError> {
        Ok(self.host.filters())
    }

    async fn foreign_dhcp(&self) -> Vec<ForeignDhcp> {
        self.host.foreign_dhcp().await
    }

    async fn statistics(&self, names: Option<&BTreeSet<IfName>>) -> Result<Vec<LinkStatistics>, ObserveError> {
        self.host.statistics(names).await
    }

    async fn survey(&self, parts: &BTreeSet<Part>) -> Result<Survey, ObserveError> {
        let seen = self.host.survey(parts).await;
        tokio::time::sleep(self.look).await;
        seen
    }
}

/// An agent over a host in memory, with a store of its own.
pub(crate) struct Bench<H> {
    pub(crate) agent: Agent<H>,
    pub(crate) stop: CancellationToken,
    pub(crate) writer: JoinSet<Result<(), JournalError>>,
    pub(crate) folder: TempDir,
}

impl<H: Site> Bench<H> {
    /// Starts an agent with an empty store.
    pub(crate) async fn new(host: H) -> Self {
        Self::start(host, tempfile::tempdir().unwrap(), BOOT).await
    }

    /// Starts an agent with an empty store and with hooks.
    pub(crate) async fn with_hooks(host: H, hooks: Hooks) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (agent, writer) = assemble(host, folder.path(), BOOT).await;
        Self::run(agent, writer.with_hooks(hooks), folder).await
    }

    /// Starts an agent, recovers, and lets its writer run.
    pub(crate) async fn start(host: H, folder: TempDir, boot: &str) -> Self {
        let (agent, writer) = assemble(host, folder.path(), boot).await;
        Self::run(agent, writer, folder).await
    }

    pub(crate) async fn run(agent: Agent<H>, mut writer: Writer<H>, folder: TempDir) -> Self {
        writer.recover(|| ()).await.unwrap();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run(stop.clone()));
        Self { agent, stop, writer: tasks, folder }
    }

    /// Stops the agent as SIGTERM does, and returns its folder.
    pub(crate) async fn end(mut self) -> TempDir {
        self.stop.cancel();
        self.writer.join_next().await.unwrap().unwrap().unwrap();
        self.folder
    }

    pub(crate) fn begin(&self, request: SetupRequest) -> Running {
        self.agent.setup(request, local()).unwrap()
    }

    pub(crate) async fn set_up(&self, request: SetupRequest) -> Result<Answer, Refusal> {
        end_of(self.begin(request)).await
    }

    pub(crate) async fn capabilities(&self) -> Capabilities {
        self.agent.capabilities(&Part::all()).await.unwrap()
    }

    /// Sets up what must succeed, and returns the report.
    pub(crate) async fn apply(&self, request: SetupRequest) -> TransactionReport {
        let report = report(self.set_up(request).await.unwrap());
        assert!(report.outcome.is_success(), "{:?}", report.outcome);
        report
    }
}

/// Opens a store as soon as an earlier user has let go of it.
pub(crate) async fn reopen(folder: &Path) -> Result<Journal, JournalError> {
    let opened = async {
        loop {
            match Journal::open(folder).await {
                Err(JournalError::InUse(_)) => tokio::task::yield_now().await,
                opened => return opened,
            }
        }
    };
    tokio::time::timeout(BOUND, opened).await.unwrap()
}

/// Opens the store, and makes an agent over it.
pub(crate) async fn assemble<H: Site>(host: H, folder: &Path, boot: &str) -> (Agent<H>, Writer<H>) {
    let journal = reopen(folder).await.unwrap();
    Agent::new(host, journal, boot.to_owned())
}

pub(crate) fn local() -> Caller {
    Caller { actor: "local".to_owned(), begin_by: None }
}

pub(crate) async fn end_of(mut running: Running) -> Result<Answer, Refusal> {
    let end = async {
        while running.progress.recv().await.is_some() {}
        running.end.await.unwrap()
    };
    tokio::time::timeout(Duration::from_secs(900), end).await.unwrap()
}

pub(crate) fn report(answer: Answer) -> TransactionReport {
    match answer.end {
        End::Finished(report) => *report,
        End::Validated(findings) => panic!("only validated: {findings:?}"),
    }
}

/// A host with two NICs, one of them with an address that nobody asked Trestle for.
pub(crate) fn host() -> FakeHost {
    FakeHost::new(World::default().nic("eth0").nic("eth1").address("eth0", "192.0.2.10/24"))
}

pub(crate) fn name(text: &str) -> NetworkName {
    NetworkName::parse(text).unwrap()
}

/// A bridged network on a NIC.
pub(crate) fn network(text: &str, nic: &str) -> NetworkSpec {
    NetworkSpec {
        name: name(text),
        southbound: Some(Southbound::Nic(IfName::parse(nic).unwrap())),
        vlan: None,
        mtu: Mtu::ETHERNET,
        topology: Topology::Bridged(BridgeSpec {
            name: IfName::parse_bridge(text).unwrap(),
            stp: false,
            options: BridgeOptions::default(),
        }),
        mac_table_manager: MacTableManager::Kernel,
        ipv4: Ipv4Config::None,
        ipv6: Ipv6Config::None,
        default_route: false,
        routes: Vec::new(),
        nameservers: Vec::new(),
        search_domains: Vec::new(),
        port_isolation: false,
        guest_ports: GuestPorts::default(),
        host_qos: None,
        custom: BTreeMap::new(),
    }
}

/// The same with an address, and with its MAC table managed by libvirt.
pub(crate) fn managed(text: &str, nic: &str, address: &str) -> NetworkSpec {
    NetworkSpec {
        mac_table_manager: MacTableManager::Libvirt,
        ipv4: Ipv4Config::Static(StaticIpv4::new(vec![address.parse().unwrap()], None).unwrap()),
        ..network(text, nic)
    }
}

pub(crate) fn set(spec: NetworkSpec) -> SetupRequest {
    request([NetworkChange::Set(spec)])
}

pub(crate) fn remove(text: &str) -> SetupRequest {
    request([NetworkChange::Remove(name(text))])
}

pub(crate) fn committed(mut request: SetupRequest) -> SetupRequest {
    request.options.commit_on_success = true;
    request
}

pub(crate) fn checked(mut request: SetupRequest, check: ConnectivityCheck) -> SetupRequest {
    request.options.connectivity_check = check;
    request
}

/// A request that nobody has to confirm; it acknowledges what managing a MAC table warns of.
pub(crate) fn request(changes: impl IntoIterator<Item = impl Into<Change>>) -> SetupRequest {
    SetupRequest {
        options: SetupOptions {
            transaction: TransactionId(Uuid::new_v4()),
            origin: Origin::Local,
            connectivity_check: ConnectivityCheck::None,
            commit_on_success: false,
            validate_only: false,
            acknowledge: Code::ALL.to_vec(),
            fence: None,
            scope: Scope::Named,
            adopt: BTreeSet::new(),
        },
        ..trestle_plan::sample::request(changes)
    }
}

/// Returns a host's state without what differs when a device is made anew.
pub(crate) fn essence(host: &FakeHost) -> HostState {
    let mut state = host.state();
    for link in state.kernel.links.values_mut() {
        link.index = 0;
        leave_out_bond_status(link);
    }
    state
}

/// Returns the code of why a transaction was undone.
pub(crate) fn undone_because(report: &TransactionReport) -> Code {
    match &report.outcome {
        Outcome::RolledBack(cause) => cause.code,
        Outcome::Applied | Outcome::Unchanged | Outcome::RollbackFailed { .. } => panic!("{:?}", report.outcome),
    }
}
