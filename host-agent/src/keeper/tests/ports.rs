use trestle_model::MacTableManager;
use trestle_plan::PortChange;

use super::super::case::{Case, PORT_CALM, PORT_GRACE};
use super::*;

/// A stage whose bridge green has a MAC table that libvirt manages, and two guests.
async fn guarded() -> Stage {
    let stage = Stage::new(DriftKind::ALL).await;
    let managed = NetworkSpec { mac_table_manager: MacTableManager::Libvirt, ..network("green", "eth0") };
    stage.bench.apply(set(managed)).await;
    stage.change(|world| {
        world.start_guest("vm1", "52:54:00:00:00:01", "vnet1", "green", Some("trestle-green"));
        world.start_guest("vm2", "52:54:00:00:00:02", "vnet2", "green", Some("trestle-green"));
    });
    stage.host.forget();
    stage
}

fn open(tap: &str) -> KernelStep {
    let change = PortChange { learning: Some(true), ..PortChange::default() };
    KernelStep::SetPort { port: device(tap), change }
}

fn shut(tap: &str) -> KernelStep {
    let change = PortChange { learning: Some(false), ..PortChange::default() };
    KernelStep::SetPort { port: device(tap), change }
}

fn learns(stage: &Stage, tap: &str) -> bool {
    stage.state().kernel.links[&device(tap)].port.unwrap().learning
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_being_set_up_is_left_to_libvirt() {
    let stage = guarded().await;
    let began = Instant::now();
    stage.tamper(open("vnet1"));
    // It is seen, and set right, before it counts as lost.
    tokio::time::sleep(SETTLE + PORT_GRACE / 2).await;
    stage.tamper(shut("vnet1"));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(stage.host.writes(), 0);

    let lost = Instant::now();
    stage.tamper(open("vnet1"));
    stage.until_tally(1, 0).await;
    assert!((PORT_GRACE..Duration::from_secs(1)).contains(&lost.elapsed()), "{:?} after {began:?}", lost.elapsed());
    assert!(!learns(&stage, "vnet1"));
}

#[tokio::test(start_paused = true)]
async fn a_bridge_itself_is_repaired_without_grace() {
    let stage = guarded().await;
    let off = BridgeChange { vlan_filtering: Some(false), ..BridgeChange::default() };
    let lost = Instant::now();
    stage.tamper(KernelStep::SetBridge { bridge: device("green"), change: off });
    stage.until_tally(1, 0).await;
    assert!(lost.elapsed() < SETTLE + PORT_GRACE, "{:?}", lost.elapsed());
    let past = stage.history().await.remove(0);
    assert_eq!(past.report.findings[0].subject, "network green");
    assert!(past.report.findings[0].message.starts_with("mac_tables: link green vlan_filtering"), "{past:?}");
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_fought_over_keeps_no_other_from_coming_back() {
    let stage = guarded().await;
    for round in 1..=u64::from(LIMIT) {
        stage.tamper(open("vnet1"));
        stage.until_tally(round, 0).await;
    }
    stage.tamper(open("vnet1"));
    let green = Subject::Network(name("green"));
    let port = Subject::Port { network: name("green"), tap: device("vnet1") };
    let mut board = stage.bench.agent.board();
    let is_suspended =
        |board: &Board| board.repairs.get(&port).is_some_and(|repairs| repairs[0].state == RepairState::Suspended);
    drop(tokio::time::timeout(BOUND, board.wait_for(is_suspended)).await.expect("not suspended").unwrap());
    assert_eq!(board.borrow().repairs.get(&green), None, "nothing is lost of the bridge itself");

    let lost = Instant::now();
    stage.tamper(open("vnet2"));
    stage.until_tally(u64::from(LIMIT) + 1, 0).await;
    assert!(lost.elapsed() < Duration::from_secs(1), "{:?}", lost.elapsed());
    assert!(learns(&stage, "vnet1") && !learns(&stage, "vnet2"));

    // The network is told with the worst of its ports.
    let report = stage.bench.capabilities().await;
    let green = report.networks.iter().find(|network| network.configured.spec.name == name("green")).unwrap();
    assert_eq!(green.drift, ["link vnet1 of guest vm1 learning: expected false, is true"]);
    let [repair] = &green.repairs[..] else { panic!("{:?}", green.repairs) };
    assert_eq!((repair.kind, repair.state), (DriftKind::MacTables, RepairState::Suspended));
    assert_eq!(repair.reason, "vnet1: lost again after 6 repairs");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_is_paused_every_minute_is_no_fight() {
    let stage = guarded().await;
    for round in 1..=3 * u64::from(LIMIT) {
        let lost = Instant::now();
        stage.tamper(open("vnet1"));
        stage.until_tally(round, 0).await;
        assert!(lost.elapsed() < Duration::from_secs(1), "round {round}: {:?}", lost.elapsed());
        tokio::time::sleep(PORT_CALM + Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_ports_come_back_in_one_transaction() {
    let stage = guarded().await;
    stage.change(|world| world.flush_entries("green"));
    stage.until_tally(2, 0).await;
    let past = stage.history().await;
    let subjects: Vec<&str> = past[0].report.findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!(subjects, ["port vnet1 of network green", "port vnet2 of network green"]);
    assert_eq!(past[0].request.changes.len(), 1, "{past:#?}");
    assert_eq!(past[1].report.findings[0].subject, "network green");
}

#[tokio::test(start_paused = true)]
async fn a_port_is_told_of_once_and_not_before_it_counts_as_lost() {
    let subject = Subject::Port { network: name("green"), tap: device("vnet1") };
    let loss = Loss { thing: Thing { subject, kind: DriftKind::MacTables }, drift: Vec::new(), obstacle: None };
    let now = Instant::now();
    let mut case = Case::new(loss, now);
    assert!(case.announced(now + PORT_GRACE / 2).is_none());
    assert!(case.announced(now + PORT_GRACE).is_some());
    assert!(case.announced(now + PORT_GRACE * 2).is_none());
}
