//! The real program keeps a real kernel as agreed.

use std::time::Duration;

use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::{ConnectivityCheck, DriftKind, Outcome, RepairState};

use super::bench::{Agent, BOUND, Bench};
use crate::request;

/// A network that answers through a gateway of its own, with a route beside it.
fn blue() -> wire::Network {
    let four =
        wire::StaticAddresses { addresses: vec!["192.0.2.20/24".to_owned()], gateway: Some("192.0.2.1".to_owned()) };
    wire::Network {
        name: "blue".to_owned(),
        southbound: Some(wire::network::Southbound::Nic("nic0".to_owned())),
        ipv4: Some(wire::Ipv4Config { method: Some(wire::ipv4_config::Method::Static(four)) }),
        routes: vec![wire::StaticRoute {
            destination: "203.0.113.0/24".to_owned(),
            next_hop: "192.0.2.1".to_owned(),
            metric: 0,
        }],
        ..wire::Network::default()
    }
}

async fn kept(bench: &Bench) -> Agent {
    let mut agent = bench.agent().await;
    let result = agent.set_up(request(blue(), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    agent
}

/// Waits until the report of the network is as wanted, and returns it.
async fn told(agent: &mut Agent, wanted: impl Fn(&wire::NetworkReport) -> bool) -> wire::NetworkReport {
    let until = tokio::time::Instant::now() + BOUND;
    loop {
        let report = agent.capabilities().await.networks.remove(0);
        if wanted(&report) {
            return report;
        }
        assert!(tokio::time::Instant::now() < until, "{report:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until so many repairs are told.
async fn repaired(agent: &mut Agent, least: u64) -> wire::RepairTally {
    let until = tokio::time::Instant::now() + BOUND;
    loop {
        let tally = agent.masked(&["repairs"]).await.repairs.expect("a tally");
        if tally.repaired >= least {
            return tally;
        }
        assert!(tokio::time::Instant::now() < until, "{tally:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the command that deletes the network's rule.
fn without_rule(bench: &Bench) -> String {
    let rules = bench.ip("rule");
    let rule = rules.lines().find(|rule| rule.contains("192.0.2.20")).expect("the rule").replace(':', "");
    let (priority, selector) = rule.split_once('\t').expect("a priority");
    format!("rule del {} priority {priority}", selector.trim_end().replace("proto", "protocol"))
}

#[tokio::test]
async fn what_others_take_away_comes_back_within_a_second() {
    let Some(bench) = Bench::with("kept", "").await else { return };
    let mut agent = kept(&bench).await;
    let agreed = bench.settled().await;
    let table = bench.ip("rule").lines().find_map(|rule| {
        rule.split_once("lookup ").map(|(_, rest)| rest.to_owned()).filter(|_| rule.contains("192.0.2.20"))
    });
    let table = table.expect("a table").split(' ').next().expect("a number").to_owned();
    let losses = [
        without_rule(&bench),
        "route del 203.0.113.0/24".to_owned(),
        format!("route flush table {table}"),
        "address del 192.0.2.20/24 dev blue".to_owned(),
        "link set nic0 nomaster".to_owned(),
        "link set blue mtu 1400".to_owned(),
        "link set blue down".to_owned(),
        "link set nic0 down".to_owned(),
    ];
    let mut took = Vec::new();
    for (number, loss) in (1_u64..).zip(&losses) {
        bench.ip(loss);
        took.push((bench.back_to(&agreed).await, loss.as_str()));
        told(&mut agent, |report| report.drift.is_empty()).await;
        let tally = repaired(&mut agent, number).await;
        assert_eq!(tally.failed, 0, "{loss}");
        // Whoever asks for something makes the agent forget how often it has repaired the same.
        let result = agent.set_up(request(blue(), ConnectivityCheck::None)).await;
        assert_eq!(result.outcome(), Outcome::Unchanged, "{loss}: {result:?}");
    }
    took.sort();
    let (median, _) = took[took.len() / 2];
    assert!(median < Duration::from_secs(1), "{took:?}");

    // It says what it has done, and what others add stays.
    let page = wire::ListTransactionsRequest { page_size: 20, ..wire::ListTransactionsRequest::default() };
    let history = agent.client.list_transactions(page).await.unwrap().into_inner().transactions;
    let repairs: Vec<_> = history.iter().filter(|transaction| transaction.actor == "keeper").collect();
    assert!(repairs.len() >= losses.len(), "{history:#?}");
    let first = repairs.last().and_then(|repair| repair.result.as_ref()).expect("a result");
    assert_eq!(first.findings[0].code, "DRIFT_FOUND");
    assert!(first.findings[0].message.contains("from 192.0.2.20/32 priority 30000, is absent"), "{first:#?}");
    bench.ip("address add 203.0.113.77/32 dev blue");
    bench.ip("link set blue mtu 1400");
    told(&mut agent, |report| report.mtu == Some(1500)).await;
    assert!(bench.ip("address show dev blue").contains("203.0.113.77/32"));
    agent.terminate().await;
}

#[tokio::test]
async fn what_is_lost_while_the_kernel_drops_its_notices_comes_back() {
    let Some(bench) = Bench::with("flooded", "").await else { return };
    let agent = kept(&bench).await;
    let agreed = bench.settled().await;
    // More notices than the agent's socket has room for; the loss is told among the last of them.
    agent.freeze();
    let flood: String = (0..400).map(|n| format!("link add flood{n} type bridge\nlink del flood{n}\n")).collect();
    bench.ip_batch(&flood);
    bench.ip("address del 192.0.2.20/24 dev blue");
    agent.thaw();
    let took = bench.back_to(&agreed).await;
    assert!(took < Duration::from_secs(10), "{took:?}: only the keeper's period can have told");
    agent.terminate().await;
}

#[tokio::test]
async fn another_that_manages_the_same_is_not_fought() {
    let Some(bench) = Bench::with("rivals", "").await else { return };
    let mut agent = kept(&bench).await;
    let deleting = without_rule(&bench);
    let before = agent.capabilities().await.repairs.expect("a tally").repaired;
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    while tokio::time::Instant::now() < until {
        if bench.ip("rule").contains("192.0.2.20") {
            bench.ip(&deleting);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // After 0 s, 1 s and 3 s.
    let repaired = agent.capabilities().await.repairs.expect("a tally").repaired - before;
    assert!((1..=3).contains(&repaired), "{repaired} repairs in 5 s");
    let report = told(&mut agent, |report| !report.repairs.is_empty()).await;
    assert_eq!(report.repairs[0].kind(), DriftKind::Routing);
    agent.terminate().await;
}

#[tokio::test]
async fn a_nic_that_comes_after_the_start_is_brought_in() {
    let Some(bench) = Bench::with("late", "").await else { return };
    let agent = kept(&bench).await;
    agent.terminate().await;
    bench.ip("link del nic0");
    let mut agent = bench.agent().await;
    let report = told(&mut agent, |report| !report.repairs.is_empty()).await;
    assert_eq!(report.repairs[0].state(), RepairState::Impossible, "{report:?}");
    assert!(report.repairs[0].reason.contains("nic0"), "{report:?}");
    bench.ip("link add nic0 type veth peer name wire0");
    bench.ip("link set wire0 up");
    let report = told(&mut agent, |report| report.drift.is_empty()).await;
    assert_eq!(report.repairs, []);
    let ports: Vec<&str> = report.ports.iter().map(|port| port.device.as_str()).collect();
    assert_eq!(ports, ["nic0"]);
    agent.terminate().await;
}

#[tokio::test]
async fn drift_that_is_left_alone_is_told_to_watchers_within_a_second() {
    let Some(bench) = Bench::with("told", "[keeper]\nrepair = [\"devices\"]\n").await else { return };
    let mut agent = kept(&bench).await;
    let wanted = wire::WatchHostRequest { kinds: vec![wire::ObjectKind::Network.into()], ..Default::default() };
    let mut news = agent.client.watch_host(wanted).await.unwrap().into_inner();
    let mut next = async || tokio::time::timeout(BOUND, news.message()).await.unwrap().unwrap().unwrap().event.unwrap();
    while !matches!(next().await, wire::watch_host_response::Event::SnapshotDone(_)) {}
    bench.ip("route del 203.0.113.0/24");
    let lost = tokio::time::Instant::now();
    loop {
        let wire::watch_host_response::Event::Object(object) = next().await else { continue };
        let Some(wire::host_object::Value::Network(network)) = object.value else { continue };
        if let [repair] = &network.repairs[..] {
            assert_eq!((repair.kind(), repair.state()), (DriftKind::Routing, RepairState::LeftAlone));
            assert_eq!(network.drift, ["link blue route: expected 203.0.113.0/24 via 192.0.2.1 metric 0, is absent"]);
            break;
        }
    }
    assert!(lost.elapsed() < Duration::from_secs(1), "{:?}", lost.elapsed());
    drop(news);
    agent.terminate().await;
}
