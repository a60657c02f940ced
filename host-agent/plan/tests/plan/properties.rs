//! What holds of every plan on every host.

use std::collections::BTreeSet;

use proptest::prelude::*;
use trestle_fake_host::World;
use trestle_model::{HostState, IfName, NetworkChange, SetupRequest};
use trestle_plan::{Host, Plan, Step, ownership, plan, steps_towards, undo_target, verify};

use super::scene::{Net, Scene, if_name, lines, net, remove, request, settled};

/// A NIC as somebody left it.
#[derive(Debug, Clone)]
struct Nic {
    up: bool,
    mtu: u32,
    addresses: Vec<u8>,
    default_route: bool,
    vlan: bool,
}

/// What may stand between two requests: a guest on the bridge of a network, by number.
type Guests = Vec<u8>;

fn nic() -> impl Strategy<Value = Nic> {
    let addresses = proptest::collection::vec(0_u8..6, 0..4);
    let mtu = prop_oneof![Just(1500), Just(4000)];
    (any::<bool>(), mtu, addresses, any::<bool>(), any::<bool>())
        .prop_map(|(up, mtu, addresses, default_route, vlan)| Nic { up, mtu, addresses, default_route, vlan })
}

fn world() -> impl Strategy<Value = World> {
    proptest::collection::vec(nic(), 3).prop_map(|nics| {
        let mut world = World::default()
            .foreign_bridge("virbr0")
            .nic("eth9")
            .port("virbr0", "eth9")
            .address("virbr0", "192.168.122.1/24")
            .guest("other", "52:54:00:00:09:01", "vnet9", "virbr0", None);
        for (number, nic) in (0_u32..).zip(nics) {
            let name = format!("eth{number}");
            world = if nic.up { world.nic(&name) } else { world.idle_nic(&name) };
            world = world.mtu(&name, nic.mtu);
            for address in &nic.addresses {
                // Addresses of two networks and of both families, some secondary, some leased.
                world = match address {
                    0..=2 => world.address(&name, &format!("172.16.{number}.{}/24", address + 1)),
                    3 => world.leased_address(&name, &format!("172.17.{number}.9/24")),
                    4 => world.address(&name, &format!("172.18.{number}.1/30")),
                    _ if nic.up => world.address(&name, &format!("2001:db8:{number}::9/64")),
                    _ => world,
                };
            }
            if nic.default_route && nic.up && nic.addresses.iter().any(|address| *address < 3) {
                world = world.default_route(&name, &format!("172.16.{number}.254"), 100 + number);
            }
            if nic.vlan && nic.up {
                world = world.foreign_vlan(&format!("lan{number}"), &name, 99);
            }
        }
        world
    })
}

fn network(number: u8) -> impl Strategy<Value = Net> {
    let place = (0_u8..5, prop_oneof![Just(None), Just(Some(10)), Just(Some(20))]);
    let kind = (0_u8..4, any::<bool>(), prop_oneof![Just(1500), Just(1400), Just(1000), Just(4000)]);
    let address = (0_u8..5, any::<bool>(), any::<bool>());
    (place, kind, address).prop_map(move |((nic, vlan), (topology, managed, mtu), (address, ipv6, default_route))| {
        let mut network = net(&format!("n{number}")).mtu(mtu);
        if nic < 4 {
            network = network.on(&format!("eth{}", nic % 3));
            network = vlan.into_iter().fold(network, Net::vlan);
            if topology == 0 {
                network = network.bridgeless();
            }
        }
        let (first, second) = (format!("10.{number}.0.2/24"), format!("10.{number}.0.3/24"));
        let gateway = format!("10.{number}.0.1");
        let gateway = Some(gateway.as_str()).filter(|_| default_route);
        network = match address {
            0 => network,
            1 => network.ipv4(&[&first], gateway),
            2 => network.ipv4(&[&first, &second], gateway),
            3 => network.ipv4(&[&second, &first], gateway),
            _ => network.ipv4(&[&first, &format!("10.{number}.128.1/24"), &second], gateway),
        };
        if default_route && address > 0 {
            network = network.default_route();
        }
        if ipv6 && mtu >= 1280 {
            network = network.ipv6(&[&format!("2001:db8:10{number}::2/64")], None);
        }
        if managed && topology > 0 {
            network = network.managed();
        }
        network.bridge(|bridge| {
            bridge.stp = topology == 2;
            bridge.options.priority = (topology == 3).then_some(4096);
        })
    })
}

fn change() -> impl Strategy<Value = NetworkChange> {
    prop_oneof![
        4 => (0_u8..4).prop_flat_map(network).prop_map(Net::set),
        1 => (0_u8..4).prop_map(|number| remove(&format!("n{number}"))),
    ]
}

fn requests() -> impl Strategy<Value = Vec<(Vec<NetworkChange>, Guests)>> {
    let guests = proptest::collection::vec(0_u8..4, 0..3);
    proptest::collection::vec((proptest::collection::vec(change(), 1..4), guests), 1..4)
}

/// Keeps of a request what the host accepts, one change after the other.
fn acceptable(scene: &Scene, changes: Vec<NetworkChange>) -> (SetupRequest, Plan) {
    let mut kept: Vec<NetworkChange> = Vec::new();
    for change in changes {
        let mut tried = kept.clone();
        tried.push(change);
        if plan(&request(tried.clone()), &scene.running, &scene.host.state()).is_ok() {
            kept = tried;
        }
    }
    let request = request(kept);
    let plan = scene.plan(&request);
    (request, plan)
}

fn start_guests(scene: &Scene, guests: &[u8], round: usize) {
    for (position, number) in guests.iter().enumerate() {
        let bridge = format!("n{number}");
        if scene.try_link(&bridge).is_some_and(|link| ownership::is_ours(&link)) {
            let (domain, tap) = (format!("vm{round}{position}"), format!("vnet{round}{position}"));
            let mac = format!("52:54:00:00:0{round}:0{position}");
            let network = format!("trestle-{bridge}");
            scene.host.change(|world| world.start_guest(&domain, &mac, &tap, &bridge, Some(&network)));
        }
    }
}

/// What a plan says nothing of: devices that are not in its target, with their addresses, routes and entries, and
/// libvirt's networks.
fn untouched(state: HostState, plan: &Plan) -> HostState {
    let mut state = settled(state);
    let touched: BTreeSet<IfName> = plan.target.links.keys().cloned().collect();
    state.kernel.links.retain(|name, _| !touched.contains(name));
    state.kernel.routes.retain(|route| !touched.contains(&route.device));
    state.kernel.fdb.retain(|entry| !touched.contains(&entry.bridge) && !touched.contains(&entry.port));
    if let Some(libvirt) = &mut state.libvirt {
        libvirt.networks.retain(|name, _| !plan.target.libvirt.contains_key(name));
    }
    state
}

fn bare(plan: &Plan) -> Vec<Step> {
    plan.bare_steps()
}

async fn go_back(scene: &Scene, plan: &Plan) {
    let target = undo_target(&plan.snapshot);
    let steps = steps_towards(&target, &scene.host.state());
    scene.perform(&steps).await;
    assert_eq!(verify(&target, &scene.host.state()), [], "after {}", lines(&steps));
}

/// Plays the requests, and at each looks at every place where it could have been broken off.
async fn play(world: World, requests: Vec<(Vec<NetworkChange>, Guests)>) {
    let mut scene = Scene::new(world);
    for (round, (changes, guests)) in requests.into_iter().enumerate() {
        let (request, plan) = acceptable(&scene, changes);
        let before = scene.host.state();
        let steps = bare(&plan);
        for done in 0..=steps.len() {
            let broken = scene.fork();
            broken
                .host
                .perform(&steps[..done])
                .await
                .unwrap_or_else(|failure| panic!("{failure}\n{}", lines(&plan.steps)));
            let state = broken.host.state();
            assert_eq!(untouched(state, &plan), untouched(before.clone(), &plan), "{}", lines(&plan.steps[..done]));

            let undone = broken.fork();
            go_back(&undone, &plan).await;
            let after = settled(undone.host.state());
            assert_eq!(after, settled(before.clone()), "undone after {}", lines(&plan.steps[..done]));

            let resumed = trestle_plan::plan(&request, &broken.running, &broken.host.state())
                .unwrap_or_else(|findings| panic!("refused after {}: {findings:#?}", lines(&plan.steps[..done])));
            broken.perform(&resumed.steps).await;
            assert_eq!(verify(&plan.target, &broken.host.state()), [], "resumed after {}", lines(&plan.steps[..done]));
        }
        scene.apply(&request).await;
        start_guests(&scene, &guests, round);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_arrives_and_any_part_of_it_can_be_undone_or_resumed(world in world(), requests in requests()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(world, requests));
    }
}

#[test]
fn foreign_devices_are_in_no_target() {
    let world = World::default().nic("eth0").foreign_bridge("virbr0").nic("eth1").port("virbr0", "eth1");
    let scene = Scene::new(world);
    let plan = scene.plan(&request([net("blue").on("eth0").set()]));
    let touched: Vec<&IfName> = plan.target.links.keys().collect();
    assert_eq!(touched, [&if_name("blue"), &if_name("eth0")]);
}
