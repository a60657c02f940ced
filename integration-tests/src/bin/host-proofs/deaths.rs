//! The agent is killed by SIGKILL, or the power is cut, at places of each kind of plan; the next start makes the host as
//! it was, or as it was to be where that was confirmed.
//!
//! The agent that is killed is the library as it ships, over a host that counts: a place is the end of each look at the
//! host and of each step, the beginning of the first step, and the wait for the confirmation. Between two places at most
//! one thing that lasts is done, a step or a commit of the store.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_agent::host::RealHost;
use host_agent::journal::Journal;
use host_agent::site::{Part, Site, Survey};
use host_agent::transaction::{Agent, Answer, Caller, Confirmer, End as Ended, Writer};
use integration_tests::fleet::picture::Picture;
use integration_tests::lab::libvirt::{Guest, guest_xml};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trestle_model::{
    BondChange, Code, ConnectivityCheck, DomainKey, DomainWiring, ForeignDhcp, HostState, IfName, LinkStatistics,
    MacTableManager, NetworkChange, Progress, SetupRequest, TransactionId,
};
use trestle_plan::sample::kind::{GUEST_MAC, Kind, kinds};
use trestle_plan::sample::{Change, request};
use trestle_plan::{Host, ObserveError, Performer, Step, StepFailure};
use uuid::Uuid;

use crate::quiet::lacks;
use crate::stage;

/// How long an agent may take to its place.
const LIMIT: Duration = Duration::from_secs(60);
const CONFIRM: Duration = Duration::from_secs(30);
/// Where the first deaths of the kinds lie, each in turn: every kind has at least as many places.
const FIRST_PLACES: usize = 7;
const GUEST: &str = "proof";
const ACTOR: &str = "proof";

/// What becomes of an agent at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGKILL.
    Killed,
    /// It says so and waits, for somebody who pulls the machine's plug.
    Hanging,
}

/// The host of an agent that comes to an end.
struct Mortal {
    host: Arc<RealHost>,
    places: Arc<Places>,
}

/// The places that are still to be passed.
struct Places {
    left: AtomicUsize,
    steps: AtomicUsize,
    end: End,
}

impl Places {
    async fn pass(&self, place: &str) {
        if self.left.fetch_sub(1, Ordering::SeqCst) != 0 {
            return;
        }
        println!("place: {place}");
        if self.end == End::Killed {
            kill(Pid::this(), Signal::SIGKILL).expect("a process may kill itself");
        }
        std::future::pending::<()>().await;
    }
}

impl Host for Mortal {
    type Performer<'a> = MortalPerformer<'a>;

    async fn observe(&self) -> Result<HostState, ObserveError> {
        let state = self.host.observe().await;
        self.places.pass("looked").await;
        state
    }

    fn performer(&self) -> MortalPerformer<'_> {
        MortalPerformer { places: &self.places, inner: self.host.performer() }
    }
}

/// Performs steps until its place.
struct MortalPerformer<'a> {
    places: &'a Places,
    inner: <RealHost as Host>::Performer<'a>,
}

impl Performer for MortalPerformer<'_> {
    async fn perform(&mut self, step: &Step) -> Result<(), StepFailure> {
        if self.places.steps.fetch_add(1, Ordering::SeqCst) == 0 {
            self.places.pass("journalled").await;
        }
        self.inner.perform(step).await?;
        self.places.pass(&format!("did {step}")).await;
        Ok(())
    }
}

impl Site for Mortal {
    async fn wiring(&self, domain: &DomainKey) -> Result<Option<DomainWiring>, ObserveError> {
        self.host.wiring(domain).await
    }

    async fn filters(&self) -> Result<BTreeSet<String>, ObserveError> {
        self.host.filters().await
    }

    async fn foreign_dhcp(&self) -> Vec<ForeignDhcp> {
        self.host.foreign_dhcp().await
    }

    async fn survey(&self, parts: &BTreeSet<Part>) -> Result<Survey, ObserveError> {
        self.host.survey(parts).await
    }

    async fn statistics(&self, names: Option<&BTreeSet<IfName>>) -> Result<Vec<LinkStatistics>, ObserveError> {
        self.host.statistics(names).await
    }
}

/// Carries a kind of plan out with an agent that comes to its end after `place` places.
///
/// For [`End::Hanging`] the host is prepared before.
pub(crate) async fn end_at(number: usize, folder: &Path, place: usize, end: End) -> Result<()> {
    let kinds = kinds();
    let kind = kinds.get(number).context("no such kind")?;
    let host = Arc::new(stage::connect().await?);
    if end == End::Hanging {
        ensure!(prepare(&host, kind, folder).await?, "this host lacks what {} takes", kind.name);
    }
    let places = Arc::new(Places { left: AtomicUsize::new(place), steps: AtomicUsize::new(0), end });
    let site = Mortal { host: Arc::clone(&host), places: Arc::clone(&places) };
    let (agent, writer) = Agent::new(site, Journal::open(folder).await?, boot_id()?);
    let stop = CancellationToken::new();
    let mut writing = JoinSet::new();
    writing.spawn(writer.run(stop.clone()));
    let mut asked = ask_for(kind.asked.clone());
    asked.options.connectivity_check = ConnectivityCheck::Local(CONFIRM);
    let transaction = asked.options.transaction;
    let mut running = agent.setup(asked, caller())?;
    while let Some(progress) = running.progress.recv().await {
        if matches!(progress, Progress::AwaitingConfirmation { .. }) {
            places.pass("waiting for the confirmation").await;
            agent.confirm(transaction, Confirmer::Local(ACTOR.to_owned())).await?;
            places.pass("confirmed").await;
        }
    }
    match running.end.await? {
        Ok(Answer { end: Ended::Finished(report), .. }) if report.outcome.is_success() => println!("finished"),
        Err(refusal) if lacks(&refusal) => println!("lacking"),
        other => bail!("{other:?}"),
    }
    stop.cancel();
    writing.join_next().await.context("the writer is gone")???;
    Ok(())
}

/// Tells whether a kind of plan takes what a plain kernel without libvirt lacks.
pub(crate) fn is_special(kind: &Kind) -> bool {
    let takes = |change: &Change| match change {
        Change::Network(NetworkChange::Set(spec)) => {
            spec.vlan.is_some() || spec.mac_table_manager == MacTableManager::Libvirt
        }
        Change::Bond(BondChange::Set(_)) => true,
        Change::Network(NetworkChange::Remove(_)) | Change::Bond(BondChange::Remove(_)) | Change::Nic(_) => false,
    };
    kind.guest.is_some() || kind.before.iter().chain(&kind.asked).any(takes)
}

/// Kills agents at each `share`-th place of each kind of plan that is among those asked for; at one place without a share.
pub(crate) async fn everywhere(share: Option<usize>, among: impl Fn(&Kind) -> bool) -> Result<()> {
    let host = Arc::new(stage::connect().await?);
    let mut deaths = 0;
    for (number, kind) in kinds().iter().enumerate().filter(|(_, kind)| among(kind)) {
        let died = die_of(&host, number, kind, share).await.with_context(|| kind.name)?;
        match died {
            Some(places) => println!("deaths: {}: {places} places", kind.name),
            None => println!("deaths: {}: this host lacks what it takes", kind.name),
        }
        deaths += died.unwrap_or_default();
    }
    stage::clear(&host).await?;
    ensure!(deaths > 0, "nobody died");
    println!("deaths: {deaths} in all");
    Ok(())
}

async fn die_of(host: &Arc<RealHost>, number: usize, kind: &Kind, share: Option<usize>) -> Result<Option<usize>> {
    let folder = tempfile::tempdir()?;
    if !prepare(host, kind, folder.path()).await? {
        return Ok(None);
    }
    let mut known = Known::of(host, folder.path()).await?;
    let mut deaths = 0;
    let mut place = number % share.unwrap_or(FIRST_PLACES).min(FIRST_PLACES);
    loop {
        let copied = tempfile::tempdir()?;
        copy(folder.path(), &copied.path().join("store")).await?;
        let store = copied.path().join("store");
        let told = match killed(number, &store, place).await? {
            Fate::Killed(told) => told,
            Fate::Finished => break,
            Fate::Lacking => return Ok(None),
        };
        let kept = comes_back(host, &store, &known).await;
        let kept = kept.with_context(|| format!("place {place}: {told}"))?;
        deaths += 1;
        let Some(share) = share else { break };
        if kept == Kept::New {
            // It is as it was to be; it begins again for the next place.
            std::fs::remove_dir_all(folder.path())?;
            prepare(host, kind, folder.path()).await?;
            known = Known::of(host, folder.path()).await?;
        }
        place += share;
    }
    forget_guest(host).await?;
    Ok(Some(deaths))
}

/// What a host is before a change.
struct Known {
    state: HostState,
    picture: Picture,
    hash: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Kept {
    Old,
    New,
}

enum Fate {
    Killed(String),
    Finished,
    Lacking,
}

impl Known {
    async fn of(host: &Arc<RealHost>, folder: &Path) -> Result<Self> {
        let hash = reopened(host, folder).await?.0.standing().running_hash;
        stage::settle().await?;
        Ok(Self { state: host.observe().await?, picture: picture().await?, hash })
    }
}

/// Starts an agent on what a killed one left, and checks what it makes of it.
async fn comes_back(host: &Arc<RealHost>, folder: &Path, known: &Known) -> Result<Kept> {
    let (agent, mut writer) = reopened(host, folder).await?;
    writer.recover(|| ()).await?;
    ensure!(agent.kept().borrow().open.is_none(), "the journal is open");
    if agent.standing().running_hash != known.hash {
        is_as_configured(&agent).await?;
        return Ok(Kept::New);
    }
    stage::until(host, |state| stage::difference(state, &known.state)).await?;
    let mut found = picture().await?;
    for _ in 0..100 {
        if found == known.picture {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        found = picture().await?;
    }
    found.same_as(&known.picture)?;
    Ok(Kept::Old)
}

/// After a boot the host is as it was committed, and nothing else of Trestle's is there.
pub(crate) async fn comes_back_after_a_power_cut(number: usize, folder: &Path) -> Result<()> {
    let kinds = kinds();
    let kind = kinds.get(number).context("no such kind")?;
    let host = Arc::new(stage::connect().await?);
    let (agent, mut writer) = reopened(&host, folder).await?;
    ensure!(agent.kept().borrow().open.is_some(), "nothing was begun: this proves nothing");
    writer.recover(|| ()).await?;
    let kept = agent.kept().borrow().clone();
    ensure!(kept.open.is_none(), "the journal is open");
    let names: BTreeSet<_> = kind.before.iter().filter_map(Change::network).collect();
    ensure!(kept.running.networks.keys().collect::<BTreeSet<_>>() == names, "{:?}", kept.running.networks.keys());
    is_as_configured(&agent).await?;
    let state = host.observe().await?;
    let bonds = kind.before.iter().filter_map(Change::bond);
    let marks: BTreeSet<String> = names
        .iter()
        .map(|name| trestle_plan::ownership::mark(name))
        .chain(bonds.map(trestle_plan::ownership::bond_mark))
        .collect();
    for link in state.kernel.links.values().filter(|link| trestle_plan::ownership::is_ours(link)) {
        ensure!(link.alias.as_ref().is_some_and(|mark| marks.contains(mark)), "{} is left over", link.name);
    }
    for network in state.libvirt.iter().flat_map(|libvirt| libvirt.networks.values()) {
        let owner = network.owner.as_ref();
        ensure!(owner.is_none_or(|owner| names.iter().any(|n| n.as_str() == owner)), "{} is left over", network.name);
    }
    println!("comes back: {}", kind.name);
    Ok(())
}

async fn is_as_configured<H: Site>(agent: &Agent<H>) -> Result<()> {
    for network in agent.capabilities(&Part::all()).await?.networks {
        ensure!(network.drift.is_empty(), "{}: {:?}", network.configured.spec.name, network.drift);
    }
    Ok(())
}

/// Brings the host to where the kind begins; `false` where the host lacks what that takes.
async fn prepare(host: &Arc<RealHost>, kind: &Kind, folder: &Path) -> Result<bool> {
    forget_guest(host).await?;
    stage::clear(host).await?;
    stage::run(
        "ip link set eth0 up; ip address add 192.0.2.10/24 dev eth0; \
         ip route add default via 192.0.2.254 dev eth0 metric 100; ip link set eth1 up mtu 4000",
    )
    .await?;
    let (agent, mut writer) = reopened(host, folder).await?;
    // As at every start: else the next one takes this for another boot, and restores what a guest came after.
    writer.recover(|| ()).await?;
    let stop = CancellationToken::new();
    let mut writing = JoinSet::new();
    writing.spawn(writer.run(stop.clone()));
    let prepared = if kind.before.is_empty() { Ok(true) } else { set_up(&agent, kind.before.clone()).await };
    stop.cancel();
    writing.join_next().await.context("the writer is gone")???;
    if !prepared? {
        return Ok(false);
    }
    let Some(network) = kind.guest else { return Ok(true) };
    if host.libvirt().is_none() {
        return Ok(false);
    }
    let network = format!("trestle-{network}");
    let guest = Guest { name: GUEST.to_owned(), mac: GUEST_MAC.to_owned(), network };
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), guest_xml(&guest))?;
    stage::run(&format!("virsh -q -c qemu:///system create {}", file.path().display())).await?;
    Ok(true)
}

async fn set_up<H: Site>(agent: &Agent<H>, changes: Vec<Change>) -> Result<bool> {
    let mut running = agent.setup(ask_for(changes), caller())?;
    while running.progress.recv().await.is_some() {}
    match running.end.await? {
        Ok(Answer { end: Ended::Finished(report), .. }) if report.outcome.is_success() => Ok(true),
        Err(refusal) if lacks(&refusal) => Ok(false),
        other => bail!("not set up: {other:?}"),
    }
}

async fn forget_guest(host: &RealHost) -> Result<()> {
    if host.libvirt().is_none() {
        return Ok(());
    }
    stage::run(&format!("virsh -q -c qemu:///system destroy {GUEST} 2>/dev/null || true")).await.map(drop)
}

async fn reopened(host: &Arc<RealHost>, folder: &Path) -> Result<(Agent<Mortal>, Writer<Mortal>)> {
    let end = tokio::time::Instant::now() + LIMIT;
    // sled lets go of its folder a moment after its last user has.
    let journal = loop {
        match Journal::open(folder).await {
            Err(host_agent::journal::JournalError::InUse(_)) if tokio::time::Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            opened => break opened?,
        }
    };
    let places = Arc::new(Places { left: AtomicUsize::new(usize::MAX), steps: AtomicUsize::new(0), end: End::Hanging });
    Ok(Agent::new(Mortal { host: Arc::clone(host), places }, journal, boot_id()?))
}

/// Lets another process carry the kind out, and be killed at its place.
async fn killed(number: usize, folder: &Path, place: usize) -> Result<Fate> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["die", &number.to_string()]).arg(folder).arg(place.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("the agent hangs")??;
    let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    match (signal, told.as_str()) {
        (Some(9), place) => Ok(Fate::Killed(place.to_owned())),
        (None, "finished") if output.status.success() => Ok(Fate::Finished),
        (None, "lacking") if output.status.success() => Ok(Fate::Lacking),
        _ => bail!("the agent ended with {}: {told} {}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}

async fn picture() -> Result<Picture> {
    Picture::anew(&stage::run(&Picture::script()).await?)
}

async fn copy(from: &Path, to: &Path) -> Result<()> {
    stage::run(&format!("cp -r {} {}", from.display(), to.display())).await.map(drop)
}

fn ask_for(changes: Vec<Change>) -> SetupRequest {
    let mut request = request(changes);
    request.options.transaction = TransactionId(Uuid::new_v4());
    request.options.connectivity_check = ConnectivityCheck::None;
    request.options.commit_on_success = true;
    request.options.acknowledge = Code::ALL.to_vec();
    request
}

fn caller() -> Caller {
    Caller { actor: ACTOR.to_owned(), begin_by: None }
}

fn boot_id() -> Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
