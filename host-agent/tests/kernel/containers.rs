//! Beside a container network plugin: its bridge, cables, routes and rules are nobody's here.

use trestle_model::Code;
use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::{ConnectivityCheck, Outcome, Owner, Scope};
use trestle_proto::status::findings_of;

use super::bench::{BOUND, Bench};
use crate::{network, request};

/// What a bridge plugin makes for two containers, as it makes it: a bridge without a mark, a cable to each, masquerading
/// aside.
const PLUGIN: [&str; 9] = [
    "link add cni0 type bridge",
    "address add 10.88.0.1/16 dev cni0",
    "link add vetha1b2 type veth peer name inside0",
    "link add vethc3d4 type veth peer name inside1",
    "link set vetha1b2 master cni0 up",
    "link set vethc3d4 master cni0 up",
    "link set inside0 up",
    "link set cni0 up promisc on",
    "route add 10.89.0.0/16 via 10.88.0.2 dev cni0 onlink",
];

/// What `ip` tells of the plugin's devices.
fn told(bench: &Bench) -> String {
    let devices = ["cni0", "vetha1b2", "vethc3d4", "inside0"];
    let looks = devices.iter().flat_map(|device| {
        [
            format!("-o -d link show dev {device}"),
            format!("-o address show dev {device}"),
            format!("route show dev {device}"),
        ]
    });
    let timeless = |text: String| {
        text.split_whitespace()
            .scan(false, |is_timer, word| {
                let keep = !std::mem::replace(is_timer, word.ends_with("_timer"));
                Some(keep.then(|| word.to_owned()))
            })
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    };
    looks.map(|look| timeless(bench.ip(&look))).collect()
}

#[tokio::test]
async fn devices_of_containers_are_left_alone() {
    let Some(bench) = Bench::with("containers", "").await else { return };
    PLUGIN.iter().for_each(|command| drop(bench.ip(command)));
    bench.settled().await;
    let before = told(&bench);
    let mut agent = bench.agent().await;

    // The whole host is asked for, and then nothing of it.
    let everything = |networks| wire::SetupNetworksRequest {
        scope: Scope::Everything.into(),
        networks,
        ..request(wire::Network::default(), ConnectivityCheck::None)
    };
    for networks in [vec![network("192.0.2.20/24")], vec![]] {
        let result = agent.set_up(everything(networks)).await;
        assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
        assert_eq!(told(&bench), before);
    }

    // They are told, as somebody else's, and no network takes one of them by accident.
    let bridges = agent.capabilities().await.bridges;
    let theirs = bridges.iter().find(|bridge| bridge.name == "cni0").expect("a foreign bridge is told");
    assert!(theirs.owner() == Owner::Foreign && theirs.ports.len() == 2, "{theirs:?}");
    for (bridge, nic, code) in [
        ("cni0", "nic0", Code::ForeignDevice),
        ("blue", "vetha1b2", Code::NicInUse),
        ("blue", "cni0", Code::NicNotFound),
    ] {
        let mut asked = wire::Network { bridge_name: bridge.to_owned(), ..network("192.0.2.20/24") };
        asked.southbound = Some(wire::network::Southbound::Nic(nic.to_owned()));
        let refused = agent.client.setup_networks(request(asked, ConnectivityCheck::None)).await;
        let status = match refused {
            Err(status) => status,
            Ok(events) => tokio::time::timeout(BOUND, events.into_inner().message()).await.unwrap().unwrap_err(),
        };
        let codes: Vec<String> = findings_of(&status).into_iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [code.as_str()], "{status:?}");
    }
    assert_eq!(told(&bench), before);
    agent.terminate().await;
}
