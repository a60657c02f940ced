//! The agent dies at every place of every kind of plan, of its undo, and of the start that ends what was open.
//!
//! A death is simulated by what it leaves: at the place a copy is made of the host and of the store's folder, and another
//! agent starts on the copies. Nothing of the first agent runs there any more, no clean-up either. The places lie after
//! each step and after each commit of the store, and before the first: nothing that lasts changes in between.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use trestle_fake_host::{FakeHost, FakePerformer, World};
use trestle_model::{
    ConnectivityCheck, DomainKey, DomainWiring, ForeignDhcp, HostState, IfName, LinkStatistics, Outcome, SetupRequest,
};
use trestle_plan::sample::kind::{GUEST_MAC, Kind, kinds};
use trestle_plan::transaction::Phase;
use trestle_plan::{Host, ObserveError, Performer, Step, StepFailure};

use super::*;
use crate::journal::Contents;
use crate::site::{Part, Site, Survey};
use crate::trial::*;

const NEXT_BOOT: &str = "boot-2";
const CHECK: ConnectivityCheck = ConnectivityCheck::Local(Duration::from_secs(30));

/// What a death leaves.
struct Remains {
    place: String,
    host: FakeHost,
    folder: TempDir,
    contents: Arc<Contents>,
}

impl Remains {
    fn is_applying(&self) -> bool {
        self.contents.open.as_ref().is_some_and(|open| open.record.phase == Phase::Applying)
    }
}

/// Makes a copy of everything after each step and each commit.
#[derive(Clone)]
struct Witness {
    host: FakeHost,
    folder: Arc<Path>,
    remains: Arc<Mutex<Vec<Remains>>>,
}

impl Witness {
    fn new(host: FakeHost, folder: &Path) -> Self {
        Self { host, folder: folder.into(), remains: Arc::default() }
    }

    fn look(&self, place: String, contents: Arc<Contents>) {
        let folder = in_memory();
        copy(&self.folder, folder.path());
        let remains = Remains { place, host: self.host.fork(), folder, contents };
        self.remains.lock().unwrap().push(remains);
    }

    fn taken(&self) -> Vec<Remains> {
        std::mem::take(&mut *self.remains.lock().unwrap())
    }
}

/// The host that a witness watches.
struct Watched {
    witness: Witness,
    journal: Arc<Mutex<Option<Journal>>>,
}

impl Host for Watched {
    type Performer<'a> = WatchedPerformer<'a>;

    async fn observe(&self) -> Result<HostState, ObserveError> {
        self.witness.host.observe().await
    }

    fn performer(&self) -> WatchedPerformer<'_> {
        WatchedPerformer { host: self, inner: self.witness.host.performer() }
    }
}

/// Performs steps before the witness's eyes.
struct WatchedPerformer<'a> {
    host: &'a Watched,
    inner: FakePerformer<'a>,
}

impl Performer for WatchedPerformer<'_> {
    async fn perform(&mut self, step: &Step) -> Result<(), StepFailure> {
        let done = self.inner.perform(step).await;
        // A store that only this task writes is at rest.
        let contents = self.host.journal.lock().unwrap().as_ref().unwrap().contents();
        self.host.witness.look(format!("after {step}"), contents);
        done
    }
}

impl Site for Watched {
    async fn wiring(&self, domain: &DomainKey) -> Result<Option<DomainWiring>, ObserveError> {
        self.witness.host.wiring(domain)
    }

    async fn filters(&self) -> Result<BTreeSet<String>, ObserveError> {
        Ok(self.witness.host.filters())
    }

    async fn foreign_dhcp(&self) -> Vec<ForeignDhcp> {
        self.witness.host.foreign_dhcp().await
    }

    async fn survey(&self, parts: &BTreeSet<Part>) -> Result<Survey, ObserveError> {
        self.witness.host.survey(parts).await
    }

    async fn statistics(&self, names: Option<&BTreeSet<IfName>>) -> Result<Vec<LinkStatistics>, ObserveError> {
        self.witness.host.statistics(names).await
    }
}

/// How a watched agent comes to its end.
#[derive(Debug, Clone, Copy)]
enum Course {
    Confirmed,
    Unconfirmed,
    StepFails,
}

/// What a host is before and after a kind of plan, each also after a reboot.
struct Known {
    old: HostState,
    old_hash: String,
    old_rebooted: HostState,
    new: HostState,
    new_hash: String,
    new_rebooted: HostState,
}

#[tokio::test(start_paused = true)]
async fn a_death_anywhere_in_a_confirmed_change_leaves_the_host_wholly_old_or_wholly_new() {
    every_kind(Course::Confirmed).await;
}

#[tokio::test(start_paused = true)]
async fn a_death_anywhere_in_an_undo_leaves_the_host_wholly_old() {
    every_kind(Course::Unconfirmed).await;
}

#[tokio::test(start_paused = true)]
async fn a_death_anywhere_in_the_undo_of_a_failed_step_leaves_the_host_wholly_old() {
    every_kind(Course::StepFails).await;
}

async fn every_kind(course: Course) {
    let mut places = 0;
    for kind in kinds() {
        let found = die_everywhere(&kind, course).await;
        assert!(found >= 3, "{} ({course:?}) has {found} places", kind.name);
        places += found;
    }
    eprintln!("{course:?}: died at {places} places");
}

/// Plays one course of one kind, starts another agent on everything that a death at any place would leave, and returns
/// the number of places.
async fn die_everywhere(kind: &Kind, course: Course) -> usize {
    let (host, folder) = prepared(kind).await;
    let known = Known::of(kind, course, &host, folder.path()).await;
    let asked = asked(kind, course);
    let remains = played(&host, folder.path(), &asked, course).await;
    let mut places = 0;
    // The way there is the same in each course.
    for remains in remains.into_iter().filter(|remains| matches!(course, Course::Confirmed) || !remains.is_applying()) {
        let place = format!("{} ({course:?}), {places}: {}", kind.name, remains.place);
        let deaths = comes_back(&remains, &asked, &known, &place).await;
        // The start may die, too: of its places one is looked at, each in turn.
        if let Some(again) = deaths.get(places % deaths.len().max(1)) {
            let place = format!("{place}, then {}", again.place);
            comes_back(again, &asked, &known, &place).await;
        }
        comes_back_after_a_reboot(&remains, &known, &place).await;
        places += 1;
    }
    places
}

/// A host with addresses that nobody asked Trestle for, and on it what is there before; all of it committed.
async fn prepared(kind: &Kind) -> (FakeHost, TempDir) {
    let world = World::default().nic("eth0").nic("eth1").idle_nic("eth2").mtu("eth1", 4000);
    let world = world.address("eth0", "192.0.2.10/24").default_route("eth0", "192.0.2.254", 100);
    let host = FakeHost::new(world.foreign_bridge("virbr0").address("virbr0", "192.168.122.1/24"));
    let bench = Bench::start(host.clone(), in_memory(), BOOT).await;
    if !kind.before.is_empty() {
        bench.apply(committed(request(kind.before.clone()))).await;
    }
    if let Some(network) = kind.guest {
        let of_libvirt = format!("trestle-{network}");
        host.change(|world| world.start_guest("vm1", GUEST_MAC, "vnet0", network, Some(&of_libvirt)));
    }
    (host, bench.end().await)
}

fn asked(kind: &Kind, course: Course) -> SetupRequest {
    let asked = committed(request(kind.asked.clone()));
    match course {
        Course::Confirmed | Course::Unconfirmed => checked(asked, CHECK),
        Course::StepFails => asked,
    }
}

impl Known {
    async fn of(kind: &Kind, course: Course, host: &FakeHost, folder: &Path) -> Self {
        let (old_hash, old_rebooted) = undisturbed(&host.fork(), folder, None).await;
        let after = host.fork();
        let mut asked = asked(kind, course);
        asked.options.connectivity_check = ConnectivityCheck::None;
        let (new_hash, new_rebooted) = undisturbed(&after, folder, Some(asked)).await;
        assert_ne!(old_hash, new_hash, "{} changes nothing", kind.name);
        Self { old: essence(host), old_hash, old_rebooted, new: essence(&after), new_hash, new_rebooted }
    }
}

/// Applies a request on a host, whose store is copied, and returns the hash of what then runs, and the rebooted host.
async fn undisturbed(host: &FakeHost, folder: &Path, asked: Option<SetupRequest>) -> (String, HostState) {
    let copied = in_memory();
    copy(folder, copied.path());
    let bench = Bench::start(host.clone(), copied, BOOT).await;
    if let Some(asked) = asked {
        bench.apply(asked).await;
    }
    let hash = bench.agent.standing().running_hash;
    let rebooted = host.fork();
    rebooted.reboot();
    Bench::start(rebooted.clone(), bench.end().await, NEXT_BOOT).await.end().await;
    (hash, essence(&rebooted))
}

/// Plays the course, and returns what a death would have left at each place, the one before the first step included.
async fn played(host: &FakeHost, folder: &Path, asked: &SetupRequest, course: Course) -> Vec<Remains> {
    let journal = reopen(folder).await.unwrap();
    let witness = Witness::new(host.clone(), folder);
    witness.look("before".to_owned(), journal.contents());
    let (agent, writer) = watched(&witness, journal);
    if matches!(course, Course::StepFails) {
        let steps = trestle_plan::plan(asked, &agent.kept().borrow().running, &host.state()).unwrap().steps.len();
        host.inject(trestle_fake_host::Fault::FailAfter(steps - 1));
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(writer.run(stop.clone()));
    let mut running = agent.setup(asked.clone(), local()).unwrap();
    while let Some(sign) = running.progress.recv().await {
        if matches!((&sign, course), (Progress::AwaitingConfirmation { .. }, Course::Confirmed)) {
            let by = Confirmer::Local(local().actor);
            agent.confirm(asked.options.transaction, by).await.unwrap();
        }
    }
    let outcome = report(running.end.await.unwrap().unwrap()).outcome;
    assert_eq!(outcome.is_success(), matches!(course, Course::Confirmed), "{outcome:?}");
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    witness.taken()
}

fn watched(witness: &Witness, journal: Journal) -> (Agent<Watched>, Writer<Watched>) {
    let looking = witness.clone();
    journal.witness(move |contents| looking.look("committed".to_owned(), contents));
    let site = Watched { witness: witness.clone(), journal: Arc::new(Mutex::new(Some(journal.clone()))) };
    Agent::new(site, journal, BOOT.to_owned())
}

/// Starts an agent on the remains, and checks what it makes of them; returns what a death of that start would leave.
async fn comes_back(remains: &Remains, asked: &SetupRequest, known: &Known, place: &str) -> Vec<Remains> {
    let is_new = is_to_be_new(&remains.contents, known);
    let folder = in_memory();
    copy(remains.folder.path(), folder.path());
    let host = remains.host.fork();
    let journal = reopen(folder.path()).await.unwrap_or_else(|error| panic!("{place}: {error}"));
    let witness = Witness::new(host.clone(), folder.path());
    let (agent, mut writer) = watched(&witness, journal);
    writer.recover(|| ()).await.unwrap_or_else(|error| panic!("{place}: {error}"));
    let deaths = witness.taken();
    drop(writer);
    let kept = agent.kept().borrow().clone();
    assert_eq!(kept.open, None, "{place}: the journal is open");
    let (state, hash) = if is_new { (&known.new, &known.new_hash) } else { (&known.old, &known.old_hash) };
    assert_eq!(&agent.standing().running_hash, hash, "{place}");
    same(&essence(&host), state, place);
    assert_eq!(crate::digest::of(&kept.persistent), *hash, "{place}: persistent");
    drop(agent);

    // The result is told to whoever asks again; what was never begun is carried out now.
    host.forget();
    let bench = Bench::start(host.clone(), folder, BOOT).await;
    let began = remains.contents.open.is_some() || is_new || {
        let past = reopen_copy(remains.folder.path()).await.past(asked.options.transaction).await.unwrap();
        past.is_some()
    };
    if began {
        let outcome = report(bench.set_up(asked.clone()).await.unwrap()).outcome;
        assert_eq!(matches!(outcome, Outcome::Applied), is_new, "{place}: {outcome:?}");
        assert_eq!(host.writes(), 0, "{place}: a repeated request was carried out again");
    }
    let mut again = asked.clone();
    again.options.transaction = trestle_model::TransactionId(uuid::Uuid::new_v4());
    again.options.connectivity_check = ConnectivityCheck::None;
    // A removal of what has gone already is refused.
    match bench.set_up(again).await {
        Ok(answer) => assert!(report(answer).outcome.is_success(), "{place}: asked anew"),
        Err(refusal) => assert!(is_new, "{place}: asked anew: {refusal:?}"),
    }
    same(&nameless(essence(&host)), &nameless(known.new.clone()), &format!("{place}: asked anew"));
    bench.end().await;
    deaths
}

/// The power is cut at the place: the host boots with what was committed.
async fn comes_back_after_a_reboot(remains: &Remains, known: &Known, place: &str) {
    let folder = in_memory();
    copy(remains.folder.path(), folder.path());
    let host = remains.host.fork();
    host.reboot();
    let bench = Bench::start(host.clone(), folder, NEXT_BOOT).await;
    assert_eq!(bench.agent.kept().borrow().open, None, "{place}: the journal is open after a power cut");
    let is_new = bench.agent.standing().running_hash == known.new_hash;
    let state = if is_new { &known.new_rebooted } else { &known.old_rebooted };
    same(&nameless(essence(&host)), &nameless(state.clone()), &format!("{place}: power cut"));
    let confirmed = is_to_be_new(&remains.contents, known);
    assert!(confirmed || !is_new, "{place}: an unconfirmed change outlived the power");
    bench.end().await;
}

/// Tells whether the change holds, by what the store has of it.
fn is_to_be_new(contents: &Contents, known: &Known) -> bool {
    match &contents.open {
        Some(open) => matches!(open.record.phase, Phase::Adopting),
        None => crate::digest::of(&contents.running) == known.new_hash,
    }
}

/// A state without what is drawn anew when a device or a libvirt network is made anew.
fn nameless(mut state: HostState) -> HostState {
    for link in state.kernel.links.values_mut().filter(|link| trestle_plan::ownership::is_ours(link)) {
        link.mac = None;
        link.addresses.retain(|address| address.origin != trestle_model::AddressOrigin::Kernel);
    }
    let ours: BTreeSet<_> = state.kernel.links.values().filter(|link| link.mac.is_none()).map(|l| &l.name).collect();
    state.kernel.fdb.retain(|entry| !ours.contains(&entry.port));
    for network in state.libvirt.iter_mut().flat_map(|libvirt| libvirt.networks.values_mut()) {
        network.uuid = uuid::Uuid::nil();
        network.xml.clear();
    }
    state
}

/// Compares states, and shows the lines that differ.
fn same(found: &HostState, expected: &HostState, place: &str) {
    if found != expected {
        let (found, expected) = (format!("{found:#?}"), format!("{expected:#?}"));
        let differing = found.lines().zip(expected.lines()).filter(|(found, expected)| found != expected);
        let lines: Vec<String> = differing.take(8).map(|(found, expected)| format!("{found} != {expected}")).collect();
        panic!("{place}:\n{}", lines.join("\n"));
    }
}

async fn reopen_copy(folder: &Path) -> Journal {
    let copied = in_memory();
    copy(folder, copied.path());
    reopen(copied.path()).await.unwrap()
}

/// A folder in memory where there is one: thousands of commits are made, and what a disk does is tested elsewhere.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn kinds_have_names_of_their_own() {
    let names: BTreeSet<&str> = kinds().iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), kinds().len());
}
