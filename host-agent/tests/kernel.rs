//! The real program on the real kernel, in a network namespace of its own, without libvirt.

#[cfg(test)]
mod kernel {
    mod advertisements;
    pub(crate) mod bench;
    mod containers;
    pub(crate) mod disk;
    mod far;
    mod faults;
    mod keeping;
    mod leases;
    mod neighbors;
    mod routing;
    mod rtnl;
}

use std::time::Duration;

use kernel::bench::{BOUND, Bench};
use tokio::time::Instant;
use trestle_proto::host::v1::{self as wire, ConnectivityCheck, Outcome};

fn network(address: &str) -> wire::Network {
    wire::Network {
        name: "blue".to_owned(),
        southbound: Some(wire::network::Southbound::Nic("nic0".to_owned())),
        ipv4: Some(wire::Ipv4Config {
            method: Some(wire::ipv4_config::Method::Static(wire::StaticAddresses {
                addresses: vec![address.to_owned()],
                gateway: None,
            })),
        }),
        ..wire::Network::default()
    }
}

fn request(network: wire::Network, check: ConnectivityCheck) -> wire::SetupNetworksRequest {
    wire::SetupNetworksRequest {
        networks: vec![network],
        connectivity_check: check.into(),
        connectivity_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..wire::SetupNetworksRequest::default()
    }
}

/// A hook that asks for another MTU.
const WIDER: &str = r#"#!/bin/sh
sed -e 's/.*"networks":\(\[[^]]*\]\).*/{"changed":{"networks":\1}}/' -e 's/"mtu":1500/"mtu":1400/'
"#;

fn removal() -> wire::Network {
    wire::Network { name: "blue".to_owned(), remove: true, ..wire::Network::default() }
}

#[tokio::test]
async fn a_network_on_a_real_kernel_is_set_up_reported_undone_and_removed() {
    let Some(bench) = Bench::new("whole").await else { return };
    let before = bench.settled().await;
    let mut agent = bench.agent().await;

    // Nobody confirms: the host is as before, also the address that nobody asked Trestle for.
    let result = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    bench.until(&before).await;

    let result = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    let capabilities = agent.capabilities().await;
    let [blue] = &capabilities.networks[..] else { panic!("{:?}", capabilities.networks) };
    assert_eq!(blue.drift, Vec::<String>::new());
    assert_eq!(blue.addresses.iter().filter(|address| address.address == "192.0.2.20/24").count(), 1);
    assert_eq!(blue.ports.iter().map(|port| port.device.as_str()).collect::<Vec<_>>(), ["nic0"]);
    let [bridge] = &capabilities.bridges[..] else { panic!("{:?}", capabilities.bridges) };
    assert_eq!((bridge.name.as_str(), bridge.owner(), bridge.network.as_str()), ("blue", wire::Owner::Trestle, "blue"));
    let nic = capabilities.nics.iter().find(|nic| nic.name == "nic0").unwrap();
    assert_eq!((nic.speed_mbps, nic.duplex()), (Some(10_000), wire::Duplex::Full), "what veth says of itself");
    assert!(capabilities.dirty && !capabilities.kernel.unwrap().release.is_empty());

    let unchanged = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(unchanged.outcome(), Outcome::Unchanged, "{unchanged:?}");

    // A restart of the agent in the same boot keeps what runs.
    agent.terminate().await;
    let mut agent = bench.agent().await;
    assert!(agent.capabilities().await.dirty);
    let removed = agent.set_up(request(removal(), ConnectivityCheck::None)).await;
    assert_eq!(removed.outcome(), Outcome::Applied, "{removed:?}");
    assert!(!bench.has_link("blue"));
    agent.terminate().await;
}

/// How long a confirmed change may take until it is adopted, in the middle of several: well under a second.
const ADOPTED_WITHIN: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_confirmed_change_is_adopted_in_well_under_a_second() {
    let Some(bench) = Bench::new("confirm").await else { return };
    bench.settled().await;
    let mut agent = bench.agent().await;
    let mut took = Vec::new();
    for host in 20..25 {
        let mut asked = request(network(&format!("192.0.2.{host}/24")), ConnectivityCheck::Confirm);
        asked.request_id = uuid::Uuid::now_v7().to_string();
        let transaction_id = asked.request_id.clone();
        let mut events = agent.until_it_waits(asked).await;
        let confirmed = Instant::now();
        // Over a connection of its own, as whoever confirms has to come.
        let mut client = bench.client().await;
        client.confirm_networks(wire::ConfirmNetworksRequest { transaction_id }).await.unwrap();
        let adopted = loop {
            let event = tokio::time::timeout(BOUND, events.message()).await.unwrap().unwrap().unwrap().event;
            if let Some(wire::setup_networks_response::Event::Result(result)) = event {
                break result;
            }
        };
        took.push(confirmed.elapsed());
        assert_eq!(adopted.outcome(), Outcome::Applied, "{adopted:?}");
        assert_eq!(agent.capabilities().await.networks[0].drift, Vec::<String>::new());
    }
    took.sort();
    assert!(took[2] < ADOPTED_WITHIN, "{took:?}");
    agent.terminate().await;
}

#[tokio::test]
async fn a_kill_while_the_confirmation_is_waited_for_is_undone_at_the_next_start() {
    let Some(bench) = Bench::new("kill").await else { return };
    let before = bench.settled().await;
    let mut agent = bench.agent().await;
    let mut long = request(network("192.0.2.20/24"), ConnectivityCheck::Confirm);
    long.connectivity_timeout = Some(prost_types::Duration { seconds: 600, nanos: 0 });
    let _waiting = agent.until_it_waits(long).await;
    assert!(bench.has_link("blue"));
    agent.kill().await;
    let agent = bench.agent().await;
    bench.until(&before).await;
    agent.terminate().await;
}

#[tokio::test]
async fn the_program_checks_its_configuration_exports_and_imports() {
    let Some(bench) = Bench::new("store").await else { return };
    let shown = bench.run(&["check-config"]);
    assert!(shown.contains("host = host-a") && shown.contains("libvirt.uri = none"), "{shown}");
    let mut agent = bench.agent().await;
    let mut asked = request(network("192.0.2.20/24"), ConnectivityCheck::None);
    asked.commit_on_success = true;
    assert_eq!(agent.set_up(asked).await.outcome(), Outcome::Applied);
    let refused = bench.fail(&["export"]);
    assert!(refused.contains("in use by another process"), "{refused}");
    assert!(bench.run(&["capabilities"]).contains("\"boot_id\""));
    agent.terminate().await;

    let exported = bench.run(&["export"]);
    assert!(exported.contains("192.0.2.20/24"), "{exported}");
    let file = bench.folder().with_extension("json");
    std::fs::write(&file, &exported).unwrap();
    let file = file.to_str().unwrap();
    let refused = bench.fail(&["import", file]);
    assert!(refused.contains("is not empty"), "{refused}");
    std::fs::rename(bench.folder(), bench.folder().with_extension("aside")).unwrap();
    bench.run(&["import", file]);
    assert_eq!(bench.run(&["export"]), exported);
}

#[tokio::test]
async fn foreign_bridges_are_reported_and_a_mask_leaves_out_what_is_not_asked_for() {
    let Some(bench) = Bench::new("foreign").await else { return };
    for command in [
        "link add virbr0 type bridge stp_state 1",
        "link add tap0 type veth peer name tap1",
        "link set tap0 master virbr0 up",
        "link set virbr0 up",
    ] {
        bench.ip(command);
    }
    let mut agent = bench.agent().await;
    let capabilities = agent.capabilities().await;
    let [bridge] = &capabilities.bridges[..] else { panic!("{:?}", capabilities.bridges) };
    assert_eq!((bridge.name.as_str(), bridge.owner(), bridge.network.as_str()), ("virbr0", wire::Owner::Foreign, ""));
    assert!(bridge.up && bridge.options.unwrap().stp && bridge.ports[0].device == "tap0", "{bridge:?}");

    let masked = agent.masked(&["bridges"]).await;
    assert_eq!(masked, wire::Capabilities { bridges: capabilities.bridges, ..wire::Capabilities::default() });
    let nics = agent.masked(&["nics"]).await.nics;
    assert_eq!(nics, capabilities.nics);
    agent.terminate().await;
}

#[tokio::test]
async fn programs_of_the_operator_are_asked_before_a_change_and_told_after_it() {
    let Some(bench) = Bench::new("hooks").await else { return };
    let _wider = bench.hook("before", "10-wider", WIDER).await;
    let told = bench.hooks().join("told");
    let _witness = bench.hook("after", "10-witness", &format!("#!/bin/sh\ncat >'{}'\n", told.display())).await;
    let mut agent = bench.agent().await;
    let mut asked = wire::Network { name: "blue".to_owned(), ..wire::Network::default() };
    let result = agent.set_up(request(asked.clone(), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    assert_eq!(result.findings.iter().map(|finding| finding.code.as_str()).collect::<Vec<_>>(), ["HOOK_CHANGED"]);
    assert_eq!(agent.capabilities().await.networks[0].mtu, Some(1400));
    let told = std::fs::read_to_string(told).unwrap();
    assert!(told.contains("\"outcome\":\"OUTCOME_APPLIED\"") && told.contains("\"mtu\":1400"), "{told}");

    // A hook that refuses, after the other: nothing is touched.
    let _gate = bench.hook("before", "20-gate", "#!/bin/sh\necho '{\"refusal\": \"not before midnight\"}'\n").await;
    asked.mtu = Some(9000);
    let mut events = agent.client.setup_networks(request(asked, ConnectivityCheck::None)).await.unwrap().into_inner();
    let refused = tokio::time::timeout(BOUND, events.message()).await.unwrap().unwrap_err();
    assert!(
        refused.message().contains("HOOK_REFUSED") && refused.message().contains("not before midnight"),
        "{refused}"
    );
    assert_eq!(agent.capabilities().await.networks[0].mtu, Some(1400));
    agent.terminate().await;
}

#[tokio::test]
async fn counters_are_told_of_all_devices_or_of_those_that_are_named() {
    let Some(bench) = Bench::new("counters").await else { return };
    bench.settled().await;
    let mut agent = bench.agent().await;
    let mut ask = async |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        agent.client.get_statistics(wire::GetStatisticsRequest { names }).await.map(tonic::Response::into_inner)
    };
    let all = ask(&[]).await.unwrap();
    assert_eq!(all.interfaces.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["lo", "nic0", "wire0"]);
    assert!(all.read_time.is_some());
    let named = ask(&["wire0", "gone0"]).await.unwrap();
    let [wire0] = &named.interfaces[..] else { panic!("{named:?}") };
    // What one end of the cable has sent is what the other has received.
    let text = bench.ip("-s -j link show dev wire0");
    assert!(wire0.rx_packets > 0 && wire0.rx_bytes >= wire0.rx_packets * 14, "{wire0:?} {text}");
    let refused = ask(&["no/name"]).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
    agent.terminate().await;
}

#[tokio::test]
async fn a_watch_tells_what_others_do_to_the_kernel() {
    use wire::host_object::Value;
    use wire::watch_host_response::Event as News;
    let Some(bench) = Bench::new("watch").await else { return };
    bench.settled().await;
    let mut agent = bench.agent().await;
    let request = wire::WatchHostRequest::default();
    let mut stream = agent.client.watch_host(request.clone()).await.unwrap().into_inner();
    let mut told = async || tokio::time::timeout(BOUND, stream.message()).await.unwrap().unwrap().unwrap();
    while !matches!(told().await.event, Some(News::SnapshotDone(_))) {}

    // A burst that the watch's socket may not hold: everything is told all the same.
    let batch: String = (0..150).map(|number| format!("link add burst{number} type bridge\n")).collect();
    bench.ip_batch(&batch);
    bench.ip("link set nic0 mtu 1400");
    let (mut bridges, mut mtu, mut token) = (std::collections::BTreeSet::new(), 0, String::new());
    while bridges.len() < 150 || mtu != 1400 {
        let news = told().await;
        token = news.resume_token;
        match news.event {
            Some(News::Object(wire::HostObject { value: Some(Value::Bridge(bridge)) })) => {
                assert_eq!(bridge.owner(), wire::Owner::Foreign);
                bridges.insert(bridge.name);
            }
            Some(News::Object(wire::HostObject { value: Some(Value::Nic(nic)) })) if nic.name == "nic0" => {
                mtu = nic.mtu
            }
            _ => {}
        }
    }
    drop(stream);
    bench.ip("link delete burst7");

    let resumed = wire::WatchHostRequest { resume_token: token.clone(), kinds: vec![wire::ObjectKind::Bridge.into()] };
    let mut stream = agent.client.watch_host(resumed.clone()).await.unwrap().into_inner();
    let news = tokio::time::timeout(BOUND, stream.message()).await.unwrap().unwrap().unwrap();
    let removed = wire::ObjectRemoved { kind: wire::ObjectKind::Bridge.into(), name: "burst7".to_owned() };
    assert_eq!(news.event, Some(News::Removed(removed)), "{news:?}");

    // Another run of the agent knows nothing of that token, and ends no watch silently.
    agent.terminate().await;
    let ended = tokio::time::timeout(BOUND, stream.message()).await.unwrap();
    assert!(ended.is_err(), "{ended:?}");
    let mut agent = bench.agent().await;
    let refused = agent.client.watch_host(resumed).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused:?}");
    agent.terminate().await;
}

/// Makes `br0` over `nic1`, with an address and an option of its own.
fn lay_bridge_of_somebody_elses(bench: &Bench) {
    for command in [
        "link add br0 type bridge ageing_time 12000",
        "address add 198.51.100.7/24 dev br0",
        "link add wire1 type veth peer name nic1",
        "link set nic1 master br0 up",
        "link set wire1 up",
        "link set br0 up",
    ] {
        bench.ip(command);
    }
}

#[tokio::test]
async fn a_bridge_of_somebody_elses_is_adopted_given_back_and_in_the_end_removed() {
    let Some(bench) = Bench::new("adopt").await else { return };
    lay_bridge_of_somebody_elses(&bench);
    let before = bench.settled().await;
    let mut agent = bench.agent().await;
    let mut br0 = network("198.51.100.7/24");
    br0.name = "br0".to_owned();
    br0.southbound = Some(wire::network::Southbound::Nic("nic1".to_owned()));
    br0.bridge_options = Some(wire::BridgeOptions { ageing_time_cs: Some(12_000), ..wire::BridgeOptions::default() });
    let refused = agent.client.setup_networks(request(br0.clone(), ConnectivityCheck::None)).await.unwrap();
    let refused = tokio::time::timeout(BOUND, refused.into_inner().message()).await.unwrap().unwrap_err();
    assert!(refused.message().contains("FOREIGN_DEVICE") && refused.message().contains("adopt_devices"), "{refused}");

    // Nobody confirms: it is whose it was.
    let adopting =
        |check| wire::SetupNetworksRequest { adopt_devices: vec!["br0".to_owned()], ..request(br0.clone(), check) };
    let result = agent.set_up(adopting(ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    bench.until(&before).await;

    let result = agent.set_up(adopting(ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    let capabilities = agent.capabilities().await;
    let [bridge] = &capabilities.bridges[..] else { panic!("{:?}", capabilities.bridges) };
    assert_eq!((bridge.owner(), bridge.network.as_str()), (wire::Owner::Trestle, "br0"));
    assert_eq!(capabilities.networks[0].drift, Vec::<String>::new());
    assert_eq!(capabilities.uncommitted.len(), 1);

    // All of it goes by the agent's own command line, which shows the plan first.
    let plan = bench.fail(&["clear"]);
    assert!(plan.contains("delete device br0") && plan.contains("--yes"), "{plan}");
    assert!(bench.has_link("br0"));
    assert!(bench.run(&["list"]).contains("br0"));
    assert!(bench.run(&["clear", "--yes"]).contains("applied"));
    assert!(!bench.has_link("br0"));
    assert_eq!(bench.run(&["restore", "--yes"]), "unchanged\n");
    agent.terminate().await;
}

#[tokio::test]
async fn a_bridge_is_adopted_by_the_agents_own_command_line() {
    let Some(bench) = Bench::new("adopt-cli").await else { return };
    lay_bridge_of_somebody_elses(&bench);
    bench.settled().await;
    let mut agent = bench.agent().await;
    let unknown = bench.fail(&["adopt", "br9", "--yes"]);
    assert!(unknown.contains("the host has no bridge br9"), "{unknown}");

    // Without consent only the plan is shown.
    let plan = bench.fail(&["adopt", "br0", "--as", "blue"]);
    assert!(plan.contains("--yes would carry this out") && plan.contains("br0"), "{plan}");
    assert!(agent.capabilities().await.networks.is_empty());

    let adopted = bench.run(&["adopt", "br0", "--as", "blue", "--commit", "--yes"]);
    assert!(adopted.contains("applied"), "{adopted}");
    assert_eq!(bench.run(&["list"]), "blue\tlocal\tpersistent\n");
    let capabilities = agent.capabilities().await;
    let [bridge] = &capabilities.bridges[..] else { panic!("{:?}", capabilities.bridges) };
    assert_eq!((bridge.owner(), bridge.network.as_str()), (wire::Owner::Trestle, "blue"));
    assert_eq!((bridge.options.unwrap().ageing_time_cs, bridge.ports[0].device.as_str()), (12_000, "nic1"));
    let [blue] = &capabilities.networks[..] else { panic!("{:?}", capabilities.networks) };
    assert_eq!(blue.drift, Vec::<String>::new());
    assert!(blue.addresses.iter().any(|address| address.address == "198.51.100.7/24"), "{blue:?}");
    let again = bench.fail(&["adopt", "br0", "--yes"]);
    assert!(again.contains("Trestle's already"), "{again}");
    agent.terminate().await;
}
