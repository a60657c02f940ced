//! What holds of every plan on every host.

use std::collections::BTreeSet;

use proptest::prelude::*;
use trestle_fake_host::World;
use trestle_model::{AcceptRa, IfName, LinkNames};
use trestle_plan::sample::random::{Nic, Round, nics, rounds};
use trestle_plan::sample::{Change, acceptable, untouched};
use trestle_plan::{
    AutoconfChange, Host, Plan, Step, losses, ownership, repair_plan, steps_towards, undo_target, verify,
};

use super::scene::{Scene, foreign_route, if_name, lines, net, request, settled};

fn world(nics: Vec<Nic>) -> World {
    let resolved = nics.iter().any(|nic| nic.route);
    let mut world = World::default()
        .resolv_conf("search example.org\nnameserver 192.0.2.53\n")
        .foreign_bridge("virbr0")
        .nic("eth9")
        .port("virbr0", "eth9")
        .address("virbr0", "192.168.122.1/24")
        .nic("eth7")
        .nic("eth8")
        .foreign_bond("bond7", &["eth7", "eth8"])
        .guest("other", "52:54:00:00:09:01", "vnet9", "virbr0", None);
    for (number, nic) in (0_u32..).zip(nics) {
        let name = format!("eth{number}");
        world = if nic.up { world.nic(&name) } else { world.idle_nic(&name) };
        world = world.mtu(&name, nic.mtu);
        if nic.deaf {
            let change = AutoconfChange { accept_ra: Some(AcceptRa::Never), ..AutoconfChange::default() };
            world = world.autoconf(&name, change);
        }
        for held in nic.held(number) {
            world = if held.leased { world.leased_address(&name, &held.net) } else { world.address(&name, &held.net) };
        }
        if let Some(gateway) = nic.gateway(number) {
            if nic.default_route {
                world = world.default_route(&name, &gateway, 100 + number);
            }
            if nic.route {
                world = world.route(foreign_route("100.99.0.0/16", &gateway, &name, number));
            }
        }
        if nic.queued {
            world = world.foreign_qdisc(&name, "pfifo");
        }
        if nic.dhcp {
            world = world
                .router(&name, &format!("2001:db8:9{number}::/64"))
                .dhcp_server(&name, &format!("2001:db8:9{number}::77/128"))
                .router(&format!("{name}.10"), &format!("2001:db8:9{number}:10::/64"))
                .dhcp_server(&name, &format!("10.9{number}.0.77/24"))
                .dhcp_server(&format!("{name}.10"), &format!("10.9{number}.10.77/24"));
        }
        if nic.vlan && nic.up {
            world = world.foreign_vlan(&format!("lan{number}"), &name, 99);
        }
    }
    let before = LinkNames::for_all_names(&["192.0.2.53".parse().unwrap()]);
    if resolved { world.resolved("eth0", before) } else { world }
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

fn bare(plan: &Plan) -> Vec<Step> {
    plan.bare_steps()
}

/// Tells whether a plan begins to keep the MAC of a bond: of one of others, or of one that followed its active port's.
fn begins_to_keep_a_mac(scene: &Scene, plan: &Plan) -> bool {
    let links = &plan.snapshot.links;
    let was_there = |name: &IfName| links.get(name).is_some_and(|before| before.link.is_some());
    plan.desired.bonds.iter().any(|(name, bond)| match scene.running.bonds.get(name) {
        None => was_there(name),
        Some(before) => before.mac.is_none() && bond.mac.is_some(),
    })
}

async fn go_back(scene: &Scene, plan: &Plan) {
    let target = undo_target(&plan.snapshot);
    let steps = steps_towards(&target, &scene.host.state());
    scene.perform(&steps).await;
    assert_eq!(verify(&target, &scene.host.state()), [], "after {}", lines(&steps));
    assert_eq!(steps_towards(&target, &scene.host.state()), [], "after {}", lines(&steps));
}

/// Brings back what a stranger, who did a part of some plan, has taken or altered; says that nothing is left to do.
async fn keep(scene: &Scene) {
    let lost = || {
        let losses = losses(&scene.running, &scene.host.state()).into_iter();
        losses.filter(|loss| loss.obstacle.is_none()).map(|loss| loss.thing).collect::<BTreeSet<_>>()
    };
    let plan = repair_plan(&scene.running, &scene.host.state(), &lost());
    scene.perform(&plan.steps).await;
    assert_eq!(verify(&plan.target, &scene.host.state()), [], "after {}", lines(&plan.steps));
    let left = losses(&scene.running, &scene.host.state());
    assert_eq!(lost(), BTreeSet::new(), "after {}: {left:#?}", lines(&plan.steps));
}

/// Plays the requests, and at each looks at every place where it could have been broken off.
async fn play(world: World, requests: Vec<Round>) {
    let mut scene = Scene::new(world);
    for (round, (changes, guests)) in requests.into_iter().enumerate() {
        let (request, plan) = acceptable(changes, &scene.running, &scene.host.state());
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

            if done == steps.len() / 2 {
                keep(&broken.fork()).await;
            }
            let undone = broken.fork();
            go_back(&undone, &plan).await;
            let after = settled(undone.host.state());
            assert_eq!(after, settled(before.clone()), "undone after {}", lines(&plan.steps[..done]));

            let resumed = trestle_plan::plan(&request, &broken.running, &broken.host.state())
                .unwrap_or_else(|findings| panic!("refused after {}: {findings:#?}", lines(&plan.steps[..done])));
            broken.perform(&resumed.steps).await;
            let mut drift = verify(&plan.target, &broken.host.state());
            // Without the journal nobody knows the MAC of such a bond whose ports were out already.
            drift.retain(|drift| !(begins_to_keep_a_mac(&broken, &plan) && drift.field == "mac"));
            assert_eq!(drift, [], "resumed after {}", lines(&plan.steps[..done]));
            if verify(&plan.target, &broken.host.state()).is_empty() {
                assert_eq!(steps_towards(&plan.target, &broken.host.state()), [], "{}", lines(&plan.steps));
            }
        }
        scene.apply(&request).await;
        start_guests(&scene, &guests, round);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_arrives_and_any_part_of_it_can_be_undone_or_resumed(nics in nics(), rounds in rounds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(world(nics), rounds));
    }
}

/// What is repaired below a bridge together with the bridge itself must not hold the bridge's MTU as it is.
#[tokio::test]
async fn a_half_moved_bridge_has_its_mtu_back() {
    let world = World::default().idle_nic("eth0").idle_nic("eth2").mtu("eth2", 4000);
    let requests = [
        net("n1").on("eth2").vlan(10).bridgeless().set(),
        net("n2").on("eth2").set(),
        net("n2").on("eth0").mtu(1400).set(),
    ];
    play(world, requests.into_iter().map(|change| (vec![Change::Network(change)], vec![])).collect()).await;
}

#[test]
fn foreign_devices_are_in_no_target() {
    let world = World::default().nic("eth0").foreign_bridge("virbr0").nic("eth1").port("virbr0", "eth1");
    let scene = Scene::new(world);
    let plan = scene.plan(&request([net("blue").on("eth0").set()]));
    let touched: Vec<&IfName> = plan.target.links.keys().collect();
    assert_eq!(touched, [&if_name("blue"), &if_name("eth0")]);
}
