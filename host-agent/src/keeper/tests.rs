mod ports;
mod sightings;

use std::time::Duration;

use tokio::task::JoinSet;
use trestle_fake_host::{FakeHost, Fault, World};
use trestle_model::{
    Address, Code, ConnectivityCheck, HostState, IfName, Ipv4Config, Mtu, NetworkSpec, Outcome, Repair, RepairState,
    RingSizes, StaticIpv4,
};
use trestle_plan::sample::set_nic;
use trestle_plan::{BridgeChange, KernelStep, LibvirtStep, Step};

use super::case::{CALM, LIMIT, LONGEST_REST};
use super::*;
use crate::journal::Past;
use crate::transaction::Confirmer;
use crate::trial::{self, BOUND, Bench, checked, end_of, essence, host, local, name, network, report, set};

/// An agent over a host in memory, and the keeper of it.
struct Stage {
    bench: Bench<FakeHost>,
    host: FakeHost,
    changed: watch::Sender<u64>,
    _keeper: JoinSet<()>,
}

impl Stage {
    /// Starts both, with a network that has an address and a gateway of its own.
    async fn new(repair: impl IntoIterator<Item = DriftKind>) -> Self {
        Self::with(host(), repair).await
    }

    async fn with(host: FakeHost, repair: impl IntoIterator<Item = DriftKind>) -> Self {
        let bench = Bench::new(host.clone()).await;
        let (changed, on_change) = watch::channel(0);
        let policy = Policy { repair: repair.into_iter().collect(), period: Duration::from_secs(60) };
        let keeper = Keeper::new(bench.agent.clone(), policy, on_change);
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper.run(bench.stop.clone()));
        bench.apply(set(blue())).await;
        host.forget();
        Self { bench, host, changed, _keeper: tasks }
    }

    /// Does something to the host behind the agent's back, and tells of it as a kernel would.
    fn tamper(&self, step: impl Into<Step>) {
        let step = step.into();
        self.change(|world| world.perform(&step).unwrap());
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        self.host.change(change);
        self.changed.send_modify(|count| *count += 1);
    }

    fn state(&self) -> HostState {
        self.host.state()
    }

    fn lose_rule(&self) {
        self.tamper(KernelStep::RemoveRule { rule: self.state().kernel.rules[0].clone() });
    }

    /// Waits until what is told of blue is this.
    async fn until_told(&self, expected: impl Fn(&[Repair]) -> bool) -> Vec<Repair> {
        let blue = Subject::Network(name("blue"));
        let mut board = self.bench.agent.board();
        let told = board.wait_for(|board| expected(board.repairs.get(&blue).map_or(&[], Vec::as_slice)));
        let told = tokio::time::timeout(Duration::from_secs(3600), told).await.expect("not told").unwrap();
        told.repairs.get(&blue).cloned().unwrap_or_default()
    }

    async fn until_tally(&self, repaired: u64, failed: u64) {
        let mut board = self.bench.agent.board();
        let told = board.wait_for(|board| board.tally == RepairTally { repaired, failed });
        drop(tokio::time::timeout(Duration::from_secs(3600), told).await.expect("not repaired").unwrap());
    }

    async fn history(&self) -> Vec<Past> {
        self.bench.agent.history(None, 100).await.unwrap().past
    }
}

fn blue() -> NetworkSpec {
    let gateway = Some("198.51.100.254".parse().unwrap());
    let given = StaticIpv4::new(vec!["198.51.100.1/24".parse().unwrap()], gateway).unwrap();
    NetworkSpec { ipv4: Ipv4Config::Static(given), ..network("blue", "eth1") }
}

fn device(text: &str) -> IfName {
    IfName::parse(text).unwrap()
}

fn set_mtu(bytes: u32) -> KernelStep {
    KernelStep::SetMtu { link: device("blue"), mtu: Mtu::try_from(bytes).unwrap() }
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_comes_back_within_a_second_and_is_in_the_history() {
    let stage = Stage::new(DriftKind::ALL).await;
    let before = essence(&stage.host);
    stage.lose_rule();
    let began = Instant::now();
    stage.until_tally(1, 0).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((essence(&stage.host), stage.host.writes()), (before, 1));
    let past = stage.history().await.remove(0);
    assert_eq!((past.actor.as_str(), &past.report.outcome), (KEEPER, &Outcome::Applied));
    assert_eq!(past.request.changes.len(), 1);
    let finding = &past.report.findings[0];
    assert_eq!((finding.code, finding.subject.as_str()), (Code::DriftFound, "network blue"));
    assert!(finding.message.starts_with("routing: table"), "{finding}");
    let capabilities = stage.bench.capabilities().await;
    assert_eq!(capabilities.repairs, RepairTally { repaired: 1, failed: 0 });
    assert_eq!((&capabilities.networks[0].drift, &capabilities.networks[0].repairs), (&vec![], &vec![]));
    stage.until_told(<[Repair]>::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn a_nic_is_kept_on_a_host_without_networks() {
    let stage = Stage::new(DriftKind::ALL).await;
    stage.bench.apply(trial::remove("blue")).await;
    stage.bench.apply(trial::request([set_nic("eth0", Some(512), None, &[])])).await;
    stage.host.forget();
    let sizes = RingSizes { rx: Some(128), tx: None };
    stage.tamper(KernelStep::SetRings { link: device("eth0"), sizes });
    stage.until_tally(1, 0).await;
    assert_eq!(stage.state().kernel.links[&device("eth0")].settings.rings.unwrap().rx, 512);
}

#[tokio::test(start_paused = true)]
async fn the_agent_still_knows_who_asked_and_what_is_persistent() {
    let stage = Stage::new(DriftKind::ALL).await;
    let before = stage.bench.capabilities().await;
    stage.lose_rule();
    stage.until_tally(1, 0).await;
    let after = stage.bench.capabilities().await;
    assert_eq!((after.running_hash, after.persistent_hash), (before.running_hash, before.persistent_hash));
    assert_eq!(after.networks[0].configured, before.networks[0].configured);
}

#[tokio::test(start_paused = true)]
async fn a_host_as_agreed_is_looked_at_and_left_alone() {
    let stage = Stage::new(DriftKind::ALL).await;
    let looks = stage.host.observations();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!((5..=7).contains(&(stage.host.observations() - looks)), "{}", stage.host.observations() - looks);
    assert_eq!((stage.host.writes(), stage.history().await.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_for_what_runs_makes_no_look_of_its_own() {
    let stage = Stage::new(DriftKind::ALL).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let looks = stage.host.observations();
    let report = stage.bench.apply(set(blue())).await;
    assert_eq!(report.outcome, Outcome::Unchanged);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.host.observations(), looks + 1, "the request's own");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_left_alone_is_told_at_once_and_not_touched() {
    let stage = Stage::new([DriftKind::Routing]).await;
    stage.tamper(set_mtu(1400));
    let told = stage.until_told(|repairs| !repairs.is_empty()).await;
    assert_eq!((told[0].kind, told[0].state, told[0].attempts), (DriftKind::Devices, RepairState::LeftAlone, 0));
    stage.lose_rule();
    stage.until_tally(1, 0).await;
    assert_eq!(stage.host.writes(), 1);
    let blue = stage.bench.capabilities().await.networks.remove(0);
    assert_eq!(blue.drift, ["link blue mtu: expected 1500, is 1400"]);
    assert_eq!(blue.repairs[0].reason, "the agent is told to leave devices alone");
}

#[tokio::test(start_paused = true)]
async fn whoever_alters_it_again_and_again_is_not_fought() {
    let stage = Stage::new(DriftKind::ALL).await;
    let mut rests = Vec::new();
    for round in 1..=u64::from(LIMIT) {
        let lost = Instant::now();
        stage.tamper(set_mtu(1400));
        stage.until_tally(round, 0).await;
        rests.push(lost.elapsed().as_secs());
    }
    assert_eq!(rests, [0, 1, 2, 4, 8, 16], "each rest is twice the one before");
    stage.tamper(set_mtu(1400));
    let told = stage.until_told(|repairs| repairs.iter().any(|repair| repair.state == RepairState::Suspended)).await;
    assert_eq!(told[0].reason, "lost again after 6 repairs");
    tokio::time::sleep(CALM * 3).await;
    assert_eq!(stage.host.writes(), 6, "it stays as the other wants it");

    // A different loss gets one more try, and no more than one a rest.
    for (mtu, repaired) in [(1300, 7), (1200, 8)] {
        let lost = Instant::now();
        stage.tamper(set_mtu(mtu));
        stage.until_tally(repaired, 0).await;
        assert!(repaired == 7 || lost.elapsed() + Duration::from_secs(1) > LONGEST_REST, "{:?}", lost.elapsed());
        stage.tamper(set_mtu(1100));
        stage.until_told(|repairs| repairs.iter().any(|repair| repair.state == RepairState::Suspended)).await;
    }

    // Whoever asks the agent for something makes it begin again.
    stage.bench.apply(set(network("red", "eth0"))).await;
    stage.until_tally(9, 0).await;
    assert_eq!(stage.state().kernel.links[&device("blue")].mtu, Mtu::ETHERNET);
}

#[tokio::test(start_paused = true)]
async fn losses_far_from_each_other_are_no_fight() {
    let stage = Stage::new(DriftKind::ALL).await;
    for round in 1..=3 * u64::from(LIMIT) {
        stage.tamper(set_mtu(1400));
        let lost = Instant::now();
        stage.until_tally(round, 0).await;
        assert!(lost.elapsed() < Duration::from_secs(1), "round {round}");
        tokio::time::sleep(CALM + Duration::from_secs(120)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_repair_that_fails_is_undone_told_and_given_up() {
    let stage = Stage::new(DriftKind::ALL).await;
    stage.host.inject(Fault::FailMatching("set MTU of blue".to_owned()));
    stage.tamper(set_mtu(1400));
    let lost = essence(&stage.host);
    stage.until_tally(0, 1).await;
    let told = stage.until_told(|repairs| repairs.first().is_some_and(|repair| repair.attempts == 1)).await;
    assert!(told[0].state == RepairState::Due && told[0].reason.contains("set MTU of blue"), "{told:?}");
    stage.until_told(|repairs| repairs.iter().any(|repair| repair.state == RepairState::Suspended)).await;
    assert_eq!(essence(&stage.host), lost);
    let history = stage.history().await;
    let failed = history.iter().filter(|past| matches!(past.report.outcome, Outcome::RolledBack(_)));
    assert_eq!(failed.count(), 6);
    tokio::time::sleep(CALM * 2).await;
    assert_eq!(stage.history().await.len(), history.len());

    stage.host.heal();
    stage.bench.apply(set(network("red", "eth0"))).await;
    stage.until_tally(1, 6).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_repaired_keeps_nothing_else_from_it() {
    let stage = Stage::new(DriftKind::ALL).await;
    stage.bench.apply(set(network("red", "eth0"))).await;
    stage.host.inject(Fault::FailMatching("set MTU of blue".to_owned()));
    stage.change(|world| {
        let (blue, red) = (set_mtu(1400), BridgeChange { stp: Some(true), ..BridgeChange::default() });
        world.perform(&blue.into()).unwrap();
        world.perform(&KernelStep::SetBridge { bridge: device("red"), change: red }.into()).unwrap();
    });
    // Both together fail, then each has its own transaction.
    let mut board = stage.bench.agent.board();
    let told = board.wait_for(|board| board.tally.repaired == 1);
    drop(tokio::time::timeout(BOUND, told).await.expect("red is not repaired").unwrap());
    assert!(!stage.state().kernel.links[&device("red")].bridge().unwrap().stp);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repaired_while_a_confirmation_is_waited_for() {
    let stage = Stage::new(DriftKind::ALL).await;
    let check = ConnectivityCheck::Local(Duration::from_secs(30));
    let running = stage.bench.begin(checked(set(network("red", "eth0")), check));
    let mut awaiting = stage.bench.agent.awaiting();
    let waiting = tokio::time::timeout(BOUND, awaiting.wait_for(Option::is_some)).await.unwrap().unwrap().unwrap();
    let writes = stage.host.writes();
    stage.lose_rule();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(stage.host.writes(), writes);
    let drift = stage.bench.capabilities().await.networks.remove(0).drift;
    assert_eq!(drift.len(), 1, "it is told meanwhile: {drift:?}");
    stage.bench.agent.confirm(waiting.transaction, Confirmer::Local("local".to_owned())).await.unwrap();
    assert_eq!(report(end_of(running).await.unwrap()).outcome, Outcome::Applied);
    stage.until_tally(1, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_repair_takes_no_place_of_a_request() {
    let stage = Stage::new(DriftKind::ALL).await;
    stage.host.inject(Fault::Delay(Duration::from_secs(2)));
    stage.lose_rule();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waiting: Vec<_> = (0..crate::transaction::QUEUE).map(|_| stage.bench.begin(set(blue()))).collect();
    assert!(matches!(stage.bench.agent.setup(set(blue()), local()), Err(Refusal::Busy)));
    for running in waiting {
        assert!(report(end_of(running).await.unwrap()).outcome.is_success());
    }
    stage.until_tally(1, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_nic_that_comes_late_is_brought_in() {
    let stage = Stage::new(DriftKind::ALL).await;
    stage.change(|world| world.pull("eth1"));
    let told = stage.until_told(|repairs| !repairs.is_empty()).await;
    assert_eq!(told[0].state, RepairState::Impossible);
    assert!(told[0].reason.contains("eth1"), "{told:?}");
    stage.change(|world| world.plug_nic("eth1"));
    stage.until_told(<[Repair]>::is_empty).await;
    assert_eq!(stage.state().kernel.links[&device("eth1")].master, Some(device("blue")));
}

#[tokio::test(start_paused = true)]
async fn libvirts_part_comes_back_and_the_kernels_also_without_libvirt() {
    let stage = Stage::new(DriftKind::ALL).await;
    stage.tamper(LibvirtStep::Stop { name: "trestle-blue".to_owned() });
    stage.until_tally(1, 0).await;
    assert!(stage.state().libvirt.unwrap().networks["trestle-blue"].active);
    stage.host.inject(Fault::FailObservations);
    stage.lose_rule();
    stage.until_tally(2, 0).await;
    assert_eq!(stage.state().kernel.rules.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_somebody_added_is_told_and_stays() {
    let stage = Stage::new(DriftKind::ALL).await;
    let added: Address = stage.state().kernel.links[&device("blue")].addresses[0].clone();
    let added = Address { net: "203.0.113.7/32".parse().unwrap(), broadcast: None, ..added };
    stage.tamper(KernelStep::AddAddress { link: device("blue"), address: added });
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(stage.host.writes(), 0);
    let blue = stage.bench.capabilities().await.networks.remove(0);
    assert_eq!(blue.drift, ["link blue address: expected absent, is 203.0.113.7/32"]);
    assert_eq!(blue.repairs, []);
}
